"""Deadlines by key, and patience, by the injected clock (C5)."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.testing import FakeClock, settle
from controller.timers import Timers, wait_at_most


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(start=0.0)


@pytest.fixture
def timers(clock: FakeClock) -> Timers[str]:
    return Timers(clock)


async def collect(timers: Timers[str], clock: FakeClock, into: list[tuple[float, str]]) -> None:
    while True:
        key = await timers.next()
        into.append((clock.monotonic(), key))


@given(st.dictionaries(st.text(max_size=3), st.integers(1, 50), max_size=8))
def test_every_deadline_rings_once_at_its_time_and_in_order(due: dict[str, int]) -> None:
    async def scenario() -> list[tuple[float, str]]:
        clock = FakeClock(start=0.0)
        timers: Timers[str] = Timers(clock)
        rung: list[tuple[float, str]] = []
        for key, at in due.items():
            timers.set(key, at)
        task = asyncio.create_task(collect(timers, clock, rung))
        await clock.advance(100)
        task.cancel()
        return rung

    rung = asyncio.run(scenario())
    assert [at for at, _ in rung] == sorted(due.values())
    assert {key: at for at, key in rung} == due


async def test_an_earlier_deadline_set_while_waiting_rings_first(timers, clock) -> None:
    timers.set("late", 10)
    waiting = asyncio.create_task(timers.next())
    await settle()
    timers.set("early", 2)
    await clock.advance(3)
    assert waiting.done()
    assert waiting.result() == "early"
    assert timers.pending("late") == 10


async def test_a_deadline_set_again_replaces_the_first_setting(timers, clock) -> None:
    timers.set("a", 2)
    waiting = asyncio.create_task(timers.next())
    await settle()
    timers.set("a", 8)
    await clock.advance(7)
    assert not waiting.done()
    await clock.advance(2)
    assert waiting.result() == "a"


async def test_a_cancelled_deadline_never_rings(timers, clock) -> None:
    timers.set("a", 2)
    waiting = asyncio.create_task(timers.next())
    await settle()
    timers.cancel("a")
    await clock.advance(10)
    assert not waiting.done()
    waiting.cancel()


async def test_a_deadline_that_has_passed_rings_at_once(timers, clock) -> None:
    timers.set("a", -1)
    assert await asyncio.wait_for(timers.next(), 1) == "a"


async def test_cancelling_the_waiter_loses_no_deadline(timers, clock) -> None:
    timers.set("a", 2)
    waiting = asyncio.create_task(timers.next())
    await settle()
    waiting.cancel()
    await settle()
    again = asyncio.create_task(timers.next())
    await clock.advance(3)
    assert again.result() == "a"


async def test_waiting_ends_as_soon_as_everything_has(clock) -> None:
    one, two = asyncio.Event(), asyncio.Event()
    tasks = [asyncio.create_task(event.wait()) for event in (one, two)]
    waiting = asyncio.create_task(wait_at_most(clock, 10, *tasks))
    one.set()
    await settle()
    assert not waiting.done()
    two.set()
    await settle()
    assert waiting.result() == set()


async def test_patience_ends_and_names_the_late_without_cancelling_them(clock) -> None:
    hanging = asyncio.create_task(asyncio.Event().wait())
    ended = asyncio.create_task(asyncio.sleep(0))
    waiting = asyncio.create_task(wait_at_most(clock, 10, hanging, ended))
    await clock.advance(11)
    assert waiting.result() == {hanging}
    assert not hanging.cancelled()
    hanging.cancel()


async def test_nothing_to_wait_for_takes_no_time(clock) -> None:
    assert await asyncio.wait_for(wait_at_most(clock, 10), 1) == set()
