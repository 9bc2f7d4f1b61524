"""The local copy of watched objects: metadata typed, the rest as the bytes that templates are fed with.

What never matters is taken out before storing (S5): managedFields, resourceVersion, declared ignoreFields.
So two states of an object are the same exactly when their bytes are.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import msgspec

from controller.config.paths import FieldPath

MAX_KEYS = 100
"""How many keys a report of changes names at most."""

Key = tuple[str, str]
"""Namespace (empty for a cluster-scoped object) and name."""


class StoredObject(msgspec.Struct, frozen=True, gc=False):
    """One object as stored. Immutable, holds no view into what it was read from; may cross threads."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    generation: int
    raw: bytes
    """The JSON document, apiVersion and kind first, without what S5 removes."""


class UndecodableObject(ValueError):
    """What the API server sent is no object with a name."""


class Change(Enum):
    """What happened to one object."""

    CREATED = "created"
    MODIFIED = "modified"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Changes:
    """What one batch has changed; false when nothing. `keys` names at most MAX_KEYS of the objects."""

    created: int = 0
    modified: int = 0
    deleted: int = 0
    keys: tuple[Key, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.created or self.modified or self.deleted)


class Tally:
    """Counts changes up to a report."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(Change, 0)
        self._keys: dict[Key, None] = {}

    def add(self, change: Change | None, key: Key) -> None:
        """Count one object's change; None is none."""
        if change is not None:
            self._counts[change] += 1
            if len(self._keys) < MAX_KEYS:
                self._keys[key] = None

    def take(self) -> Changes:
        """Everything counted so far; counting starts again."""
        created, modified, deleted = self._counts.values()
        changes = Changes(created, modified, deleted, tuple(self._keys))
        if changes:
            self._counts = dict.fromkeys(Change, 0)
            self._keys = {}
        return changes


class _Metadata(msgspec.Struct, rename="camel", gc=False):
    """What the store needs of an object's metadata; tolerant, because servers leave fields out."""

    name: str
    namespace: str | None = None
    uid: str | None = None
    resource_version: str | None = None
    generation: int | None = None


class ObjectDecoder:
    """Makes StoredObjects of one kind from JSON documents. Not for several threads: it reuses its buffer."""

    def __init__(self, api_version: str, kind: str, ignore_fields: Iterable[str] = ()) -> None:
        # A list's items lack both; given to all, an object's bytes are the same from a list and a watch.
        self._head = {"apiVersion": api_version, "kind": kind}
        self._ignored = tuple(FieldPath.parse(text) for text in ignore_fields)
        self._members = msgspec.json.Decoder(dict[str, msgspec.Raw])
        self._metadata = msgspec.json.Decoder(_Metadata)
        self._encoder = msgspec.json.Encoder()
        self._buffer = bytearray()

    def decode(self, document: bytes | msgspec.Raw) -> StoredObject:
        """Read one object. Raises UndecodableObject."""
        try:
            members = self._members.decode(document)
            identity = self._metadata.decode(members["metadata"])
            # Without ignored fields only the top level and the metadata are taken apart, which is what
            # makes this five times faster than decoding the object.
            raw = self._without_ignored(document) if self._ignored else self._stripped(members)
        except (msgspec.MsgspecError, LookupError, UnicodeDecodeError, RecursionError) as error:
            raise UndecodableObject(f"not a {self._head['kind']}: {error!r}") from error
        return StoredObject(
            namespace=sys.intern(identity.namespace or ""),
            name=identity.name,
            uid=identity.uid or "",
            resource_version=identity.resource_version or "",
            generation=identity.generation or 0,
            raw=raw,
        )

    def _stripped(self, members: dict[str, msgspec.Raw]) -> bytes:
        metadata = self._members.decode(members["metadata"])
        return self._encode({**members, "metadata": _without_bookkeeping(metadata)})

    def _without_ignored(self, document: bytes | msgspec.Raw) -> bytes:
        obj: dict[str, Any] = msgspec.json.decode(document)
        _without_bookkeeping(obj["metadata"])
        for path in self._ignored:
            path.remove(obj)
        return self._encode(obj)

    def _encode(self, members: dict[str, Any]) -> bytes:
        # encode() returns a block larger than its contents; the copy out of a buffer of ours fits.
        self._encoder.encode_into({**self._head, **members, **self._head}, self._buffer)
        return bytes(self._buffer)


def _without_bookkeeping(metadata: dict[str, Any]) -> dict[str, Any]:
    metadata.pop("managedFields", None)
    metadata.pop("resourceVersion", None)
    return metadata


class Store:
    """Objects by namespace and name. Changed in one loop only; snapshots may go anywhere."""

    def __init__(self) -> None:
        self._objects: dict[Key, StoredObject] = {}
        self._in_order = True
        self._snapshot: tuple[StoredObject, ...] | None = ()

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, namespace: str, name: str) -> StoredObject | None:
        """One object; the namespace of a cluster-scoped one is empty."""
        return self._objects.get((namespace, name))

    def snapshot(self) -> tuple[StoredObject, ...]:
        """All objects by namespace and name, as they are now: the same state gives the same order."""
        if self._snapshot is None:
            if not self._in_order:
                # Kept in order, so that the next sort finds only the newcomers out of place.
                self._objects = dict(sorted(self._objects.items()))
                self._in_order = True
            self._snapshot = tuple(self._objects.values())
        return self._snapshot

    def apply(self, obj: StoredObject) -> Change | None:
        """Put an object in; None if it was there and only its resourceVersion is new."""
        key = (obj.namespace, obj.name)
        known = self._objects.get(key)
        obj = self.reuse(obj)
        if obj is known:
            return None
        self._objects[key] = obj
        self._snapshot = None
        if known is None:
            self._in_order = False
            return Change.CREATED
        return None if _same(known, obj) else Change.MODIFIED

    def delete(self, namespace: str, name: str) -> Change | None:
        """Take an object out; None if it was not there."""
        if self._objects.pop((namespace, name), None) is None:
            return None
        self._snapshot = None
        return Change.DELETED

    def replace_all(self, objects: Iterable[StoredObject], namespace: str | None = None) -> Changes:
        """Make these the store's objects, or those of one namespace, at once; what is missing is deleted."""
        incoming = {(obj.namespace, obj.name): obj for obj in objects}
        tally = Tally()
        gone = [
            key for key in self._objects if key not in incoming and (namespace is None or key[0] == namespace)
        ]
        for key in gone:
            tally.add(self.delete(*key), key)
        for key, obj in incoming.items():
            if self._objects.get(key) is not obj:
                tally.add(self.apply(obj), key)
        return tally.take()

    def reuse(self, obj: StoredObject) -> StoredObject:
        """The same object with the stored one's bytes, if equal: a relist then holds nothing twice."""
        known = self._objects.get((obj.namespace, obj.name))
        if known is None or not _same(known, obj):
            return obj
        if known.resource_version == obj.resource_version:
            return known
        return msgspec.structs.replace(obj, raw=known.raw)


def _same(one: StoredObject, other: StoredObject) -> bool:
    """Nothing but the resourceVersion differs; the uid tells an object from its namesake and successor."""
    return one.uid == other.uid and one.raw == other.raw
