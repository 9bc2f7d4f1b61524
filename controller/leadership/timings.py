"""How long a Lease lasts and how often it is renewed: the three settings, checked against each other (L1)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

JITTER: Final = 1.2
"""Candidates wait one retry period plus up to this many more (client-go's JitterFactor)."""

LONGEST_LEASE: Final = 60.0
"""Seconds: nobody waits longer than this for somebody else's Lease, whatever it says."""


@dataclass(frozen=True, slots=True)
class LeaseTimings:
    """The settings of an election, in seconds; ValueError if they do not fit together.

    The rules are those of client-go's NewLeaderElector: lease > renew deadline > 1.2 x retry period. On top
    of them a lease is at least 1 s, the smallest a Lease can tell, and at most as long as others would wait.
    """

    lease_duration: float = 15.0
    renew_deadline: float = 10.0
    retry_period: float = 2.0

    def __post_init__(self) -> None:
        # Written so that NaN fails every one of them.
        if not self.retry_period > 0:
            self._refuse("--retry-period must be more than 0 s")
        if not self.renew_deadline > JITTER * self.retry_period:
            self._refuse(f"--renew-deadline must be longer than {JITTER} times --retry-period")
        if not self.lease_duration > self.renew_deadline:
            self._refuse("--lease-duration must be longer than --renew-deadline")
        if not 1 <= self.lease_duration <= LONGEST_LEASE:
            self._refuse(f"--lease-duration must be between 1 s and {LONGEST_LEASE:g} s")

    @property
    def lease_seconds(self) -> int:
        """What is written to the Lease: whole seconds, rounded up, so that nobody waits too short a time."""
        return math.ceil(self.lease_duration)

    @property
    def longest_call(self) -> float:
        """Seconds one attempt may take: half the renew deadline, so that after a hung call another fits."""
        return self.renew_deadline / 2

    def _refuse(self, rule: str) -> None:
        raise ValueError(
            f"{rule} (given: --lease-duration {self.lease_duration:g}, "
            f"--renew-deadline {self.renew_deadline:g}, --retry-period {self.retry_period:g})"
        )
