"""What a target must look like, whose it is, and whether it has to be written; no requests here (P4)."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from controller.config.model import GROUP, KIND, VERSION
from controller.events import RenderedOutput
from controller.kube.client import CONFIG_MAPS, SECRETS, Resource

MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGER = "kopfbus"
OWNER_UID = f"{GROUP}/config-template-uid"
CHECKSUM = f"{GROUP}/checksum"
TERM = f"{GROUP}/term"
ADOPT_BY = f"{GROUP}/adopt-by"
MAX_BYTES = 1 << 20
"""What the API server takes as data of one ConfigMap or Secret, in bytes; keys do not count."""

RESOURCES: Mapping[str, Resource] = {"ConfigMap": CONFIG_MAPS, "Secret": SECRETS}
Document = Mapping[str, Any]


class TargetRefused(Exception):
    """A target that cannot be written as it is; `reason` is the condition reason."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """The ConfigTemplate that targets belong to."""

    namespace: str
    name: str
    uid: str

    def reference(self) -> dict[str, Any]:
        """As controller ownerReference: targets are collected with their ConfigTemplate (P7)."""
        return {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": KIND,
            "name": self.name,
            "uid": self.uid,
            "controller": True,
        }


@dataclass(frozen=True, slots=True)
class TargetPlan:
    """All outputs that go to one object: its data by key."""

    kind: str
    name: str
    data: Mapping[str, str] = field(repr=False)

    @property
    def resource(self) -> Resource:
        """The target's kind."""
        return RESOURCES[self.kind]

    @property
    def checksum(self) -> str:
        """Of the whole data."""
        return checksum({key: text.encode() for key, text in self.data.items()})

    def check_size(self) -> None:
        """Refuse more than one object holds."""
        size = sum(len(text.encode()) for text in self.data.values())
        if size > MAX_BYTES:
            raise TargetRefused(
                "TooLarge",
                f"{self.kind} {self.name}: {size:,} bytes of data, but one object holds {MAX_BYTES:,}: "
                "spread the outputs over several targets",
            )


def plans(outputs: Sequence[RenderedOutput]) -> tuple[TargetPlan, ...]:
    """The targets of a render, in the order of their first output."""
    grouped: dict[tuple[str, str], dict[str, str]] = {}
    for output in outputs:
        grouped.setdefault((output.target.kind, output.target.name), {})[output.target.key] = output.text
    return tuple(TargetPlan(kind, name, data) for (kind, name), data in grouped.items())


def checksum(data: Mapping[str, bytes]) -> str:
    """sha256 over keys and values, each with its length, in the order of the keys."""
    digest = hashlib.sha256()
    for key in sorted(data):
        for part in (key.encode(), data[key]):
            digest.update(len(part).to_bytes(8, "big") + part)
    return f"sha256:{digest.hexdigest()}"


def stored_data(obj: Document) -> dict[str, bytes]:
    """The data of a ConfigMap or Secret as it stands in the cluster."""
    encoded = obj.get("data") or {}
    if obj.get("kind") == "Secret":
        return {key: base64.b64decode(value) for key, value in encoded.items()}
    data = {key: value.encode() for key, value in encoded.items()}
    # No key has a slash: the same content in binaryData is another state, as templates give text.
    binary = obj.get("binaryData") or {}
    return data | {f"binaryData/{key}": base64.b64decode(value) for key, value in binary.items()}


def controller_of(obj: Document) -> Mapping[str, Any] | None:
    """The object's controller ownerReference, if it has one."""
    references: Iterable[Mapping[str, Any]] = obj["metadata"].get("ownerReferences") or ()
    return next((reference for reference in references if reference.get("controller")), None)


def check_ownership(obj: Document, owner: Owner) -> None:
    """Refuse a target that is not this ConfigTemplate's and has not been given to it (P4)."""
    metadata = obj["metadata"]
    if (metadata.get("annotations") or {}).get(ADOPT_BY) == owner.name:
        return
    holder = controller_of(obj)
    if holder is not None:
        group = str(holder.get("apiVersion", "")).partition("/")[0]
        if holder.get("uid") == owner.uid:
            return
        # Same kind and name with another uid: that one was deleted, for this one now has the name.
        if (group, holder.get("kind"), holder.get("name")) == (GROUP, KIND, owner.name):
            return
    whose = f"belongs to {holder.get('kind')} {holder.get('name')}" if holder else "has no owner"
    raise TargetRefused(
        "TargetConflict",
        f"{obj['kind']} {metadata['name']} exists and {whose}: choose another name, delete it, "
        f"or annotate it with {ADOPT_BY}: {owner.name}",
    )


def term_of(obj: Document) -> int:
    """The term that last wrote a target; 0 for none that can be read."""
    text = (obj["metadata"].get("annotations") or {}).get(TERM, "")
    return int(text) if text.isdecimal() else 0


def is_current(obj: Document, plan: TargetPlan, owner: Owner, term: str) -> bool:
    """Whether a target is exactly what this term has to write, so that it need not be (P4)."""
    return checksum(stored_data(obj)) == plan.checksum and _metadata(obj["metadata"], plan, owner, term) == {
        key: value for key, value in obj["metadata"].items() if key != "managedFields"
    }


def fresh(plan: TargetPlan, owner: Owner, term: str) -> dict[str, Any]:
    """A target that is to be created."""
    metadata = {"name": plan.name, "namespace": owner.namespace}
    obj = {"apiVersion": "v1", "kind": plan.kind} | ({"type": "Opaque"} if plan.kind == "Secret" else {})
    return _with_data(obj, plan, _metadata(metadata, plan, owner, term))


def replacement(obj: Document, plan: TargetPlan, owner: Owner, term: str) -> dict[str, Any]:
    """A target that is there, with new content; foreign labels and annotations are kept.

    Raises TargetRefused when it is immutable and its content would change.
    """
    if obj.get("immutable") and checksum(stored_data(obj)) != plan.checksum:
        raise TargetRefused(
            "TargetImmutable",
            f"{plan.kind} {plan.name} is immutable: delete it, and it is created with the new content",
        )
    return _with_data(obj, plan, _metadata(obj["metadata"], plan, owner, term))


def _metadata(present: Mapping[str, Any], plan: TargetPlan, owner: Owner, term: str) -> dict[str, Any]:
    metadata = {key: value for key, value in present.items() if key != "managedFields"}
    metadata["labels"] = {**(present.get("labels") or {}), MANAGED_BY: MANAGER, OWNER_UID: owner.uid}
    annotations = {**(present.get("annotations") or {}), CHECKSUM: plan.checksum}
    if term:
        annotations[TERM] = term
    metadata["annotations"] = annotations
    others = [ref for ref in present.get("ownerReferences") or () if not ref.get("controller")]
    metadata["ownerReferences"] = [*others, owner.reference()]
    return metadata


def _with_data(obj: Document, plan: TargetPlan, metadata: dict[str, Any]) -> dict[str, Any]:
    written = {key: value for key, value in obj.items() if key not in {"data", "binaryData", "metadata"}}
    written["metadata"] = metadata
    if plan.kind == "Secret":
        written["data"] = {key: base64.b64encode(text.encode()).decode() for key, text in plan.data.items()}
    else:
        written["data"] = dict(plan.data)
    return written
