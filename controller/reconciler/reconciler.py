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
from controller.reconciler.schedule import Schedule
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
    """Holds the trigger rule P2 for every ConfigTemplate whose generation in force is synchronised in this term."""

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
        """A new generation came into force, or a reconciliation was asked for."""
        before = self._configs.get(event.template)
        self._configs[event.template] = event
        interval = event.spec.reconcile
        schedule = self._schedules.setdefault(event.template, Schedule(0, 0))
        schedule.min_interval = interval.min_interval_seconds
        schedule.drift_interval = interval.drift_interval_seconds
        asked = before is not None and before.requested_at != event.requested_at
        self._fire(event.template, Trigger.REQUESTED if asked else Trigger.CONFIGURATION)

    @on(ConfigRemoved)
    async def removed(self, event: ConfigRemoved) -> None:
        """Nothing is rendered any more."""
        for state in (self._configs, self._synchronized, self._schedules, self._open):
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
        delay = schedule.repair(now, (event.kind, event.name))
        if not delay:
            self._fire(event.template, Trigger.DRIFT)
            return
        self.publish(
            TargetContested(
                template=event.template,
                kind=event.kind,
                name=event.name,
                repairs=schedule.repairs[event.kind, event.name].count,
                seconds=delay,
            )
        )
        schedule.plan(now + delay, Trigger.DRIFT)
        self._plan(event.template, schedule)

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
        before = self._open.get(template)
        if before is not None and before.outcome is None:
            self._completed(template, before, Outcome.SUPERSEDED)
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
        """It came to nothing; only a change can help (P9)."""
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
        schedule = self._schedules.get(event.template)
        if event.retry and schedule is not None:
            schedule.retry(self._clock.monotonic())
            self._plan(event.template, schedule)
        self._note(event)

    def _note(self, event: ConfigPublished | Failure | PublicationSuperseded) -> None:
        current = self._open.get(event.template)
        if current is not None and current.reconciliation == event.reconciliation:
            current.outcome = event
            if isinstance(event, PublicationSuperseded):
                del self._open[event.template]
                self._completed(event.template, current, Outcome.SUPERSEDED)

    @on(StatusUpdated)
    async def told(self, event: StatusUpdated) -> None:
        """The status says what came of it: the reconciliation is over."""
        current = self._open.get(event.template)
        if current is None or current.outcome is None:
            return
        del self._open[event.template]
        outcome = current.outcome
        if isinstance(outcome, ConfigPublished):
            result = Outcome.PUBLISHED if outcome.changed else Outcome.UNCHANGED
            self._completed(event.template, current, result)
        elif not isinstance(outcome, PublicationSuperseded):
            problems = (outcome.problem,) if isinstance(outcome, TemplateRenderFailed) else outcome.problems
            self.publish(
                ReconciliationFailed(
                    template=event.template,
                    generation=current.generation,
                    reconciliation=current.reconciliation,
                    phase=_PHASES[type(outcome)],
                    reason=outcome.reason,
                    problems=problems,
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
