"""The ConfigTemplates' own informer: the authority on which exist, beside kopf's quicker but leaky hints."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import msgspec
import structlog

from controller.clock import Clock
from controller.component import Component, on
from controller.config.model import GROUP, KIND, VERSION
from controller.events import ConfigListComplete, ConfigResourceChanged, LeaderBecame, LeaderLost
from controller.kube.client import KubeClient
from controller.kube.errors import KubeError
from controller.kube.informer import Informer
from controller.kube.selection import Selection, WatchFailure
from controller.kube.store import Changes, StoredObject
from events import Event

RETRY_AFTER = 1.0
"""Seconds before a barrier's failed LIST is tried again."""

_log = structlog.get_logger("kopfbus.config")


@dataclass(frozen=True, slots=True)
class Standing:
    """What the informer's copy of a ConfigTemplate says of publishing it."""

    uid: str
    generation: int
    deleting: bool
    suspended: bool


class ConfigSource(Component):
    """Publishes `config.resource.changed` for what changes, and `config.list.complete` for barriers."""

    name = "config-source"
    publishes: ClassVar[tuple[type[Event], ...]] = (ConfigResourceChanged, ConfigListComplete)
    source = True

    def __init__(self, client: KubeClient, clock: Clock, namespaces: tuple[str, ...]) -> None:
        self._clock = clock
        self._seen: dict[tuple[str, str], StoredObject] = {}
        self._newest: dict[str, int] = {}
        """The highest resourceVersion that the informer has shown, by namespace."""
        self._informer = Informer(
            client,
            Selection(f"{GROUP}/{VERSION}", KIND, namespaces, ignore_fields=("status",)),
            clock=clock,
            on_change=self._changed,
            on_synced=self._synced,
            on_failed=self._failed,
            on_recovered=self._recovered,
        )
        self._first_list = asyncio.Event()
        self._term = ""
        self._proven = ""
        """The term in which everything was listed."""

    async def start(self) -> None:
        """Begin to watch; if it is again, the store stays as it is until the next list."""
        self.spawn("informer", self._informer.run)
        self._prove()

    @property
    def listed(self) -> bool:
        """Whether the first list is in."""
        return self._informer.synced

    async def wait_listed(self) -> None:
        """Wait until the first list is in."""
        await self._first_list.wait()

    @property
    def failure(self) -> WatchFailure | None:
        """Why ConfigTemplates cannot be watched, if they cannot."""
        return self._informer.failure

    def listing(self) -> tuple[Mapping[str, int], Iterable[Mapping[str, Any]]]:
        """How far the store has come in each namespace, and all its ConfigTemplates (without status)."""
        return self._newest, [_body(obj) for obj in self._informer.store.snapshot()]

    def standing(self, template: str) -> Standing | None:
        """What the store says of a ConfigTemplate now; None when it has none of that name."""
        namespace, name = template.split("/")
        obj = self._informer.store.get(namespace, name)
        if obj is None:
            return None
        body = msgspec.json.decode(obj.raw)
        suspended = bool((body.get("spec") or {}).get("suspend"))
        return Standing(obj.uid, obj.generation, _is_deleting(body), suspended)

    @on(LeaderBecame)
    async def became(self, event: LeaderBecame) -> None:
        """A term begins: read everything afresh (L8)."""
        self._term = event.term
        self._prove()

    @on(LeaderLost)
    async def lost(self, event: LeaderLost) -> None:
        """No barrier is waited for any more."""
        self._term = ""

    def _prove(self) -> None:
        if self._term and self._proven != self._term:
            self.spawn("barrier", partial(self._barrier, self._term))

    async def _barrier(self, term: str) -> None:
        while self._term == term:
            try:
                await self._informer.refresh()
            except KubeError as error:
                _log.warning("cannot list ConfigTemplates", error=str(error), retry_in=RETRY_AFTER)
                await self._clock.sleep(RETRY_AFTER)
            else:
                self._complete(term)
                self._proven = term
                return

    def _complete(self, term: str) -> None:
        """Tell what there is; first what has changed: whatever is listed was published before."""
        self._publish_changes()
        standing = [obj for obj in self._seen.values() if not _is_deleting(_body(obj))]
        generations = tuple((f"{obj.namespace}/{obj.name}", obj.uid, obj.generation) for obj in standing)
        self.publish(ConfigListComplete(term=term, generations=generations))

    def _synced(self) -> None:
        self._complete("")
        self._first_list.set()

    def _changed(self, changes: Changes) -> None:
        self._publish_changes()

    def _publish_changes(self) -> None:
        """Publish the difference between the store and what was published before."""
        current = {(obj.namespace, obj.name): obj for obj in self._informer.store.snapshot()}
        for key in self._seen.keys() - current.keys():
            self._publish(self._seen[key], deleted=True)
        for key, obj in current.items():
            before = self._seen.get(key)
            if before is None or (before.uid, before.raw) != (obj.uid, obj.raw):
                self._publish(obj, deleted=False)
            if obj.resource_version.isdecimal():
                self._newest[obj.namespace] = max(
                    self._newest.get(obj.namespace, 0), int(obj.resource_version)
                )
        self._seen = current

    def _publish(self, obj: StoredObject, *, deleted: bool) -> None:
        self.publish(
            ConfigResourceChanged(
                template=f"{obj.namespace}/{obj.name}",
                source="informer",
                resource_version=obj.resource_version,
                body=_body(obj),
                deleted=deleted,
            )
        )

    def _failed(self, failure: WatchFailure) -> None:
        _log.warning("ConfigTemplates cannot be watched", failure=str(failure))

    def _recovered(self, failure: WatchFailure) -> None:
        _log.info("ConfigTemplates are watched again", failure=str(failure))


def _body(obj: StoredObject) -> Mapping[str, Any]:
    """The object with its resourceVersion, which the store keeps apart."""
    body: dict[str, Any] = msgspec.json.decode(obj.raw)
    body["metadata"]["resourceVersion"] = obj.resource_version
    return body


def _is_deleting(body: Mapping[str, Any]) -> bool:
    return bool(body["metadata"].get("deletionTimestamp"))
