"""Decides when a ConfigTemplate is rendered, and closes each reconciliation when its outcome is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from controller.clock import Clock
from controller.component import Component, on
from controller.events import (
    ConfigPublished,
    ConfigPublishFailed,
    ConfigRemoved,
    ConfigValidated,
    DriftDetected,
    IndexDropped,
    IndexSynchronized,
    Outcome,
    PublicationSuperseded,
    ReconciliationCompleted,
    ReconciliationFailed,
    ReconciliationTriggered,
    ResourceIndexUpdated,
    StatusUpdated,
    TargetContested,
    TemplateRenderFailed,
    Trigger,
    ValidationFailed,
)
from controller.reconciler.schedule import RENDERER_FAILED, Repairs, Schedule
from controller.timers import Timers
from events import Delivery, Event

Failure = TemplateRenderFailed | ValidationFailed | ConfigPublishFailed
_PHASES = {TemplateRenderFailed: "render", ValidationFailed: "validate", ConfigPublishFailed: "publish"}


@dataclass(slots=True)
class _Open:
    """A reconciliation under way; `outcome` as soon as it is known, told on when the status says so too."""

    reconciliation: str
    generation: int
    started: float
    outcome: ConfigPublished | Failure | PublicationSuperseded | None = None


class Reconciler(Component):
    """The trigger rule P2 for every ConfigTemplate whose generation in force is synchronised in this term."""

    name = "reconciler"
    publishes: ClassVar[tuple[type[Event], ...]] = (
        ReconciliationTriggered,
        ReconciliationCompleted,
        ReconciliationFailed,
        TargetContested,
    )
    leader_only = True
    delivery = Delivery.LATEST

    def __init__(self, term: str, clock: Clock) -> None:
        self._term = term
        self._clock = clock
        self._configs: dict[str, ConfigValidated] = {}
        self._synchronized: dict[str, IndexSynchronized] = {}
        self._schedules: dict[str, Schedule] = {}
        self._open: dict[str, _Open] = {}
        self._timers: Timers[str] = Timers(clock)

    async def start(self) -> None:
        """Begin to watch the time."""
        self.spawn("timers", self._run_timers)

    async def resync(self) -> None:
        """Trigger every ConfigTemplate once: what was dropped may have been a change (C6)."""
        for template in list(self._configs):
            self._fire(template, Trigger.RESYNC)

    # --- what is to be rendered

    @on(ConfigValidated)
    async def validated(self, event: ConfigValidated) -> None:
        """A new generation came into force, or a reconciliation was asked for: past failures do not count."""
        before = self._configs.get(event.template)
        self._configs[event.template] = event
        interval = event.spec.reconcile
        schedule = self._schedules.setdefault(event.template, Schedule(0, 0))
        schedule.min_interval = interval.min_interval_seconds
        schedule.drift_interval = interval.drift_interval_seconds
        schedule.failures = 0
        asked = before is not None and before.requested_at != event.requested_at
        self._fire(event.template, Trigger.REQUESTED if asked else Trigger.CONFIGURATION)

    @on(ConfigRemoved)
    async def removed(self, event: ConfigRemoved) -> None:
        """Nothing is rendered any more."""
        self._close(event.template)
        for state in (self._configs, self._synchronized, self._schedules):
            state.pop(event.template, None)
        self._timers.cancel(event.template)

    @on(IndexSynchronized)
    async def synchronized(self, event: IndexSynchronized) -> None:
        """The stores hold everything that a generation watches."""
        self._synchronized[event.template] = event
        self._fire(event.template, Trigger.SYNCHRONIZED)

    @on(IndexDropped)
    async def dropped(self, event: IndexDropped) -> None:
        """The stores have let go of it."""
        self._synchronized.pop(event.template, None)

    # --- triggers

    @on(ResourceIndexUpdated)
    async def changed(self, event: ResourceIndexUpdated) -> None:
        """A watched object has changed: at once, or gathered."""
        schedule = self._schedules.get(event.template)
        if schedule is None:
            return
        if schedule.change(self._clock.monotonic()):
            self._fire(event.template, Trigger.RESOURCES)
        else:
            self._plan(event.template, schedule)

    @on(DriftDetected)
    async def drifted(self, event: DriftDetected) -> None:
        """A target is not what was published: repair it, at once unless somebody contests it."""
        schedule = self._schedules.get(event.template)
        if schedule is None or not self._ready(event.template):
            return
        now = self._clock.monotonic()
        repairs = schedule.repairs.setdefault((event.kind, event.name), Repairs())
        news = repairs.drifted(now, schedule.drift_interval)
        if repairs.at <= now:
            self._fire(event.template, Trigger.DRIFT)
            return
        # Whatever fires before may have dropped the plan, so it is made again; it is never pushed back.
        schedule.plan(repairs.at, Trigger.DRIFT)
        self._plan(event.template, schedule)
        if news:
            self._contested(event, repairs, repairs.at - now)

    def _contested(self, event: DriftDetected, repairs: Repairs, seconds: float) -> None:
        self.publish(
            TargetContested(
                template=event.template,
                kind=event.kind,
                name=event.name,
                repairs=repairs.count,
                seconds=seconds,
            )
        )

    def _ready(self, template: str) -> bool:
        config, synchronized = self._configs.get(template), self._synchronized.get(template)
        return (
            config is not None
            and synchronized is not None
            and not config.spec.suspend
            and (synchronized.uid, synchronized.generation) == (config.uid, config.generation)
            and synchronized.term == self._term
        )

    def _fire(self, template: str, reason: Trigger) -> None:
        if not self._ready(template):
            return
        schedule, config = self._schedules[template], self._configs[template]
        now = self._clock.monotonic()
        schedule.fire(now)
        self._plan(template, schedule)
        trigger = ReconciliationTriggered(template=template, reason=reason)
        self._close(template)
        self._open[template] = _Open(trigger.id, config.generation, now)
        self.publish(trigger)

    def _plan(self, template: str, schedule: Schedule) -> None:
        if schedule.due is not None:
            self._timers.set(template, schedule.due)

    async def _run_timers(self) -> None:
        while True:
            template = await self._timers.next()
            schedule = self._schedules.get(template)
            if schedule is not None and schedule.due is not None:
                schedule.due = None
                self._fire(template, schedule.reason)

    # --- outcomes

    @on(TemplateRenderFailed, ValidationFailed, PublicationSuperseded)
    async def ended(self, event: TemplateRenderFailed | ValidationFailed | PublicationSuperseded) -> None:
        """It came to nothing; only a change can help (P9), unless it was the renderer's own failure."""
        if isinstance(event, TemplateRenderFailed) and event.reason == RENDERER_FAILED:
            self._retry(event.template)
        self._note(event)

    @on(ConfigPublished)
    async def published(self, event: ConfigPublished) -> None:
        """It stands in its targets."""
        if (schedule := self._schedules.get(event.template)) is not None:
            schedule.failures = 0
        self._note(event)

    @on(ConfigPublishFailed)
    async def publish_failed(self, event: ConfigPublishFailed) -> None:
        """It could not be written; trying again may help."""
        if event.retry:
            self._retry(event.template)
        self._note(event)

    def _retry(self, template: str) -> None:
        if (schedule := self._schedules.get(template)) is not None:
            schedule.retry(self._clock.monotonic())
            self._plan(template, schedule)

    def _note(self, event: ConfigPublished | Failure | PublicationSuperseded) -> None:
        current = self._open.get(event.template)
        if current is not None and current.reconciliation == event.reconciliation:
            current.outcome = event
            if isinstance(event, PublicationSuperseded):
                self._close(event.template)

    @on(StatusUpdated)
    async def told(self, event: StatusUpdated) -> None:
        """The status says what came of it: the reconciliation is over."""
        current = self._open.get(event.template)
        if current is not None and current.outcome is not None:
            self._close(event.template)

    def _close(self, template: str) -> None:
        """Tell how the reconciliation under way ended; without an outcome, a newer one takes its place."""
        current = self._open.pop(template, None)
        if current is None:
            return
        outcome = current.outcome
        if outcome is None or isinstance(outcome, PublicationSuperseded):
            self._completed(template, current, Outcome.SUPERSEDED)
        elif isinstance(outcome, ConfigPublished):
            self._completed(template, current, Outcome.PUBLISHED if outcome.changed else Outcome.UNCHANGED)
        else:
            self._failed(template, current, outcome)

    def _failed(self, template: str, current: _Open, failure: Failure) -> None:
        self.publish(
            ReconciliationFailed(
                template=template,
                generation=current.generation,
                reconciliation=current.reconciliation,
                phase=_PHASES[type(failure)],
                reason=failure.reason,
                problems=(failure.problem,)
                if isinstance(failure, TemplateRenderFailed)
                else failure.problems,
                seconds=self._clock.monotonic() - current.started,
            )
        )

    def _completed(self, template: str, current: _Open, outcome: Outcome) -> None:
        self.publish(
            ReconciliationCompleted(
                template=template,
                generation=current.generation,
                reconciliation=current.reconciliation,
                outcome=outcome,
                seconds=self._clock.monotonic() - current.started,
            )
        )
