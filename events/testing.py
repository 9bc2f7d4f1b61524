"""For tests: record what was published, and wait for it instead of sleeping."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import TracebackType
from typing import Self, TypeVar

from events.bus import EventBus
from events.event import Event
from events.subscription import Delivery, Subscription

_E = TypeVar("_E", bound=Event)


class EventRecorder:
    """Everything a bus delivers, in order. Use it as an async context manager, in one loop."""

    def __init__(self, bus: EventBus) -> None:
        self._subscription: Subscription[Event] = bus.subscribe(
            "recorder", buffer_size=1_000_000, delivery=Delivery.LOSSY
        )
        self._task: asyncio.Task[None] | None = None
        self._arrived = asyncio.Condition()
        self.events: list[Event] = []

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._record())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._subscription.close()
        if self._task is not None:
            await self._task

    async def _record(self) -> None:
        async for event in self._subscription:
            async with self._arrived:
                self.events.append(event)
                self._arrived.notify_all()

    def of(self, cls: type[_E]) -> list[_E]:
        """What has been recorded of one type (subclasses included), oldest first."""
        return [event for event in self.events if isinstance(event, cls)]

    async def wait_for(
        self,
        cls: type[_E],
        predicate: Callable[[_E], bool] = lambda _: True,
        timeout: float = 5.0,
    ) -> _E:
        """The first recorded event that satisfies the predicate; waits up to `timeout` seconds for it.

        Raises
        ------
        AssertionError
            When none came; the message lists what did arrive.
        """
        try:
            async with asyncio.timeout(timeout), self._arrived:
                while True:
                    for event in self.of(cls):
                        if predicate(event):
                            return event
                    await self._arrived.wait()
        except TimeoutError:
            arrived = "\n".join(f"  {event!r}" for event in self.events) or "  nothing"
            raise AssertionError(
                f"no matching {cls.event_type or cls.__name__} within {timeout} s; arrived:\n{arrived}"
            ) from None
