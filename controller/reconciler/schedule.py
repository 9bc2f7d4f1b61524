"""When to render one ConfigTemplate, as plain arithmetic: changes (P2), retries (P9) and repairs (P6)."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from controller.events import Trigger

RETRY_AFTER = 1.0
"""Seconds before the first retry of a failed publication; doubled each time, up to the drift interval."""
CALM = 60.0
"""Seconds after which a repaired target counts as left alone."""
REPAIRS_AT_ONCE = 3
"""How many repairs of one target in a row are made without waiting."""
RENDERER_FAILED = "RendererFailed"
"""The reason of a render that failed by no fault of the template: the only one worth another try."""


@dataclass(slots=True)
class Repairs:
    """How often one target had to be repaired in a row, and when the last repair was, or is to be, made."""

    count: int = 0
    at: float = float("-inf")

    def drifted(self, now: float, limit: float) -> bool:
        """Plan one more repair, unless one is still to come; whether it was planned."""
        if now < self.at:
            return False
        self.count = self.count + 1 if now - self.at < CALM else 1
        waits = self.count - REPAIRS_AT_ONCE
        self.at = now + (min(limit, 2.0 ** min(waits - 1, 30)) if waits > 0 else 0.0)
        return True


@dataclass(slots=True)
class Schedule:
    """One ConfigTemplate's times, in seconds of the injected clock."""

    min_interval: float
    drift_interval: float
    fired: float = float("-inf")
    due: float | None = None
    reason: Trigger = Trigger.RESOURCES
    failures: int = 0
    repairs: dict[tuple[str, str], Repairs] = field(default_factory=dict)

    def change(self, now: float) -> bool:
        """A watched object has changed: True to fire now, else it is gathered into one later."""
        if now - self.fired >= self.min_interval:
            return True
        self.plan(self.fired + self.min_interval, Trigger.RESOURCES)
        return False

    def plan(self, at: float, reason: Trigger) -> None:
        """Fire at that time, or earlier if that is planned already: a timer is never pushed back."""
        if self.due is None or at < self.due:
            self.due, self.reason = at, reason

    def fire(self, now: float) -> None:
        """It fires now; the next one at the latest comes with the drift interval."""
        self.fired = now
        self.due = None
        self.plan(now + self.drift_interval, Trigger.INTERVAL)

    def retry(self, now: float) -> None:
        """A publication failed and may be tried again, at the latest when the drift interval is over."""
        delay = RETRY_AFTER * 2.0 ** min(self.failures, 30) * random.uniform(1.0, 1.2)  # noqa: S311 - jitter
        self.failures += 1
        self.plan(now + delay, Trigger.RETRY)
