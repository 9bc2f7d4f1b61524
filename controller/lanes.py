"""Runs events of different keys side by side, and those of one key in order (C1)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from events import Event

Work = Callable[[Event], Awaitable[None]]
_Entry = tuple[Event, Work]


class Lanes:
    """One queue per key, each with a task while it has work; at most `limit` at work at a time.

    With `conflate`, a waiting event of a type with a key gives way to a newer one of its type and key, as in
    a LATEST subscription. For all others `put` waits while `room` events are waiting: the backlog stays in
    the subscription, where it is bounded and counted.
    """

    def __init__(self, *, limit: int, room: int, conflate: bool) -> None:
        self._slots = asyncio.Semaphore(limit)
        self._room = room
        self._conflate = conflate
        self._waiting: dict[object, deque[_Entry]] = {}
        self._tasks: dict[object, asyncio.Task[None]] = {}
        self._progress = asyncio.Event()

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is in hand."""
        return not self._tasks

    async def put(self, key: object, event: Event, work: Work) -> None:
        """Give the key's lane one more event."""
        if self._conflate and event.event_key is not None:
            self._give_way(key, event, work)
        else:
            while sum(map(len, self._waiting.values())) >= self._room:
                await self._step()
        self._waiting.setdefault(key, deque()).append((event, work))
        if key not in self._tasks:
            self._tasks[key] = asyncio.create_task(self._run(key), name=f"lane {key}")

    async def wait_idle(self) -> None:
        """Wait until every lane is empty."""
        while self._tasks:
            await self._step()

    async def cancel(self) -> None:
        """Cancel what is in hand, forget what waits, and wait for the tasks."""
        self._waiting.clear()
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()  # a task cancelled before its first step has cleared away nothing

    def _give_way(self, key: object, event: Event, work: Work) -> None:
        """Drop the waiting event that this one replaces: about the same thing, for the same handler."""
        lane = self._waiting.get(key, ())
        for entry in list(lane):
            older, its_work = entry
            if its_work == work and type(older) is type(event) and _key(older) == _key(event):
                self._waiting[key].remove(entry)

    async def _step(self) -> None:
        self._progress.clear()
        await self._progress.wait()

    async def _run(self, key: object) -> None:
        try:
            while lane := self._waiting.get(key):
                async with self._slots:
                    # Taken only now: while it waited for a slot, a newer event may have replaced it.
                    event, work = lane.popleft()
                    self._progress.set()
                    await work(event)
        finally:
            self._waiting.pop(key, None)
            self._tasks.pop(key, None)
            self._progress.set()


def _key(event: Event) -> object:
    return type(event).event_key(event)  # type: ignore[misc] # only asked of types that have a key
