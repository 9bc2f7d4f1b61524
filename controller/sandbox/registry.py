"""Create, read, update, patch and delete: the rules that hold between a request and the store."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from controller.sandbox import metadata as object_meta
from controller.sandbox import statuses
from controller.sandbox.builtin_kinds import NAMESPACE
from controller.sandbox.kinds import Kind
from controller.sandbox.listing import ListQuery, Page, list_page
from controller.sandbox.statuses import Cause, Object
from controller.sandbox.store import Key, Store

_MODIFIED = "the object has been modified; please apply your changes to the latest version and try again"


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is about; `name` is empty for a collection."""

    kind: Kind
    namespace: str = ""
    name: str = ""
    is_status: bool = False

    @property
    def key(self) -> Key:
        """Where the object is kept."""
        return self.namespace, self.name

    @property
    def named(self) -> tuple[str, str, str]:
        """Plural, group and name, as refusals take them."""
        return self.kind.plural, self.kind.group, self.name


class DeleteOptions(msgspec.Struct, rename="camel"):
    """The body of a DELETE, as far as it is served."""

    class Preconditions(msgspec.Struct, rename="camel"):
        """What the stored object must be."""

        uid: str | None = None
        resource_version: str | None = None

    preconditions: Preconditions | None = None
    propagation_policy: str | None = None
    orphan_dependents: bool | None = None
    dry_run: list[str] | None = None


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
        new, warnings = _decode(target, body, strict=strict)
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
        new, warnings = _decode(target, body, strict=strict)
        _check_name(target, new)
        asked = new["metadata"]
        old = self._store.get(target.kind, target.key)
        if old is None and not target.kind.put_creates:
            raise statuses.not_found(*target.named)
        _check_uid(target, asked.get("uid"), old)
        if old is None:
            # The resourceVersion of an object that is gone does not count: such a PUT creates it again.
            asked.pop("resourceVersion", None)
            return self.create(target, new)
        answer = self._update(target, old, new)
        answer.warnings = warnings
        return answer

    def merge_patch(self, target: Target, patch: object, *, strict: bool = False) -> Answer:
        """PATCH with a JSON merge patch: refuses with 400, 404, 409 (resourceVersion) or 422."""
        if not isinstance(patch, dict):
            raise statuses.bad_request("error decoding patch: a merge patch is a JSON object")
        old = self.get(target)
        try:
            new, warnings = _decode(target, _merged(copy.deepcopy(old), patch), strict=strict)
        except _Undecodable as error:
            cause = Cause("FieldValueInvalid", "patch", f"Invalid value: {error}")
            raise statuses.invalid("", "", "", [cause]) from error
        _check_name(target, new)
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
        _check_options(target, old, options or DeleteOptions())
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

    def release(self, target: Target, new: Object) -> None:
        """A controller's write of a whole object, status and finalizers included: removed if nothing holds it."""
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
            why = (
                f"unable to create new content in namespace {target.namespace} because it is being terminated"
            )
            raise statuses.forbidden(*target.named, why)

    def _update(self, target: Target, old: Object, new: Object) -> Answer:
        """Turn the old state into the new one, as far as the request may change it."""
        kind = target.kind
        _check_version(target, new["metadata"].get("resourceVersion"), old)
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


class _Undecodable(statuses.Refused):
    """400: a field has the wrong type. In a patch it is 422."""


def _decode(target: Target, body: object, *, strict: bool) -> tuple[Object, list[str]]:
    """Return the body as an object of the kind, of its own, and warnings about what was dropped."""
    kind = target.kind
    if not isinstance(body, dict):
        raise statuses.bad_request(f"the object provided is unrecognized (must be of type {kind.kind})")
    content = {name: value for name, value in body.items() if name not in {"apiVersion", "kind", "metadata"}}
    try:
        metadata, unknown = object_meta.decode(body.get("metadata"))
        obj: Object = {**_type_of(kind, body), "metadata": metadata, **content}
        if kind.rules.shape is not None:
            msgspec.convert(obj, kind.rules.shape)
    except msgspec.ValidationError as error:
        message = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {error}'
        raise _Undecodable(400, "BadRequest", message) from error
    unknown += kind.rules.prune(obj)
    warnings = [f'unknown field "{path}"' for path in unknown]
    if strict and warnings:
        problem = f"strict decoding error: {', '.join(warnings)}"
        message = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {problem}'
        raise statuses.bad_request(message)
    if obj["metadata"].get("namespace", target.namespace) != target.namespace:
        message = "the namespace of the provided object does not match the namespace sent on the request"
        raise statuses.bad_request(message)
    if kind.namespaced:
        obj["metadata"]["namespace"] = target.namespace
    return obj, warnings


def _type_of(kind: Kind, body: Object) -> Object:
    """Return apiVersion and kind; those of a built-in kind may be left out of the body."""
    if kind.is_custom and not (body.get("kind") and body.get("apiVersion")):
        message = f"the object provided is unrecognized (must be of type {kind.kind}): apiVersion or kind is missing"
        raise statuses.bad_request(message)
    if (version := body.get("apiVersion") or kind.api_version) != kind.api_version:
        raise statuses.bad_request(
            f"the API version in the data ({version}) does not match the expected API version ({kind.api_version})"
        )
    if (name := body.get("kind") or kind.kind) != kind.kind:
        raise statuses.bad_request(f'{name} in version "{kind.version}" cannot be handled as a {kind.kind}')
    return {"apiVersion": kind.api_version, "kind": kind.kind}


def _merged(base: Any, patch: Any) -> Any:
    """RFC 7386: null removes, objects merge, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    result = base if isinstance(base, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _merged(result.get(name), value)
    return result


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


def _check_name(target: Target, new: Object) -> None:
    name = new["metadata"].get("name", "")
    if not name:
        message = (
            f"the name of the object ({target.name} based on URL) was undeterminable: name must be provided"
        )
        raise statuses.bad_request(message)
    if name != target.name:
        message = f"the name of the object ({name}) does not match the name on the URL ({target.name})"
        raise statuses.bad_request(message)


def _check_uid(target: Target, asked: str | None, old: Object | None) -> None:
    found = old["metadata"]["uid"] if old is not None else ""
    if asked and asked != found:
        why = f"Precondition failed: UID in precondition: {asked}, UID in object meta: {found}"
        raise statuses.conflict(*target.named, why)


def _check_version(target: Target, asked: str | None, old: Object) -> None:
    if asked is None and target.kind.blind_update:
        return
    if asked is None:
        message = "Invalid value: 0: must be specified for an update"
        cause = Cause("FieldValueInvalid", "metadata.resourceVersion", message)
        raise statuses.invalid(target.kind.plural, target.kind.group, target.name, [cause])
    if asked != old["metadata"]["resourceVersion"]:
        raise statuses.conflict(*target.named, _MODIFIED)


def _check_options(target: Target, old: Object, options: DeleteOptions) -> None:
    if options.dry_run:
        raise statuses.unsupported("dryRun", 405)
    if options.orphan_dependents or options.propagation_policy not in {None, "", "Background"}:
        raise statuses.unsupported(f"propagationPolicy {options.propagation_policy or 'Orphan'}", 405)
    asked, record = options.preconditions, old["metadata"]
    if asked is None:
        return
    # The real server names the kind here, not the resource.
    named = target.kind.kind, target.kind.group, target.name
    if asked.uid is not None and asked.uid != record["uid"]:
        why = (
            f"the UID in the precondition ({asked.uid}) does not match the UID in record ({record['uid']}). "
            "The object might have been deleted and then recreated"
        )
        raise statuses.conflict(*named, why)
    if asked.resource_version not in {None, record["resourceVersion"]}:
        why = (
            f"the ResourceVersion in the precondition ({asked.resource_version}) does not match "
            f"the ResourceVersion in record ({record['resourceVersion']}). The object might have been modified"
        )
        raise statuses.conflict(*named, why)
