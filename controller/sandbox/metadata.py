"""The rules of metadata that hold for every kind: what the server sets, and what it accepts from clients."""

from __future__ import annotations

import re
import secrets
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

import msgspec

from controller.sandbox.kinds import Kind
from controller.sandbox.statuses import Cause, Object

_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_LABEL_NAME = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9]")
_LABEL_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]{0,61})?[A-Za-z0-9])?")
_SUFFIX_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_STANDARD_FINALIZERS = frozenset({"orphan", "foregroundDeletion", "kubernetes"})
_LONGEST_NAME = 253
_ANNOTATIONS_LIMIT = 256 * 1024


class OwnerReference(msgspec.Struct, rename="camel", omit_defaults=True):
    """Whose dependent an object is."""

    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class ObjectMeta(msgspec.Struct, rename="camel", omit_defaults=True):
    """The fields of metadata that are kept. managedFields are not: the sandbox has no server-side apply."""

    name: str | None = None
    generate_name: str | None = None
    namespace: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    generation: int | None = None
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    owner_references: list[OwnerReference] | None = None
    finalizers: list[str] | None = None


_KNOWN = frozenset(ObjectMeta.__struct_encode_fields__) | {"managedFields", "selfLink"}
_SET_ONCE = ("uid", "creationTimestamp", "generateName", "deletionTimestamp", "deletionGracePeriodSeconds")


def decode(metadata: object) -> tuple[Object, list[str]]:
    """Return what is kept of a body's metadata, and unknown fields; raises msgspec.ValidationError."""
    if metadata is None:
        return {}, []
    typed = msgspec.convert(metadata, ObjectMeta)
    unknown = (
        [f"metadata.{name}" for name in metadata if name not in _KNOWN] if isinstance(metadata, dict) else []
    )
    kept: Object = msgspec.to_builtins(typed)
    return {name: value for name, value in kept.items() if value not in ([], {}, "")}, unknown


def for_creation(kind: Kind, metadata: Object) -> Object:
    """Return the metadata of a new object."""
    kept = {
        name: metadata[name] for name in metadata if name not in {*_SET_ONCE, "resourceVersion", "generation"}
    }
    if "generateName" in metadata:
        kept["generateName"] = metadata["generateName"]
        kept.setdefault("name", metadata["generateName"] + random_suffix())
    if kind.has_generation:
        kept["generation"] = 1
    return {**kept, "uid": str(uuid.uuid4()), "creationTimestamp": now()}


def for_update(metadata: Object, old: Object) -> Object:
    """Return the metadata of an updated object: identity, times and generation stay the server's."""
    kept = {name: metadata[name] for name in metadata if name not in _SET_ONCE}
    kept |= {name: old[name] for name in (*_SET_ONCE, "resourceVersion", "generation") if name in old}
    return kept


def check(obj: Object, old: Object | None) -> Iterator[Cause]:
    """Yield every finding; `old` is None on creation."""
    metadata = obj["metadata"]
    yield from _check_name(metadata.get("name", ""))
    yield from _check_labels(metadata.get("labels") or {})
    if (
        sum(len(key) + len(value) for key, value in (metadata.get("annotations") or {}).items())
        > _ANNOTATIONS_LIMIT
    ):
        message = f"Too long: may not be more than {_ANNOTATIONS_LIMIT} bytes"
        yield Cause("FieldValueTooLong", "metadata.annotations", message)
    yield from _check_owners(metadata.get("ownerReferences") or [])
    yield from _check_finalizers(metadata.get("finalizers") or [], old)


def random_suffix() -> str:
    """The five letters that generateName gets."""
    return "".join(secrets.choice(_SUFFIX_LETTERS) for _ in range(5))


def now() -> str:
    """As the API server writes times."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _check_name(name: str) -> Iterator[Cause]:
    if not name:
        message = "Required value: name or generateName is required"
        yield Cause("FieldValueRequired", "metadata.name", message)
    elif len(name) > _LONGEST_NAME or not _SUBDOMAIN.fullmatch(name):
        message = (
            f'Invalid value: "{name}": a lowercase RFC 1123 subdomain must consist of lower case '
            "alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character"
        )
        yield Cause("FieldValueInvalid", "metadata.name", message)


def _check_labels(labels: dict[str, str]) -> Iterator[Cause]:
    for key, value in labels.items():
        prefix, slash, name = key.rpartition("/")
        if not _LABEL_NAME.fullmatch(name) or (slash and not _SUBDOMAIN.fullmatch(prefix)):
            message = (
                f'Invalid value: "{key}": name part must consist of alphanumeric characters, '
                "'-', '_' or '.', and must start and end with an alphanumeric character"
            )
            yield Cause("FieldValueInvalid", "metadata.labels", message)
        if not _LABEL_VALUE.fullmatch(value):
            message = (
                f'Invalid value: "{value}": a valid label must be an empty string or consist of at most 63 '
                "alphanumeric characters, '-', '_' or '.'"
            )
            yield Cause("FieldValueInvalid", "metadata.labels", message)


def _check_owners(references: list[Object]) -> Iterator[Cause]:
    for number, reference in enumerate(references):
        for name in ("apiVersion", "kind", "name", "uid"):
            if not reference.get(name):
                path = f"metadata.ownerReferences[{number}].{name}"
                yield Cause("FieldValueRequired", path, "Required value: must not be empty")
    if sum(bool(reference.get("controller")) for reference in references) > 1:
        message = "Invalid value: Only one reference can have Controller set to true"
        yield Cause("FieldValueInvalid", "metadata.ownerReferences", message)


def _check_finalizers(finalizers: list[str], old: Object | None) -> Iterator[Cause]:
    for number, name in enumerate(finalizers):
        if "/" not in name and name not in _STANDARD_FINALIZERS:
            problem = "name is neither a standard finalizer name nor is it fully qualified"
            path = f"metadata.finalizers[{number}]"
            yield Cause("FieldValueInvalid", path, f'Invalid value: "{name}": {problem}')
    if old is None or "deletionTimestamp" not in old["metadata"]:
        return
    if added := set(finalizers) - set(old["metadata"].get("finalizers") or []):
        message = (
            "Forbidden: no new finalizers can be added if the object is being deleted, "
            f"found new finalizers {sorted(added)}"
        )
        yield Cause("FieldValueForbidden", "metadata.finalizers", message)
