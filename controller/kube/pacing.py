"""How often to try again, and how long to keep the loop."""

from __future__ import annotations

import asyncio
import random
import time

TIME_SLICE = 0.004
"""Seconds of decoding after which everybody else gets a turn."""


class Backoff:
    """Delays that double from `base` to `cap` seconds, jittered: replicas shall not come back together."""

    def __init__(self, base: float, cap: float) -> None:
        self._base = base
        self._cap = cap
        self._delay = base

    def next(self) -> float:
        """Seconds to wait now: between half the delay and all of it. The next one is longer."""
        delay, self._delay = self._delay, min(self._cap, self._delay * 2)
        return delay * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load, keeps no secret

    def reset(self) -> None:
        """It works again: start from the shortest delay."""
        self._delay = self._base


class TimeSlice:
    """One stretch of work in the loop."""

    def __init__(self) -> None:
        self._since = time.perf_counter()

    async def turn(self) -> None:
        """Let the loop run if the slice is used up."""
        if time.perf_counter() - self._since > TIME_SLICE:
            await asyncio.sleep(0)
            self._since = time.perf_counter()
