"""Keeps each ConfigTemplate's status true: recomputed at every event, written when it differs (P9)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, ClassVar, Protocol

import structlog

from controller.clock import Clock
from controller.component import Component, on
from controller.events import (
    ConfigInvalid,
    ConfigPublished,
    ConfigPublishFailed,
    ConfigRemoved,
    ConfigValidated,
    IndexDropped,
    IndexSynchronized,
    ReconciliationTriggered,
    ResourceWatchFailed,
    ResourceWatchRecovered,
    ResourceWatchStopped,
    StatusUpdated,
    TargetContested,
    TemplateRenderFailed,
    ValidationFailed,
)
from controller.kube.client import CONFIG_TEMPLATES, Resource
from controller.kube.errors import ApiError, KubeError
from controller.leadership.fence import FenceClosed
from controller.leadership.writer import PatchStatus, Write, Writer
from controller.publisher.conditions import View, differs, status_of
from controller.templating.renderer import WatchData
from controller.timers import Timers
from events import Delivery, Event

RETRY_AFTER = 1.0
"""Seconds before a failed write is tried again; doubled each time, up to the drift interval."""
RETRY_LIMIT = 600.0
"""The same limit where no generation is in force."""

Snapshot = Callable[[str, str, int], tuple[WatchData, ...] | None]
"""What (template, uid, generation) watches, as of now; None when that is not what is being watched."""

_log = structlog.get_logger("kopfbus.status")


class ReadClient(Protocol):
    """The request by which the status is read."""

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> dict[str, Any]:
        """Read one object."""
        ...


class StatusWriter(Component):
    """Writes conditions and outputs to `/status`."""

    name = "status"
    publishes: ClassVar[tuple[type[Event], ...]] = (StatusUpdated,)
    leader_only = True
    delivery = Delivery.LATEST

    def __init__(self, client: ReadClient, writer: Writer, clock: Clock, snapshot: Snapshot) -> None:
        self._client = client
        self._writer = writer
        self._snapshot = snapshot
        self._views: dict[str, View] = {}
        self._failing: dict[str, dict[str, ResourceWatchFailed]] = {}
        """Watch failures by template and watch; being retained, they may come before their views."""
        self._turns: dict[str, asyncio.Lock] = {}
        self._failures: dict[str, int] = {}
        self._clock = clock
        self._retries: Timers[str] = Timers(clock)

    async def start(self) -> None:
        """Begin to watch for retries."""
        self.spawn("retries", self._retry)

    # --- what is known

    @on(ConfigValidated, per="template")
    async def validated(self, event: ConfigValidated) -> None:
        """A generation is in force."""
        view = self._view(event.template, event.uid)
        view.valid = event
        if view.invalid is not None and view.invalid.generation <= event.generation:
            view.invalid = None
        if event.spec.suspend:
            view.handled = event.requested_at
        await self._write(event.template)

    @on(ConfigInvalid, per="template")
    async def invalid(self, event: ConfigInvalid) -> None:
        """A generation was refused."""
        view = self._view(event.template, event.uid)
        view.invalid = event
        view.handled = event.requested_at
        await self._write(event.template)

    @on(ConfigRemoved, per="template")
    async def removed(self, event: ConfigRemoved) -> None:
        """There is no status to write any more."""
        for state in (self._views, self._turns, self._failures):
            state.pop(event.template, None)
        self._retries.cancel(event.template)

    @on(IndexSynchronized, per="template")
    async def synchronized(self, event: IndexSynchronized) -> None:
        """All watches are in the stores."""
        if (view := self._known(event.template, event.uid)) is not None:
            view.synchronized = event
            await self._write(event.template)

    @on(IndexDropped, per="template")
    async def dropped(self, event: IndexDropped) -> None:
        """The watches have ended."""
        if (view := self._views.get(event.template)) is not None:
            view.synchronized = None

    @on(ResourceWatchFailed, per="template")
    async def watch_failed(self, event: ResourceWatchFailed) -> None:
        """A watch does not deliver."""
        self._failing.setdefault(event.template, {})[event.watch] = event
        await self._write(event.template)

    @on(ResourceWatchRecovered, ResourceWatchStopped, per="template")
    async def watch_recovered(self, event: ResourceWatchRecovered | ResourceWatchStopped) -> None:
        """A watch delivers again, or is no more."""
        if self._failing.get(event.template, {}).pop(event.watch, None) is not None:
            await self._write(event.template)

    @on(ReconciliationTriggered, per="template")
    async def triggered(self, event: ReconciliationTriggered) -> None:
        """A reconciliation begins."""
        if (view := self._views.get(event.template)) is not None:
            view.triggered(event)

    @on(TemplateRenderFailed, ValidationFailed, ConfigPublishFailed, ConfigPublished, per="template")
    async def ended(
        self, event: TemplateRenderFailed | ValidationFailed | ConfigPublishFailed | ConfigPublished
    ) -> None:
        """A reconciliation has its outcome."""
        if (view := self._known(event.template, event.uid)) is not None:
            view.ended(event)
            await self._write(event.template)

    @on(TargetContested, per="template")
    async def contested(self, event: TargetContested) -> None:
        """Somebody else keeps writing a target."""
        if (view := self._views.get(event.template)) is not None:
            view.contested = event
            await self._write(event.template)

    def _view(self, template: str, uid: str) -> View:
        view = self._views.get(template)
        if view is None or view.uid != uid:
            failures = self._failing.setdefault(template, {})
            view = self._views[template] = View(uid, watch_failures=failures)
        return view

    def _known(self, template: str, uid: str) -> View | None:
        """The view, if it is of that uid: what comes late of a predecessor is nobody's any more."""
        view = self._views.get(template)
        return view if view is not None and view.uid == uid else None

    # --- writing

    async def _write(self, template: str) -> None:
        """Bring the status up to date; a failure is tried again later."""
        async with self._turns.setdefault(template, asyncio.Lock()):
            view = self._views.get(template)
            if view is None or not view.newest:
                return  # not judged yet: there is nothing to say
            try:
                changed = await self._update(template, view)
            except FenceClosed as error:
                _log.info("status not written", template=template, reason=error.reason)
            except (KubeError, TimeoutError) as error:
                self._plan_retry(template, error)
            else:
                self._failures.pop(template, None)
                self._retries.cancel(template)
                self.publish(StatusUpdated(template=template, generation=view.newest, changed=changed))

    async def _update(self, template: str, view: View) -> bool:
        namespace, name = template.split("/")

        async def prepare() -> Write | None:
            try:
                found = await self._client.get(CONFIG_TEMPLATES, name, namespace)
            except ApiError as error:
                if error.status == 404:
                    return None
                raise
            metadata, present = found["metadata"], found.get("status") or {}
            if metadata["uid"] != view.uid:
                return None
            status = status_of(view, present, _now(), objects=self._objects(template, view))
            if not differs(status, present):
                return None
            return PatchStatus(CONFIG_TEMPLATES, namespace, name, metadata["resourceVersion"], status)

        return await self._writer.write(prepare) is not None

    def _objects(self, template: str, view: View) -> list[tuple[str, int]]:
        """How many objects each watch of the generation in force has now, or had when it was synchronised."""
        if view.valid is None or view.synchronized is None:
            return []
        watches = self._snapshot(template, view.uid, view.valid.generation)
        if watches is None:
            return list(view.synchronized.objects)
        return [(watch.name, len(watch.objects)) for watch in watches]

    def _plan_retry(self, template: str, error: Exception) -> None:
        failures = self._failures[template] = self._failures.get(template, 0) + 1
        view = self._views.get(template)
        valid = view.valid if view is not None else None
        limit = valid.spec.reconcile.drift_interval_seconds if valid is not None else RETRY_LIMIT
        delay = min(limit, RETRY_AFTER * 2.0 ** min(failures - 1, 30) * random.uniform(1.0, 1.2))  # noqa: S311 - jitter
        _log.warning("status not written", template=template, error=str(error), retry_in=round(delay, 1))
        self._retries.set(template, self._clock.monotonic() + delay)

    async def _retry(self) -> None:
        while True:
            await self._write(await self._retries.next())


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
