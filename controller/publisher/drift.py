"""Watches the targets and tells when one is not what was published (P6)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import msgspec
import structlog

from controller.clock import Clock
from controller.component import Component, on
from controller.config.model import KIND
from controller.events import ConfigPublished, ConfigRemoved, DriftDetected
from controller.kube.client import KubeClient
from controller.kube.informer import Informer
from controller.kube.selection import Selection, WatchFailure
from controller.kube.store import Changes, StoredObject
from controller.publisher.targets import (
    CHECKSUM,
    MANAGED_BY,
    MANAGER,
    TERM,
    checksum,
    controller_of,
    stored_data,
)
from controller.timers import Timers
from events import Delivery, Event

SETTLE = 2.0
"""Seconds that a write which looks like our own has until its `config.published` must have come."""

_log = structlog.get_logger("kopfbus.drift")
Key = tuple[str, str, str]
"""Kind, namespace and name of a target."""


@dataclass(frozen=True, slots=True)
class _Expected:
    template: str
    uid: str
    checksum: str


class DriftWatch(Component):
    """Follows everything labelled as ours; the echo of our own writes is no drift."""

    name = "drift"
    publishes: ClassVar[tuple[type[Event], ...]] = (DriftDetected,)
    leader_only = True
    delivery = Delivery.LATEST

    def __init__(
        self,
        client: KubeClient,
        clock: Clock,
        term: str,
        *,
        target_kinds: tuple[str, ...],
        namespaces: tuple[str, ...],
    ) -> None:
        self._client = client
        self._clock = clock
        self._term = term
        self._target_kinds = target_kinds
        self._namespaces = namespaces
        self._informers: dict[str, Informer] = {}
        self._expected: dict[Key, _Expected] = {}
        self._doubtful: Timers[Key] = Timers(clock)

    async def start(self) -> None:
        """Begin to watch."""
        for kind in self._target_kinds:
            self._informers[kind] = Informer(
                self._client,
                Selection("v1", kind, self._namespaces, label_selector=f"{MANAGED_BY}={MANAGER}"),
                clock=self._clock,
                on_change=partial(self._changed, kind),
                on_synced=lambda: None,
                on_failed=self._failed,
                on_recovered=self._recovered,
            )
            self.spawn(f"targets {kind}", self._informers[kind].run)
        self.spawn("doubtful", self._look_again)

    @on(ConfigPublished)
    async def published(self, event: ConfigPublished) -> None:
        """From now on this is what the targets must be."""
        namespace = event.template.split("/", maxsplit=1)[0]
        self._forget(event.template)
        for target in event.targets:
            key = (target.kind, namespace, target.name)
            self._expected[key] = _Expected(event.template, target.uid, target.checksum)
            # The store may still be behind our own write: it has time to catch up.
            self._doubtful.set(key, self._clock.monotonic() + SETTLE)

    @on(ConfigRemoved)
    async def removed(self, event: ConfigRemoved) -> None:
        """Its targets go with it."""
        self._forget(event.template)

    def _forget(self, template: str) -> None:
        for key in [key for key, expected in self._expected.items() if expected.template == template]:
            del self._expected[key]
            self._doubtful.cancel(key)

    def _changed(self, kind: str, changes: Changes) -> None:
        """Look at what has changed, or at everything when that is too much to name."""
        total = changes.created + changes.modified + changes.deleted
        if total <= len(changes.keys):
            keys = [(kind, *key) for key in changes.keys]
        else:
            keys = [key for key in self._expected if key[0] == kind]
        for key in keys:
            self._judge(key, patient=True)

    async def _look_again(self) -> None:
        while True:
            self._judge(await self._doubtful.next(), patient=False)

    def _judge(self, key: Key, *, patient: bool) -> None:
        kind, namespace, name = key
        informer = self._informers[kind]
        if not informer.synced:
            return
        obj = informer.store.get(namespace, name)
        expected = self._expected.get(key)
        if expected is None:
            self._judge_unexpected(key, obj)
            return
        what = self._difference(obj, expected)
        if not what:
            self._doubtful.cancel(key)
        elif patient and obj is not None and self._looks_like_ours(obj):
            self._doubtful.set(key, self._clock.monotonic() + SETTLE)
        else:
            self._tell(expected.template, key, what)

    def _judge_unexpected(self, key: Key, obj: StoredObject | None) -> None:
        """Nothing was published to it in this term: drift can be told, but not repaired."""
        if obj is None:
            return
        document: dict[str, Any] = msgspec.json.decode(obj.raw)
        owner = controller_of(document)
        noted = (document["metadata"].get("annotations") or {}).get(CHECKSUM)
        if owner is not None and owner.get("kind") == KIND and noted != checksum(stored_data(document)):
            self._tell(f"{obj.namespace}/{owner['name']}", key, "changed since it was published")

    def _difference(self, obj: StoredObject | None, expected: _Expected) -> str:
        if obj is None:
            return "deleted, or its labels were removed"
        document: dict[str, Any] = msgspec.json.decode(obj.raw)
        if document["metadata"].get("deletionTimestamp"):
            return ""  # it will be deleted, and then created again
        if obj.uid != expected.uid:
            return "deleted and created by another"
        if checksum(stored_data(document)) != expected.checksum:
            return "its data was changed"
        annotations = document["metadata"].get("annotations") or {}
        if annotations.get(CHECKSUM) != expected.checksum or (
            self._term and annotations.get(TERM) != self._term
        ):
            return "its annotations were changed"
        owner = controller_of(document)
        return "" if owner is not None and owner.get("kind") == KIND else "its owner was changed"

    def _looks_like_ours(self, obj: StoredObject) -> bool:
        document: dict[str, Any] = msgspec.json.decode(obj.raw)
        annotations = document["metadata"].get("annotations") or {}
        same_term = not self._term or annotations.get(TERM) == self._term
        return same_term and annotations.get(CHECKSUM) == checksum(stored_data(document))

    def _tell(self, template: str, key: Key, what: str) -> None:
        kind, _, name = key
        self.publish(DriftDetected(template=template, kind=kind, name=name, what=what))

    def _failed(self, failure: WatchFailure) -> None:
        _log.warning("targets cannot be watched", failure=str(failure))

    def _recovered(self, failure: WatchFailure) -> None:
        _log.info("targets are watched again", failure=str(failure))
