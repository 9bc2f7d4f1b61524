"""Deadlines by key: one task waits for the earliest, on an injected clock (C5)."""

from __future__ import annotations

import asyncio
from collections.abc import Hashable
from typing import Generic, TypeVar

from controller.clock import Clock

K = TypeVar("K", bound=Hashable)


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
        if self._due.pop(key, None) is not None:
            self._changed.set()

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
        racers = {
            asyncio.ensure_future(self._clock.sleep(seconds)),
            asyncio.ensure_future(self._changed.wait()),
        }
        try:
            await asyncio.wait(racers, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for racer in racers:
                racer.cancel()
            await asyncio.gather(*racers, return_exceptions=True)
