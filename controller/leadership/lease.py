"""The Lease as an object: what can be read from one, however malformed, and what is written to it (L1)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Self

from controller.kube.resource import LEASES
from controller.leadership.timings import LeaseTimings

RELEASED: Final = "kopfbus.dev/released"
"""The annotation that tells a Lease given back from one just emptied; its value is the last holder."""

_MOST_TRANSITIONS: Final = 2**31 - 1  # the field is an int32: one more would be refused for ever


@dataclass(frozen=True, slots=True)
class Lease:
    """A Lease as it was read: what counts of it, and the whole for writing it back.

    Timestamps are not read at all: other clocks decide nothing here.
    """

    uid: str
    resource_version: str
    holder: str
    """holderIdentity; empty if there is none, or none that is a text."""
    duration: float
    """leaseDurationSeconds; 0 if there is none that makes sense."""
    transitions: int
    """leaseTransitions; 0 if there are none that make sense."""
    renew_time: str
    """renewTime as written: together with holder and transitions it tells one write from another."""
    released: bool
    """Whether the last holder gave it back."""
    raw: Mapping[str, Any]

    @classmethod
    def parse(cls, raw: Mapping[str, Any]) -> Self:
        """Read it; never raises for what somebody wrote into it."""
        metadata, spec = _mapping(raw, "metadata"), _mapping(raw, "spec")
        holder = _text(spec, "holderIdentity")
        return cls(
            uid=_text(metadata, "uid"),
            resource_version=_text(metadata, "resourceVersion"),
            holder=holder,
            duration=_positive(spec, "leaseDurationSeconds"),
            transitions=int(min(_positive(spec, "leaseTransitions"), _MOST_TRANSITIONS)),
            renew_time=_text(spec, "renewTime"),
            released=not holder and bool(_text(_mapping(metadata, "annotations"), RELEASED)),
            raw=raw,
        )

    @property
    def number(self) -> int:
        """The resourceVersion for comparing; 0 if it is not a number."""
        return int(self.resource_version) if self.resource_version.isdecimal() else 0

    def taken(self, identity: str, timings: LeaseTimings) -> dict[str, Any]:
        """The object that takes office: transitions raised, the mark of an earlier release removed."""
        transitions = 1 if self.transitions >= _MOST_TRANSITIONS else self.transitions + 1
        spec = _held_spec(identity, timings, transitions)
        return {**self.raw, "metadata": self._metadata(RELEASED, None), "spec": spec}

    def renewed(self) -> dict[str, Any]:
        """The object that renews it, for its holder."""
        return {**self.raw, "spec": {**self.raw["spec"], "renewTime": _now()}}

    def given_back(self) -> dict[str, Any]:
        """The object that releases it: as client-go does, with the mark that it was meant."""
        spec = {
            "holderIdentity": "",
            "leaseDurationSeconds": 1,
            "acquireTime": _now(),
            "renewTime": _now(),
            "leaseTransitions": self.transitions,
        }
        return {**self.raw, "metadata": self._metadata(RELEASED, self.holder), "spec": spec}

    def _metadata(self, annotation: str, value: str | None) -> dict[str, Any]:
        metadata = dict(_mapping(self.raw, "metadata"))
        annotations = {**_mapping(metadata, "annotations")}
        annotations.pop(annotation, None)
        return {**metadata, "annotations": annotations | ({} if value is None else {annotation: value})}


def new_lease(name: str, namespace: str, identity: str, timings: LeaseTimings) -> dict[str, Any]:
    """The object that creates the Lease, held from the start."""
    return {
        "apiVersion": LEASES.api_version,
        "kind": LEASES.kind,
        "metadata": {"name": name, "namespace": namespace},
        "spec": _held_spec(identity, timings, transitions=0),
    }


def _held_spec(identity: str, timings: LeaseTimings, transitions: int) -> dict[str, Any]:
    now = _now()
    return {
        "holderIdentity": identity,
        "leaseDurationSeconds": timings.lease_seconds,
        "acquireTime": now,
        "renewTime": now,
        "leaseTransitions": transitions,
    }


def _now() -> str:
    """A MicroTime: UTC, always six digits, as the server writes it back."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _mapping(parent: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = parent.get(key)
    return value if isinstance(value, Mapping) else {}


def _text(parent: Mapping[str, Any], key: str) -> str:
    value = parent.get(key)
    return value if isinstance(value, str) else ""


def _positive(parent: Mapping[str, Any], key: str) -> float:
    value = parent.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return 0
    return max(0, value)  # 0 for NaN, too
