"""Event types and helpers that the tests of the bus share."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

from events import Event, EventBus, Request, Response, Subscription, event

T = TypeVar("T")
PATIENCE = 10.0
"""Seconds after which a test stops waiting for what should have happened at once."""


@event("events.tick")
class Tick(Event):
    """No key: nothing conflates or retains it."""

    n: int = 0
    payload: object = None


@event("events.state", key="name", retain=True)
class State(Event):
    """Retained by name."""

    name: Any
    n: int = 0
    payload: object = None


@event("events.gone", key="name", forgets=(State,))
class Gone(Event):
    """Forgets the state of its name."""

    name: str
    n: int = 0


@event("events.note", key="name")
class Note(Event):
    """Has a key and is not retained."""

    name: Any
    n: int = 0
    payload: object = None


@event("events.ask")
class Ask(Request):
    """A question."""


@event("events.answer")
class Answer(Response):
    """Its answer."""

    text: str = ""


class Finalizer:
    """A payload that calls a function when it is thrown away."""

    def __init__(self, function: Callable[[], object]) -> None:
        self.function = function

    def __del__(self) -> None:
        self.function()


def started(**options: Any) -> EventBus:
    """A bus that runs."""
    bus = EventBus(**options)
    bus.start()
    return bus


def drain(subscription: Subscription[Any]) -> list[Any]:
    """All that waits, taken one by one, without a loop."""
    return [subscription.get_sync(0) for _ in range(subscription.depth)]


def numbers(events: list[Any]) -> list[int]:
    """The events' `n`."""
    return [event.n for event in events]


def on_thread(function: Callable[[], T]) -> T:
    """Run a function in a new thread; fails when it does not come back."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result(PATIENCE)


async def soon(awaitable: Awaitable[T]) -> T:
    """Await with patience."""
    async with asyncio.timeout(PATIENCE):
        return await awaitable


async def settle(turns: int = 10) -> None:
    """Let everything run that is ready in this loop."""
    for _ in range(turns):
        await asyncio.sleep(0)


@contextmanager
def other_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that turns in a thread of its own; its tasks are cancelled and it is closed at the end."""
    ready: list[asyncio.AbstractEventLoop] = []
    running, stop = threading.Event(), asyncio.Event()

    async def main() -> None:
        ready.append(asyncio.get_running_loop())
        running.set()
        await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    assert running.wait(PATIENCE)
    try:
        yield ready[0]
    finally:
        ready[0].call_soon_threadsafe(stop.set)
        thread.join(PATIENCE)
        assert not thread.is_alive()
