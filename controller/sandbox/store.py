"""All objects, one version counter, and the recent history that watches and paged lists are served from."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from controller.sandbox.kinds import Kind
from controller.sandbox.statuses import Object

Key = tuple[str, str]
"""Namespace (empty for cluster-scoped objects) and name."""


class HistoryGone(Exception):
    """That version is older than the history kept; `oldest` is the first one that can still be asked for."""

    def __init__(self, oldest: int) -> None:
        super().__init__(f"history begins at {oldest}")
        self.oldest = oldest


@dataclass(frozen=True, slots=True)
class Change:
    """One write: `old` is None for a creation, `new` for a removal."""

    version: int
    kind: Kind
    key: Key
    old: Object | None
    new: Object | None


class Store:
    """Objects by kind, namespace and name. Stored objects are never changed, only replaced; one loop only."""

    def __init__(self, window: int) -> None:
        self.version = 0
        """The resourceVersion of the last write."""
        self._window = window
        self._objects: dict[tuple[str, str], dict[Key, Object]] = {}
        self._namespaces: dict[str, str] = {}
        """Where the object with a uid is."""
        self._history: list[Change] = []
        self._forgotten = 0
        self._news = asyncio.Event()

    def get(self, kind: Kind, key: Key) -> Object | None:
        """Return the object, or None."""
        return self._objects.get(kind.id, {}).get(key)

    def all(self, kind: Kind) -> dict[Key, Object]:
        """A copy of the kind's objects, unsorted."""
        return dict(self._objects.get(kind.id, {}))

    def has_owner(self, uid: str, namespace: str) -> bool:
        """Whether there is an object with that uid in the namespace, or a cluster-scoped one."""
        return self._namespaces.get(uid) in {namespace, ""}

    def put(self, kind: Kind, obj: Object) -> Object:
        """Store a new state under the next version, which is written into it."""
        key = key_of(obj)
        kept = self._objects.setdefault(kind.id, {})
        old = kept.get(key)
        obj["metadata"]["resourceVersion"] = str(self.version + 1)
        kept[key] = obj
        self._record(kind, key, old, obj)
        return obj

    def remove(self, kind: Kind, key: Key) -> None:
        """Remove the object, under a version of its own."""
        old = self._objects[kind.id].pop(key)
        self._record(kind, key, old, None)

    def as_of(self, kind: Kind, version: int) -> dict[Key, Object]:
        """Return the kind's objects as they were; raises HistoryGone."""
        objects = self.all(kind)
        for change in reversed(self.since(version)):
            if change.kind.id != kind.id:
                continue
            if change.old is None:
                del objects[change.key]
            else:
                objects[change.key] = change.old
        return objects

    def since(self, version: int) -> Sequence[Change]:
        """Return every write after that version; none for one in the future. Raises HistoryGone."""
        if version < self._forgotten:
            raise HistoryGone(self._forgotten)
        return self._history[version - self._forgotten :]

    async def wait_beyond(self, version: int) -> None:
        """Return once there was a write after that version."""
        while self.version <= version:
            await self._news.wait()

    def forget_history(self) -> None:
        """Drop the whole history, as a compaction does: whoever resumes from before is told 410."""
        self._history.clear()
        self._forgotten = self.version

    def _record(self, kind: Kind, key: Key, old: Object | None, new: Object | None) -> None:
        self.version += 1
        if new is None and old is not None:
            self._namespaces.pop(old["metadata"].get("uid", ""), None)
        elif new is not None and "uid" in new["metadata"]:
            self._namespaces[new["metadata"]["uid"]] = key[0]
        self._history.append(Change(self.version, kind, key, old, new))
        if len(self._history) >= 2 * self._window:  # in bulk: a list is slow to shorten at its head
            del self._history[: self._window]
            self._forgotten += self._window
        self._news.set()
        self._news = asyncio.Event()


def key_of(obj: Object) -> Key:
    """Where the object is kept."""
    metadata = obj["metadata"]
    return metadata.get("namespace", ""), metadata["name"]


def in_order(objects: dict[Key, Object]) -> Iterator[tuple[Key, Object]]:
    """By namespace and name, as lists are served."""
    return iter(sorted(objects.items()))
