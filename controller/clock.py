"""Time as a dependency, so that debounce, back-off and election can be tested without waiting (C5)."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

_CLOCK_ID = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Clock(Protocol):
    """What a component may know of time."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait that long."""
        ...


class SystemClock:
    """The machine's clock; where the kernel has such a one, it also runs during suspend (L1)."""

    def monotonic(self) -> float:
        """Seconds since boot, time asleep included; callable from any thread."""
        return time.clock_gettime(_CLOCK_ID)

    async def sleep(self, seconds: float) -> None:
        """Wait in the running loop."""
        await asyncio.sleep(seconds)
