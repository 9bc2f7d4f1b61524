"""What the tests of this package share: a runtime in full, and logging put back as it was."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol

import pytest
import structlog

from controller.clock import SystemClock
from controller.component import Component
from controller.runtime import Runtime
from events import EventBus


class Running(Protocol):
    def __call__(self, bus: EventBus, *components: Component) -> AbstractAsyncContextManager[Runtime]: ...


@pytest.fixture
def running() -> Running:
    """Runs components on a bus for the length of a block."""

    @asynccontextmanager
    async def run(bus: EventBus, *components: Component) -> AsyncIterator[Runtime]:
        runtime = Runtime(bus, components, clock=SystemClock(), strict=True)
        try:
            await runtime.start()
            yield runtime
        finally:
            await runtime.stop(drain=1.0)

    return run


async def handled(runtime: Runtime) -> None:
    """Wait until the components have handled all that was published."""
    async with asyncio.timeout(2):
        while not all(host.idle for host in runtime.hosts):
            await asyncio.sleep(0)


@pytest.fixture
def restored_logging() -> Iterator[None]:
    """Leaves logging as it was found."""
    root, quiet = logging.getLogger(), logging.getLogger("kopf.objects")
    handlers, levels = list(root.handlers), (root.level, quiet.level)
    yield
    root.handlers[:] = handlers
    root.setLevel(levels[0])
    quiet.setLevel(levels[1])
    structlog.reset_defaults()
