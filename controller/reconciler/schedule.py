"""When to render one ConfigTemplate: the trigger rule (P2), retries (P9) and repairs (P6), as plain arithmetic."""

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


@dataclass(slots=True)
class Repairs:
    """How often one target had to be repaired lately."""

    count: int = 0
    last: float = 0.0

    def next_delay(self, now: float, limit: float) -> float:
        """Count one more repair; seconds to wait before making it."""
        self.count = self.count + 1 if now - self.last < CALM + limit else 1
        self.last = now
        if self.count <= REPAIRS_AT_ONCE:
            return 0.0
        return min(limit, 2.0 ** min(self.count - REPAIRS_AT_ONCE - 1, 30))


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
        """A watched object has changed: True to fire now, else it is gathered into one at the interval's end."""
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
        """A publication failed and may be tried again."""
        delay = min(self.drift_interval, RETRY_AFTER * 2.0 ** min(self.failures, 30))
        self.failures += 1
        self.plan(now + delay * random.uniform(1.0, 1.2), Trigger.RETRY)  # noqa: S311 - jitter

    def repair(self, now: float, target: tuple[str, str]) -> float:
        """A target drifted; seconds until its repair."""
        return self.repairs.setdefault(target, Repairs()).next_delay(now, self.drift_interval)
