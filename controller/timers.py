"""Waiting on an injected clock (C5): deadlines by key, and an end to one's patience."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Any, Generic, TypeVar

from controller.clock import Clock

K = TypeVar("K", bound=Hashable)


async def wait_at_most(
    clock: Clock, seconds: float, *futures: asyncio.Future[Any]
) -> set[asyncio.Future[Any]]:
    """Wait until all have ended, but no longer than that; those that have not. None of them is cancelled."""
    alarm = asyncio.ensure_future(clock.sleep(seconds))
    late = set(futures)
    try:
        while late and not alarm.done():
            await asyncio.wait({alarm, *late}, return_when=asyncio.FIRST_COMPLETED)
            late = {future for future in late if not future.done()}
    finally:
        alarm.cancel()
    return late


class Timers(Generic[K]):
    """Wakes one waiter at the earliest of many deadlines. Use it in one loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._due: dict[K, float] = {}
        self._changed = asyncio.Event()

    def set(self, key: K, at: float) -> None:
        """Set the key's deadline, in the clock's seconds; it replaces an earlier setting."""
        self._due[key] = at
        self._changed.set()

    def cancel(self, key: K) -> None:
        """Drop the key's deadline, if it has one."""
        self._due.pop(key, None)

    def pending(self, key: K) -> float | None:
        """The key's deadline, if it has one."""
        return self._due.get(key)

    async def next(self) -> K:
        """Wait for the earliest deadline, and take it."""
        while True:
            self._changed.clear()
            if self._due:
                key = min(self._due, key=self._due.__getitem__)
                wait = self._due[key] - self._clock.monotonic()
                if wait <= 0:
                    del self._due[key]
                    return key
                await self._sleep(wait)
            else:
                await self._changed.wait()

    async def _sleep(self, seconds: float) -> None:
        """Sleep, or until a deadline changes."""
        changed = asyncio.ensure_future(self._changed.wait())
        try:
            await wait_at_most(self._clock, seconds, changed)
        finally:
            changed.cancel()
