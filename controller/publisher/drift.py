"""Watches the targets and tells when one is not what was published (P6)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import msgspec
import structlog

from controller.clock import Clock
from controller.component import Component, on
from controller.config.model import KIND
from controller.events import (
    ConfigPublished,
    ConfigPublishFailed,
    ConfigRemoved,
    DriftDetected,
    PublicationSuperseded,
)
from controller.kube.client import KubeClient
from controller.kube.informer import Informer
from controller.kube.selection import Selection, WatchFailure
from controller.kube.store import Changes, StoredObject
from controller.publisher.targets import (
    CHECKSUM,
    MANAGED_BY,
    MANAGER,
    OWNER_UID,
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
    """What a target must be. Without uid and checksum a publication was cut short: new and old are right."""

    template: str
    owner: str
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
                on_synced=partial(self._synced, kind),
                on_failed=self._failed,
                on_recovered=self._recovered,
            )
            self.spawn(f"targets {kind}", self._informers[kind].run)
        self.spawn("doubtful", self._look_again)

    @on(ConfigPublished)
    async def published(self, event: ConfigPublished) -> None:
        """From now on this is what the targets must be."""
        namespace = event.template.split("/", maxsplit=1)[0]
        expected = {
            (target.kind, namespace, target.name): _Expected(
                event.template, event.uid, target.uid, target.checksum
            )
            for target in event.targets
        }
        for key in self._expected_of(event.template):
            if self._expected[key] != expected.get(key):
                self._drop(key)
        for key, what in expected.items():
            self._expected[key] = what
            self._settle(key)  # the store may still be behind our own write

    @on(ConfigPublishFailed, PublicationSuperseded)
    async def cut_short(self, event: ConfigPublishFailed | PublicationSuperseded) -> None:
        """Some targets may have been written and some not."""
        for key in self._expected_of(event.template):
            self._expected[key] = replace(self._expected[key], uid="", checksum="")

    @on(ConfigRemoved)
    async def removed(self, event: ConfigRemoved) -> None:
        """Its targets go with it."""
        for key in self._expected_of(event.template):
            self._drop(key)

    def _expected_of(self, template: str) -> list[Key]:
        return [key for key, expected in self._expected.items() if expected.template == template]

    def _drop(self, key: Key) -> None:
        del self._expected[key]
        self._doubtful.cancel(key)

    def _settle(self, key: Key) -> None:
        """Look again soon; a look that is planned is not pushed back."""
        if self._doubtful.pending(key) is None:
            self._doubtful.set(key, self._clock.monotonic() + SETTLE)

    def _synced(self, kind: str) -> None:
        """The first list is in: what came with it was not judged."""
        for key in self._all(kind):
            self._judge(key, patient=True)

    def _all(self, kind: str) -> list[Key]:
        """Every target that is there, or should be."""
        there = [(kind, obj.namespace, obj.name) for obj in self._informers[kind].store.snapshot()]
        return list(dict.fromkeys([*there, *(key for key in self._expected if key[0] == kind)]))

    def _changed(self, kind: str, changes: Changes) -> None:
        """Look at what has changed, or at everything when that is too much to name."""
        total = changes.created + changes.modified + changes.deleted
        named = total <= len(changes.keys)
        for key in [(kind, *key) for key in changes.keys] if named else self._all(kind):
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
            self._settle(key)
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
        metadata = document["metadata"]
        labels, annotations = metadata.get("labels") or {}, metadata.get("annotations") or {}
        noted = annotations.get(CHECKSUM)
        owner = controller_of(document)
        if expected.uid and obj.uid != expected.uid:
            return "deleted and created by another"
        if checksum(stored_data(document)) != (expected.checksum or noted):
            return "its data was changed"
        if noted != (expected.checksum or noted) or (self._term and not self._in_term(annotations, expected)):
            return "its annotations were changed"
        if owner is None or owner.get("uid") != expected.owner:
            return "its owner was changed"
        return "" if labels.get(OWNER_UID) == expected.owner else "its labels were changed"

    def _in_term(self, annotations: dict[str, str], expected: _Expected) -> bool:
        return annotations.get(TERM) == self._term or not expected.checksum

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
