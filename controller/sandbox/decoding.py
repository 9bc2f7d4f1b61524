"""Turns a request's path and body into what it is about: the target, and an object of the kind."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from controller.sandbox import metadata as object_meta
from controller.sandbox.kinds import Kind
from controller.sandbox.statuses import Object, Refused, bad_request
from controller.sandbox.store import Key


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


class Undecodable(Refused):
    """400: a field has the wrong type. In a patch it is 422."""


def decode(target: Target, body: object, *, strict: bool) -> tuple[Object, list[str]]:
    """Return the body as an object of the kind, of its own, and warnings about what was dropped."""
    kind = target.kind
    if not isinstance(body, dict):
        raise bad_request(f"the object provided is unrecognized (must be of type {kind.kind})")
    content = {name: value for name, value in body.items() if name not in {"apiVersion", "kind", "metadata"}}
    try:
        metadata, unknown = object_meta.decode(body.get("metadata"))
        obj: Object = {**_type_of(kind, body), "metadata": metadata, **content}
        if kind.rules.shape is not None:
            msgspec.convert(obj, kind.rules.shape)
    except msgspec.ValidationError as error:
        message = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {error}'
        raise Undecodable(400, "BadRequest", message) from error
    unknown += kind.rules.prune(obj)
    warnings = [f'unknown field "{path}"' for path in unknown]
    if strict and warnings:
        problem = f"strict decoding error: {', '.join(warnings)}"
        message = f'{kind.kind} in version "{kind.version}" cannot be handled as a {kind.kind}: {problem}'
        raise bad_request(message)
    if obj["metadata"].get("namespace", target.namespace) != target.namespace:
        message = "the namespace of the provided object does not match the namespace sent on the request"
        raise bad_request(message)
    if kind.namespaced:
        obj["metadata"]["namespace"] = target.namespace
    return obj, warnings


def _type_of(kind: Kind, body: Object) -> Object:
    """Return apiVersion and kind; those of a built-in kind may be left out of the body."""
    if kind.is_custom and not (body.get("kind") and body.get("apiVersion")):
        problem = "apiVersion or kind is missing"
        raise bad_request(f"the object provided is unrecognized (must be of type {kind.kind}): {problem}")
    if (version := body.get("apiVersion") or kind.api_version) != kind.api_version:
        raise bad_request(
            f"the API version in the data ({version}) does not match "
            f"the expected API version ({kind.api_version})"
        )
    if (name := body.get("kind") or kind.kind) != kind.kind:
        raise bad_request(f'{name} in version "{kind.version}" cannot be handled as a {kind.kind}')
    return {"apiVersion": kind.api_version, "kind": kind.kind}


def check_name(target: Target, new: Object) -> None:
    """The name in the body must be that in the path; refuses with 400."""
    name = new["metadata"].get("name", "")
    if not name:
        message = (
            f"the name of the object ({target.name} based on URL) was undeterminable: name must be provided"
        )
        raise bad_request(message)
    if name != target.name:
        message = f"the name of the object ({name}) does not match the name on the URL ({target.name})"
        raise bad_request(message)
