"""Create, read, update, patch and delete: the rules that hold between a request and the store."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field

from controller.sandbox import metadata as object_meta
from controller.sandbox import statuses
from controller.sandbox.builtin_kinds import NAMESPACE
from controller.sandbox.decoding import Target, Undecodable, check_name, decode
from controller.sandbox.kinds import Kind
from controller.sandbox.listing import ListQuery, Page, list_page
from controller.sandbox.patches import Patch
from controller.sandbox.preconditions import DeleteOptions, check_options, check_uid, check_version
from controller.sandbox.statuses import Cause, Object
from controller.sandbox.store import Store


@dataclass(slots=True)
class Answer:
    """What a write leads to: `warnings` name fields that were dropped."""

    obj: Object
    code: int = 200
    warnings: list[str] = field(default_factory=list)


class Registry:
    """The API's verbs, without HTTP. Every call either takes effect as a whole or raises Refused."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def get(self, target: Target) -> Object:
        """Return the object; refuses with 404."""
        obj = self._store.get(target.kind, target.key)
        if obj is None:
            raise statuses.not_found(*target.named)
        return obj

    def list(self, target: Target, query: ListQuery) -> Page:
        """Return a page of the collection."""
        return list_page(self._store, target.kind, target.namespace, query)

    def create(self, target: Target, body: object, *, strict: bool = False) -> Answer:
        """POST: refuses with 400, 403, 404 (namespace), 409 or 422."""
        new, warnings = decode(target, body, strict=strict)
        if new["metadata"].pop("resourceVersion", None):
            raise statuses.bad_request("resourceVersion should not be set on objects to be created")
        self._check_namespace(target)
        new["metadata"] = object_meta.for_creation(target.kind, new["metadata"])
        if target.kind.has_status:
            new.pop("status", None)
        target.kind.rules.prepare(new, None)
        _check(target.kind, new, None)
        name = new["metadata"]["name"]
        if self._store.get(target.kind, (target.namespace, name)) is not None:
            raise statuses.already_exists(target.kind.plural, target.kind.group, name)
        return Answer(self._store.put(target.kind, new), 201, warnings)

    def replace(self, target: Target, body: object, *, strict: bool = False) -> Answer:
        """PUT: refuses with 400, 404, 409 (uid, then resourceVersion) or 422."""
        new, warnings = decode(target, body, strict=strict)
        check_name(target, new)
        asked = new["metadata"]
        old = self._store.get(target.kind, target.key)
        if old is None and not target.kind.put_creates:
            raise statuses.not_found(*target.named)
        check_uid(target, asked.get("uid"), old)
        if old is None:
            # The resourceVersion of an object that is gone does not count: such a PUT creates it again.
            asked.pop("resourceVersion", None)
            return self.create(target, new)
        answer = self._update(target, old, new)
        answer.warnings = warnings
        return answer

    def patch(self, target: Target, patch: Patch, *, strict: bool = False) -> Answer:
        """PATCH: refuses with 400, 404, 409 (resourceVersion) or 422."""
        old = self.get(target)
        try:
            new, warnings = decode(target, patch(copy.deepcopy(old)), strict=strict)
        except Undecodable as error:
            cause = Cause("FieldValueInvalid", "patch", f"Invalid value: {error}")
            raise statuses.invalid("", "", "", [cause]) from error
        check_name(target, new)
        uid = new["metadata"].get("uid")
        if uid not in {None, old["metadata"]["uid"]} and not target.is_status:
            cause = Cause("FieldValueInvalid", "metadata.uid", f'Invalid value: "{uid}": field is immutable')
            raise statuses.invalid(target.kind.kind, target.kind.group, target.name, [cause])
        answer = self._update(target, old, new)
        answer.warnings = warnings
        return answer

    def delete(self, target: Target, options: DeleteOptions | None = None) -> Object:
        """DELETE: returns the object if it is held, else a Status; refuses with 403, 404, 405 or 409."""
        old = self.get(target)
        check_options(target, old, options or DeleteOptions())
        if target.kind is NAMESPACE and target.name == "default":
            raise statuses.forbidden(*target.named, "this namespace may not be deleted")
        if "deletionTimestamp" in old["metadata"]:
            return old
        rules = target.kind.rules
        new = copy.deepcopy(old)
        rules.begin_deletion(new)
        if not rules.is_held(new):
            self._store.remove(target.kind, target.key)
            kind, group, name = target.named
            named = {"name": name, "group": group, "kind": kind, "uid": old["metadata"]["uid"]}
            return statuses.success(**{key: value for key, value in named.items() if value})
        new["metadata"] |= {"deletionTimestamp": object_meta.now(), "deletionGracePeriodSeconds": 0}
        if target.kind.has_generation:
            new["metadata"]["generation"] += 1
        return self._store.put(target.kind, new)

    def delete_collection(self, target: Target, query: ListQuery, options: DeleteOptions) -> Page:
        """DELETE on a collection: returns what was selected."""
        page = self.list(target, query)
        for obj in page.items:
            metadata = obj["metadata"]
            self.delete(Target(target.kind, metadata.get("namespace", ""), metadata["name"]), options)
        return page

    def overwrite(self, target: Target, new: Object) -> None:
        """Write a controller's whole object, status included; it goes if it is to be deleted and not held."""
        if "deletionTimestamp" in new["metadata"] and not target.kind.rules.is_held(new):
            self._store.remove(target.kind, target.key)
        else:
            self._store.put(target.kind, new)

    def _check_namespace(self, target: Target) -> None:
        if not target.kind.namespaced:
            return
        namespace = self._store.get(NAMESPACE, ("", target.namespace))
        if namespace is None:
            raise statuses.not_found(NAMESPACE.plural, "", target.namespace)
        if "deletionTimestamp" in namespace["metadata"]:
            why = f"unable to create new content in namespace {target.namespace}: it is being terminated"
            raise statuses.forbidden(*target.named, why)

    def _update(self, target: Target, old: Object, new: Object) -> Answer:
        """Turn the old state into the new one, as far as the request may change it."""
        kind = target.kind
        check_version(target, new["metadata"].get("resourceVersion"), old)
        new = _mixed(target, old, new)
        kind.rules.prepare(new, old)
        _check(kind, new, old)
        if kind.has_generation and _counted(kind, new) != _counted(kind, old):
            new["metadata"]["generation"] = old["metadata"]["generation"] + 1
        if "deletionTimestamp" in new["metadata"] and not kind.rules.is_held(new):
            self._store.remove(kind, target.key)
            return Answer(new)
        if new == old:
            return Answer(old)
        return Answer(self._store.put(kind, new))


def _mixed(target: Target, old: Object, new: Object) -> Object:
    """Return the new state: a write to /status changes only status, any other leaves it alone."""
    status_of, rest = (new, old) if target.is_status else (old, new)
    mixed = {**rest, "metadata": object_meta.for_update(rest["metadata"], old["metadata"])}
    if target.kind.has_status:
        mixed.pop("status", None)
        if "status" in status_of:
            mixed["status"] = status_of["status"]
    return copy.deepcopy(mixed)


def _counted(kind: Kind, obj: Object) -> Object:
    """Return what generation counts: everything but metadata, and status where it has its own endpoint."""
    uncounted = {"metadata", "status"} if kind.has_status else {"metadata"}
    return {name: value for name, value in obj.items() if name not in uncounted}


def _check(kind: Kind, new: Object, old: Object | None) -> None:
    causes = list(_findings(kind, new, old))
    if causes:
        raise statuses.invalid(kind.kind, kind.group, new["metadata"].get("name", ""), causes)


def _findings(kind: Kind, new: Object, old: Object | None) -> Iterator[Cause]:
    yield from object_meta.check(new, old)
    yield from kind.rules.check(new, old)
