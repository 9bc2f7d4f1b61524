"""Reconciliations: one run from a trigger to what came of it. `reconciliation` is the trigger event's id."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from events import Event, event

if TYPE_CHECKING:
    from controller.problems import Problem


class Trigger(StrEnum):
    """Why a reconciliation was asked for."""

    CONFIGURATION = "configuration"
    SYNCHRONIZED = "synchronized"
    RESOURCES = "resources"
    DRIFT = "drift"
    INTERVAL = "interval"
    RETRY = "retry"
    REQUESTED = "requested"
    RESYNC = "resync"


class Outcome(StrEnum):
    """What came of a reconciliation that did not fail."""

    PUBLISHED = "published"
    UNCHANGED = "unchanged"
    SUPERSEDED = "superseded"


@event("reconciliation.triggered", key="template")
class ReconciliationTriggered(Event):
    """A ConfigTemplate is to be rendered now."""

    template: str
    reason: Trigger


@event("reconciliation.started", fact=True)
class ReconciliationStarted(Event):
    """The coordinator has taken the trigger."""

    template: str
    generation: int
    reason: Trigger
    reconciliation: str


@event("reconciliation.completed", fact=True)
class ReconciliationCompleted(Event):
    """It ended well; `seconds` from start to end."""

    template: str
    generation: int
    reconciliation: str
    outcome: Outcome
    seconds: float


@event("reconciliation.failed", fact=True)
class ReconciliationFailed(Event):
    """It ended badly; `phase` is render, validate or publish; `seconds` from start to end."""

    template: str
    generation: int
    reconciliation: str
    phase: str
    reason: str
    problems: tuple[Problem, ...]
    seconds: float
