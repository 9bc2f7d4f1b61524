"""Runs components on a bus of their own, strict and on a clock that only the test moves."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from controller.component import Component
from controller.host import ComponentHost
from controller.testing import FakeClock
from events import Event, EventBus, event
from events.testing import EventRecorder

PATIENCE = 5.0
"""Seconds after which a test gives up waiting."""


@event("tests.job", key="job")
class Job(Event):
    """Something to do; `number` tells the jobs of one key apart."""

    job: str
    number: int = 0


@event("tests.done", key="job")
class Done(Event):
    """It was done."""

    job: str
    number: int = 0


@event("tests.state", key="name", retain=True)
class State(Event):
    """Something to remember."""

    name: str


async def until(condition: Callable[[], object]) -> None:
    """Give the loop turns until something has become true."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0)


class Stage:
    """What runs: a bus, its recorder, a clock, and the hosts of the components."""

    def __init__(self, clock: FakeClock) -> None:
        self.bus = EventBus(on_drop=lambda *_: None)
        self.clock = clock
        self.recorder = EventRecorder(self.bus)
        self.hosts: list[ComponentHost] = []

    def publish(self, *published: Event) -> None:
        """Publish as a stranger."""
        for one in published:
            self.bus.publish(one)

    async def quiet(self) -> None:
        """Wait until everything was handled, and recorded."""
        await until(lambda: all(host.idle for host in self.hosts))
        await until(lambda: len(self.recorder.events) == self._recordable())

    def _recordable(self) -> int:
        return next(
            subscription.stats().accepted
            for subscription in self.bus.subscriptions
            if subscription.name == "recorder"
        )


@asynccontextmanager
async def running(*components: Component, clock: FakeClock | None = None) -> AsyncIterator[Stage]:
    """Run components for the length of the block."""
    stage = Stage(clock or FakeClock())
    stage.hosts = [ComponentHost(one, stage.bus, stage.clock, strict=True) for one in components]
    async with stage.recorder:
        for host in stage.hosts:
            host.subscribe()
        stage.bus.start()
        try:
            for host in stage.hosts:
                await host.start()
            yield stage
        finally:
            for host in reversed(stage.hosts):
                await host.stop()
