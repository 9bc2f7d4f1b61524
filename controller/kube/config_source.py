"""The ConfigTemplates' own informer: the authority on which exist, beside kopf's quicker but leaky hints."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
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
        self._client = client
        self._selection = Selection(f"{GROUP}/{VERSION}", KIND, namespaces, ignore_fields=("status",))
        self._seen: dict[tuple[str, str], StoredObject] = {}
        self._informer = self._new_informer()
        self._first_list = asyncio.Event()
        self._term = ""

    def _new_informer(self) -> Informer:
        return Informer(
            self._client,
            self._selection,
            clock=self._clock,
            on_change=self._changed,
            on_synced=self._synced,
            on_failed=self._failed,
            on_recovered=self._recovered,
        )

    async def start(self) -> None:
        """Begin to watch."""
        self._informer = self._new_informer()
        self.spawn("informer", self._informer.run)

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

    def listing(self) -> tuple[str, Iterable[Mapping[str, Any]]]:
        """The newest resourceVersion in the store, and all the ConfigTemplates (without status)."""
        objects = self._informer.store.snapshot()
        versions = [int(obj.resource_version) for obj in objects if obj.resource_version.isdecimal()]
        return str(max(versions, default=0)), [_body(obj) for obj in objects]

    def standing(self, template: str) -> Standing | None:
        """What the store says of a ConfigTemplate now; None when it has none of that name."""
        namespace, name = template.split("/")
        obj = self._informer.store.get(namespace, name)
        if obj is None:
            return None
        body = msgspec.json.decode(obj.raw)
        deleting = bool(body["metadata"].get("deletionTimestamp"))
        return Standing(obj.uid, obj.generation, deleting, bool((body.get("spec") or {}).get("suspend")))

    @on(LeaderBecame)
    async def became(self, event: LeaderBecame) -> None:
        """A term begins: read everything afresh (L8)."""
        self._term = event.term
        self.spawn("barrier", self._barrier)

    @on(LeaderLost)
    async def lost(self, event: LeaderLost) -> None:
        """No barrier is waited for any more."""
        self._term = ""

    async def _barrier(self) -> None:
        term = self._term
        while self._term == term:
            try:
                await self._informer.refresh()
            except KubeError as error:
                _log.warning("cannot list ConfigTemplates", error=str(error), retry_in=RETRY_AFTER)
                await self._clock.sleep(RETRY_AFTER)
            else:
                self._complete(term)
                return

    def _complete(self, term: str) -> None:
        objects = self._informer.store.snapshot()
        generations = tuple((f"{obj.namespace}/{obj.name}", obj.uid, obj.generation) for obj in objects)
        self.publish(ConfigListComplete(term=term, generations=generations))

    def _synced(self) -> None:
        self._complete("")
        self._first_list.set()

    def _changed(self, changes: Changes) -> None:
        """Publish the difference between the store and what was published before."""
        current = {(obj.namespace, obj.name): obj for obj in self._informer.store.snapshot()}
        for key in self._seen.keys() - current.keys():
            self._publish(self._seen[key], deleted=True)
        for key, obj in current.items():
            before = self._seen.get(key)
            if before is None or (before.uid, before.raw) != (obj.uid, obj.raw):
                self._publish(obj, deleted=False)
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
