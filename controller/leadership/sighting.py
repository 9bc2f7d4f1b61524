"""What one process has seen of the Lease, and from when on it may take it (L1)."""

from __future__ import annotations

import math

from controller.leadership.lease import Lease
from controller.leadership.timings import LONGEST_LEASE, LeaseTimings


class Sighting:
    """The last state seen, and since when by the local clock: no other clock is asked, as in client-go.

    Waiting begins when the state was seen to change. Held, every write is a change. Unheld (missing, without
    spec, or emptied by somebody who did not mark it as released) it is one state, from when it was first seen
    so: its leader may not know yet.
    """

    def __init__(self, timings: LeaseTimings) -> None:
        self.lease: Lease | None = None
        self._timings = timings
        self._patience = timings.lease_duration
        self._state = ""
        self._since = -math.inf
        self._ever_held = False
        self.number = 0
        """The resourceVersion of the newest state seen."""

    @property
    def holder(self) -> str:
        """Who held it when last seen; empty if nobody did."""
        return self.lease.holder if self.lease else ""

    @property
    def released(self) -> bool:
        """Whether its last holder gave it back: it may be taken at once."""
        return self._state == "released"

    @property
    def free_from(self) -> float:
        """The moment from which it may be taken, unless another change is seen until then."""
        never_held = self.lease is None and not self._ever_held
        return -math.inf if never_held or self.released else self._since + self._patience

    def read(self, lease: Lease | None, now: float) -> None:
        """Take in what a GET answered (None: there is no Lease), at the time of the answer."""
        state = _state(lease)
        if state != self._state:
            self._state, self._since = state, now
        self.lease = lease
        if lease is not None:
            self.number = lease.number
        if lease is not None and lease.holder:
            self._ever_held = True
            self._patience = max(self._timings.lease_duration, min(lease.duration, LONGEST_LEASE))

    def watched(self, lease: Lease, now: float, *, deleted: bool) -> bool:
        """Take in a watch event; False if it is older than what is known: a GET is always newer than that."""
        if lease.number < self.number:
            return False
        self.read(None if deleted else lease, now)
        self.number = lease.number
        return True


def _state(lease: Lease | None) -> str:
    if lease is not None and lease.holder:
        return f"held at {lease.resource_version}"
    return "released" if lease is not None and lease.released else "unheld"
