"""Serves the watches of all ConfigTemplates in force: one informer per selection, shared (S4)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import structlog

from controller.clock import Clock
from controller.component import Component, on
from controller.config.model import ConfigTemplateSpec, Watch
from controller.events import (
    ConfigInvalid,
    ConfigListComplete,
    ConfigRemoved,
    ConfigValidated,
    IndexDropped,
    IndexSynchronized,
    LeaderBecame,
    LeaderLost,
    ResourceIndexUpdated,
    ResourceSyncComplete,
    ResourceWatchFailed,
    ResourceWatchRecovered,
    ResourceWatchStarted,
    ResourceWatchStopped,
)
from controller.kube.client import KubeClient
from controller.kube.errors import KubeError
from controller.kube.informer import Informer
from controller.kube.selection import Selection, WatchFailure
from controller.kube.store import Changes
from controller.templating.renderer import WatchData
from events import Delivery, Event

RETRY_AFTER = 1.0
"""Seconds before a barrier's failed LIST is tried again; doubled each time, up to `RETRY_LIMIT`."""
RETRY_LIMIT = 30.0

_log = structlog.get_logger("kopfbus.watches")


@dataclass(slots=True)
class _Template:
    """One ConfigTemplate in force: what it watches, and what was last said of it."""

    uid: str
    generation: int
    watches: dict[str, Selection]
    indexes: dict[str, tuple[str, ...]]
    told: tuple[str, int, str] | None = None
    """(uid, generation, term) of the last `index.synchronized`."""


@dataclass(slots=True, eq=False)
class _Served:
    """One selection being watched, for whom, and the term whose barrier it has passed."""

    informer: Informer
    users: set[tuple[str, str]] = field(default_factory=set)
    """(template, watch) of everyone who shares it."""
    term: str = ""
    task: asyncio.Task[None] | None = None


class Watcher(Component):
    """Starts and stops informers as ConfigTemplates come and go, and tells what happens in their stores."""

    name = "watcher"
    publishes: ClassVar[tuple[type[Event], ...]] = (
        ResourceWatchStarted,
        ResourceWatchStopped,
        ResourceWatchFailed,
        ResourceWatchRecovered,
        ResourceSyncComplete,
        ResourceIndexUpdated,
        IndexSynchronized,
        IndexDropped,
    )
    delivery = Delivery.LATEST
    buffer_size = 1000

    def __init__(self, client: KubeClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._templates: dict[str, _Template] = {}
        self._served: dict[Selection, _Served] = {}
        self._judged: dict[str, tuple[str, int]] = {}
        self._removed: set[str] = set()
        self._term = ""
        self._first: dict[str, tuple[str, int]] | None = None
        """Generations of the first LIST of ConfigTemplates; None until it is in."""
        self._listed: dict[str, tuple[str, int]] | None = None
        """Generations of this term's LIST of ConfigTemplates; None until it is in."""

    # --- for others, in the main loop

    @property
    def tried(self) -> bool:
        """Whether every selection has been tried once, with whatever result (X4)."""
        return all(served.informer.tried for served in self._served.values())

    @property
    def warm(self) -> bool:
        """Whether every ConfigTemplate of the first list was judged, and what they watch tried (L1)."""
        return self._first is not None and self.tried and all(map(self._caught_up, self._first.items()))

    def snapshot(self, template: str, uid: str, generation: int) -> tuple[WatchData, ...] | None:
        """Everything that a generation watches, as of now; None unless just that is watched and synced."""
        known = self._templates.get(template)
        if known is None or (known.uid, known.generation) != (uid, generation):
            return None
        data = []
        for name, selection in known.watches.items():
            informer = self._served[selection].informer
            if not informer.synced:
                return None
            objects = tuple(obj.raw for obj in informer.store.snapshot())
            data.append(WatchData(name=name, index_by=known.indexes[name], objects=objects))
        return tuple(data)

    # --- ConfigTemplates

    async def start(self) -> None:
        """Follow what is served: nothing at first; started again, the same stores are brought up to date."""
        for served in self._served.values():
            self._follow(served)
            self._prove(served)

    @on(ConfigValidated)
    async def validated(self, event: ConfigValidated) -> None:
        """Watch what a generation wants; start and stop only what differs from before (S4)."""
        self._judge(event)
        before = self._templates.get(event.template)
        watches = selections(event.template, event.spec)
        told = before.told if before is not None else None
        self._templates[event.template] = _Template(
            event.uid,
            event.generation,
            watches,
            {watch.name: watch.index_by for watch in event.spec.watches},
            told,
        )
        old = before.watches if before is not None else {}
        for name, selection in old.items():
            if watches.get(name) != selection:
                self._release(event.template, name, selection)
        for name, selection in watches.items():
            if old.get(name) != selection:
                self._serve(event.template, name, selection)
        self._end_unused()
        self._tell(event.template)

    @on(ConfigInvalid)
    async def invalid(self, event: ConfigInvalid) -> None:
        """What was in force stays so, and may be rendered in this term."""
        self._judge(event)
        self._tell(event.template)

    @on(ConfigRemoved)
    async def removed(self, event: ConfigRemoved) -> None:
        """Nothing is watched for it any more (P7)."""
        self._judged.pop(event.template, None)
        self._removed.add(event.template)
        known = self._templates.pop(event.template, None)
        if known is None:
            return
        for name, selection in known.watches.items():
            self._release(event.template, name, selection)
        self._end_unused()
        self.publish(IndexDropped(template=event.template))

    def _judge(self, event: ConfigValidated | ConfigInvalid) -> None:
        self._judged[event.template] = (event.uid, event.generation)
        self._removed.discard(event.template)

    # --- informers

    def _serve(self, template: str, name: str, selection: Selection) -> None:
        served = self._served.get(selection)
        if served is None:
            # A first list begun in a term is one begun after the Lease was won: it passes the barrier (L8).
            served = self._served[selection] = _Served(self._new_informer(selection), term=self._term)
            self._follow(served)
        served.users.add((template, name))
        self.publish(
            ResourceWatchStarted(
                template=template, watch=name, kind=selection.kind, namespaces=selection.namespaces
            )
        )
        if served.informer.failure is not None:
            self._publish_failure(template, name, served.informer.failure)
        if served.informer.synced:
            self._publish_synced(template, name, served.informer)

    def _release(self, template: str, name: str, selection: Selection) -> None:
        self._served[selection].users.discard((template, name))
        self.publish(ResourceWatchStopped(template=template, watch=name))

    def _end_unused(self) -> None:
        """End the informers that nobody uses any more: not earlier, another watch may have taken one over."""
        for selection, served in list(self._served.items()):
            if not served.users:
                del self._served[selection]
                if served.task is not None:
                    served.task.cancel()

    def _follow(self, served: _Served) -> None:
        served.task = self.spawn(f"watch {served.informer.selection.kind}", served.informer.run)

    def _new_informer(self, selection: Selection) -> Informer:
        return Informer(
            self._client,
            selection,
            clock=self._clock,
            on_change=partial(self._changed, selection),
            on_synced=partial(self._synced, selection),
            on_failed=partial(self._failed, selection),
            on_recovered=partial(self._recovered, selection),
        )

    def _users(self, selection: Selection) -> list[tuple[str, str]]:
        served = self._served.get(selection)
        return sorted(served.users) if served is not None else []

    def _changed(self, selection: Selection, changes: Changes) -> None:
        served = self._served.get(selection)
        if served is None or not served.informer.synced:
            return  # the first list is told of by `index.synchronized`
        for template, name in self._users(selection):
            self.publish(
                ResourceIndexUpdated(
                    template=template,
                    watch=name,
                    created=changes.created,
                    modified=changes.modified,
                    deleted=changes.deleted,
                )
            )

    def _synced(self, selection: Selection) -> None:
        for template, name in self._users(selection):
            self._publish_synced(template, name, self._served[selection].informer)
            self._tell(template)

    def _failed(self, selection: Selection, failure: WatchFailure) -> None:
        for template, name in self._users(selection):
            self._publish_failure(template, name, failure)

    def _recovered(self, selection: Selection, failure: WatchFailure) -> None:
        served = self._served.get(selection)
        other = served.informer.failure if served is not None else None
        for template, name in self._users(selection):
            if other is not None:
                self._publish_failure(template, name, other)
            else:
                self.publish(ResourceWatchRecovered(template=template, watch=name))

    def _publish_synced(self, template: str, name: str, informer: Informer) -> None:
        self.publish(ResourceSyncComplete(template=template, watch=name, objects=len(informer.store)))

    def _publish_failure(self, template: str, name: str, failure: WatchFailure) -> None:
        self.publish(
            ResourceWatchFailed(
                template=template,
                watch=name,
                kind=failure.kind,
                namespace=failure.namespace,
                status=failure.status,
                reason=failure.reason,
                message=failure.message,
                missing_rule=failure.missing_rule,
            )
        )

    # --- the barrier (L8)

    @on(LeaderBecame)
    async def became(self, event: LeaderBecame) -> None:
        """A term begins: prove every store to be at least as new as now."""
        self._term = event.term
        self._listed = None
        for served in self._served.values():
            self._prove(served)

    @on(LeaderLost)
    async def lost(self, event: LeaderLost) -> None:
        """No barrier is waited for any more."""
        self._term = ""
        self._listed = None

    @on(ConfigListComplete)
    async def listed(self, event: ConfigListComplete) -> None:
        """The ConfigTemplates themselves were read in this term."""
        if not event.term:
            self._first = {template: (uid, generation) for template, uid, generation in event.generations}
        if event.term and event.term == self._term:
            self._listed = {template: (uid, generation) for template, uid, generation in event.generations}
            for template in list(self._templates):
                self._tell(template)

    def _prove(self, served: _Served) -> None:
        if self._term and served.term != self._term:
            kind = served.informer.selection.kind
            self.spawn(f"barrier {kind}", partial(self._refresh, served, self._term))

    async def _refresh(self, served: _Served, term: str) -> None:
        def wanted() -> bool:
            return self._term == term and self._served.get(served.informer.selection) is served

        wait = RETRY_AFTER
        while wanted():
            try:
                await served.informer.refresh()
            except KubeError as error:
                if wanted():
                    kind = served.informer.selection.kind
                    _log.warning("cannot list for the new term", kind=kind, error=str(error), retry_in=wait)
                    await self._clock.sleep(wait)
                    wait = min(RETRY_LIMIT, wait * 2)
            else:
                if wanted():  # a list begun in an earlier term proves nothing for this one
                    served.term = term
                    for template, _ in sorted(served.users):
                        self._tell(template)
                return

    def _tell(self, template: str) -> None:
        """Publish `index.synchronized` when it has become true for a generation, or for a term."""
        known = self._templates.get(template)
        if known is None:
            return
        informers = {name: self._served[selection] for name, selection in known.watches.items()}
        if not all(served.informer.synced for served in informers.values()):
            return
        passed = self._term if self._passed(template, informers.values()) else ""
        news = (known.uid, known.generation, passed)
        # That the stores are full is told once; that a term may render them, once in each.
        if news == known.told or (not passed and known.told is not None and known.told[:2] == news[:2]):
            return
        known.told = news
        self.publish(
            IndexSynchronized(
                template=template,
                uid=known.uid,
                generation=known.generation,
                term=passed,
                objects=tuple((name, len(served.informer.store)) for name, served in informers.items()),
            )
        )

    def _passed(self, template: str, informers: Iterable[_Served]) -> bool:
        """Whether this term may render it: stores, ConfigTemplates and judgement are as of the term."""
        if not self._term or self._listed is None:
            return False
        listed = (template, self._listed.get(template, ("", 0)))
        return self._caught_up(listed) and all(served.term == self._term for served in informers)

    def _caught_up(self, listed: tuple[str, tuple[str, int]]) -> bool:
        """Whether the gate has judged a listed ConfigTemplate, or a later one, or taken it out of force."""
        template, (uid, generation) = listed
        judged = self._judged.get(template)
        if judged is None:
            return not uid or template in self._removed
        return judged[0] != uid or judged[1] >= generation


def selections(template: str, spec: ConfigTemplateSpec) -> dict[str, Selection]:
    """What each watch of a ConfigTemplate selects; by default its own namespace only (X2)."""
    own = template.split("/", maxsplit=1)[0]
    return {watch.name: _selection(watch, own) for watch in spec.watches}


def _selection(watch: Watch, own: str) -> Selection:
    namespaces = () if watch.all_namespaces else (watch.namespaces or (own,))
    return Selection(
        api_version=watch.api_version,
        kind=watch.kind,
        namespaces=tuple(sorted(set(namespaces))),
        label_selector=watch.label_selector.query() if watch.label_selector else "",
        field_selector=watch.field_selector,
        ignore_fields=tuple(sorted(set(watch.ignore_fields))),
    )
