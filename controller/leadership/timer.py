"""Time limits and back-off by the injected clock, so that a test decides when they pass (C5)."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator

from controller.clock import Clock


@contextlib.asynccontextmanager
async def time_limit(clock: Clock, seconds: float) -> AsyncIterator[None]:
    """`asyncio.timeout` by another clock, in seconds from now; infinity is no limit."""
    async with asyncio.timeout(None) as scope:
        if math.isinf(seconds):
            yield
            return
        alarm = asyncio.get_running_loop().create_task(_ring(clock, seconds, scope))
        try:
            yield
        finally:
            alarm.cancel()


async def _ring(clock: Clock, seconds: float, scope: asyncio.Timeout) -> None:
    await clock.sleep(seconds)
    scope.reschedule(asyncio.get_running_loop().time())


def back_off(failures: int, *, first: float, limit: float) -> float:
    """Seconds to wait after so many failures in a row (1 or more): `first`, doubling up to `limit`."""
    return min(limit, first * 2.0 ** min(failures - 1, 30))
