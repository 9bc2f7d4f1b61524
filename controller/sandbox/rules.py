"""What single built-in kinds add to the rules of all objects: ConfigMap, Secret, Lease, Namespace, Event."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterator
from typing import Annotated

import msgspec

from controller.sandbox.kinds import Rules
from controller.sandbox.statuses import Cause, Object

MAX_DATA_SIZE = 1024 * 1024
"""Bytes of all values of one ConfigMap or Secret."""
_DATA_KEY = re.compile(r"[-._a-zA-Z0-9]{1,253}")
_MicroTime = Annotated[str, msgspec.Meta(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}(Z|[-+]\d\d:\d\d)$")]


class ConfigMapShape(msgspec.Struct, rename="camel"):
    """Types of a ConfigMap's fields; bytes are base64 in JSON."""

    data: dict[str, str] | None = None
    binary_data: dict[str, bytes] | None = None
    immutable: bool | None = None


class SecretShape(msgspec.Struct, rename="camel"):
    """Types of a Secret's fields; bytes are base64 in JSON."""

    data: dict[str, bytes] | None = None
    string_data: dict[str, str] | None = None
    immutable: bool | None = None
    type: str | None = None


class LeaseSpec(msgspec.Struct, rename="camel"):
    """Types of a Lease's spec: the times have exactly six decimal places."""

    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    lease_transitions: int | None = None
    acquire_time: _MicroTime | None = None
    renew_time: _MicroTime | None = None


class LeaseShape(msgspec.Struct):
    """Types of a Lease's fields."""

    spec: LeaseSpec | None = None


class ConfigMapRules(Rules):
    """Keys, the size limit and immutability."""

    shape = ConfigMapShape

    def check(self, new: Object, old: Object | None) -> Iterator[Cause]:
        """Yield the findings in data and binaryData."""
        data, binary = new.get("data") or {}, new.get("binaryData") or {}
        yield from _check_keys("data", data)
        yield from _check_keys("binaryData", binary)
        for key in sorted(data.keys() & binary.keys()):
            message = f'Invalid value: "{key}": duplicate of key present in binaryData'
            yield Cause("FieldValueInvalid", f"data[{key}]", message)
        size = sum(len(text.encode()) for text in data.values()) + _decoded_size(binary)
        if size > MAX_DATA_SIZE:
            yield _too_long("[]")
        yield from _check_immutable(new, old, ("data", "binaryData"))


class SecretRules(Rules):
    """As for ConfigMaps; stringData is merged into data, and the type stays."""

    shape = SecretShape

    def prepare(self, new: Object, old: Object | None) -> None:
        """Merge stringData and default the type."""
        texts = new.pop("stringData", None) or {}
        encoded = {key: base64.b64encode(text.encode()).decode() for key, text in texts.items()}
        if encoded:
            new["data"] = (new.get("data") or {}) | encoded
        new.setdefault("type", "Opaque")

    def check(self, new: Object, old: Object | None) -> Iterator[Cause]:
        """Yield the findings in data and type."""
        data = new.get("data") or {}
        yield from _check_keys("data", data)
        if _decoded_size(data) > MAX_DATA_SIZE:
            yield _too_long("data")
        if old is not None and new["type"] != old["type"]:
            yield Cause("FieldValueInvalid", "type", f'Invalid value: "{new["type"]}": field is immutable')
        yield from _check_immutable(new, old, ("data",))


class LeaseRules(Rules):
    """Bounds of the numbers."""

    shape = LeaseShape

    def prepare(self, new: Object, old: Object | None) -> None:
        """An emptied Lease has an empty spec."""
        new["spec"] = new.get("spec") or {}

    def check(self, new: Object, old: Object | None) -> Iterator[Cause]:
        """Yield the findings in spec."""
        spec = new["spec"]
        duration, transitions = spec.get("leaseDurationSeconds"), spec.get("leaseTransitions")
        if duration is not None and duration <= 0:
            message = f"Invalid value: {duration}: must be greater than 0"
            yield Cause("FieldValueInvalid", "spec.leaseDurationSeconds", message)
        if transitions is not None and transitions < 0:
            message = f"Invalid value: {transitions}: must be greater than or equal to 0"
            yield Cause("FieldValueInvalid", "spec.leaseTransitions", message)


class NamespaceRules(Rules):
    """A namespace is deleted when everything in it is gone."""

    def prepare(self, new: Object, old: Object | None) -> None:
        """Set the finalizer, the phase and the label with the name."""
        labels = new["metadata"].get("labels") or {}
        new["metadata"]["labels"] = {**labels, "kubernetes.io/metadata.name": new["metadata"]["name"]}
        new["spec"] = {"finalizers": ["kubernetes"]} if old is None else old["spec"]
        new["status"] = {"phase": "Active"} if old is None else old["status"]

    def begin_deletion(self, obj: Object) -> None:
        """From now on nothing can be created in it."""
        obj["status"] = {"phase": "Terminating"}

    def is_held(self, obj: Object) -> bool:
        """Until the controller has emptied it."""
        return bool(obj["spec"].get("finalizers")) or super().is_held(obj)


class EventRules(Rules):
    """An Event lives in the namespace of what it is about."""

    def check(self, new: Object, old: Object | None) -> Iterator[Cause]:
        """Yield the finding in involvedObject; cluster-scoped objects have their Events in `default`."""
        involved = (new.get("involvedObject") or {}).get("namespace", "")
        if new["metadata"]["namespace"] != (involved or "default"):
            message = f'Invalid value: "{involved}": does not match event.namespace'
            yield Cause("FieldValueInvalid", "involvedObject.namespace", message)


def _check_keys(field: str, data: Object) -> Iterator[Cause]:
    for key in sorted(data):
        if not _DATA_KEY.fullmatch(key) or key in {".", ".."}:
            message = (
                f'Invalid value: "{key}": a valid config key must consist of alphanumeric characters, '
                "'-', '_' or '.'"
            )
            yield Cause("FieldValueInvalid", f"{field}[{key}]", message)


def _check_immutable(new: Object, old: Object | None, fields: tuple[str, ...]) -> Iterator[Cause]:
    if old is None or not old.get("immutable"):
        return
    for field in ("immutable", *fields):
        if new.get(field) != old.get(field):
            message = "Forbidden: field is immutable when `immutable` is set"
            yield Cause("FieldValueForbidden", field, message)


def _decoded_size(data: Object) -> int:
    return sum(len(base64.b64decode(text)) for text in data.values())


def _too_long(field: str) -> Cause:
    return Cause("FieldValueTooLong", field, f"Too long: may not be more than {MAX_DATA_SIZE} bytes")
