"""One component at work on a bus of its own, on a clock that only the test moves."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

from controller.component import Component
from controller.host import ComponentHost
from controller.testing import FakeClock, settle
from events import Event, EventBus
from events.testing import EventRecorder

E = TypeVar("E", bound=Event)
TURNS = 100
"""Turns of the loop in which everything is done that waits for nothing from outside."""


class Bench:
    """What a test does to the component, and what it sees of it."""

    def __init__(self, bus: EventBus, clock: FakeClock, recorder: EventRecorder) -> None:
        self.bus = bus
        self.clock = clock
        self._recorder = recorder

    async def publish(self, *events: Event) -> None:
        """Publish one after the other, and let the component do what it does at once."""
        for event in events:
            self.bus.publish(event)
            await settle(TURNS)

    async def advance(self, seconds: float) -> None:
        """Let time pass."""
        await self.clock.advance(seconds)
        await settle(TURNS)

    def of(self, kind: type[E]) -> list[E]:
        """What has been published of a type, oldest first."""
        return self._recorder.of(kind)

    def forget(self) -> None:
        """From here on count anew."""
        self._recorder.events.clear()


@asynccontextmanager
async def at_work(component: Component, clock: FakeClock) -> AsyncIterator[Bench]:
    """Run a component for the length of the block; none of its handlers may raise."""
    bus = EventBus()
    host = ComponentHost(component, bus, clock, strict=True)
    host.subscribe()
    async with EventRecorder(bus) as recorder:
        bus.start()
        await host.start()
        try:
            yield Bench(bus, clock, recorder)
            assert host.failures == 0
        finally:
            await host.stop()
            bus.close()
