"""The recorder for tests records what the bus delivers and waits for it."""

from __future__ import annotations

import asyncio

import pytest

from events import Event, EventBus
from events.testing import EventRecorder
from tests.events.support import Note, Tick, numbers, settle, soon, started


async def test_it_records_everything_in_order():
    bus = EventBus()
    bus.publish(Tick(n=1))
    async with EventRecorder(bus) as recorder:
        bus.publish(Note(name="a", n=2))
        bus.start()
        bus.publish(Tick(n=3))
        await recorder.wait_for(Tick, lambda tick: tick.n == 3)
    assert numbers(recorder.events) == [1, 2, 3]
    assert numbers(recorder.of(Tick)) == [1, 3]


async def test_it_waits_for_an_event_that_comes_later():
    bus = started()
    async with EventRecorder(bus) as recorder:
        waiting = asyncio.create_task(recorder.wait_for(Tick, lambda tick: tick.n > 1))
        await settle()
        bus.publish(Tick(n=1))
        await settle()
        assert not waiting.done()
        await asyncio.to_thread(bus.publish, Tick(n=2))
        assert (await soon(waiting)).n == 2


async def test_it_finds_an_event_that_has_come_already():
    bus = started()
    async with EventRecorder(bus) as recorder:
        bus.publish(Tick(n=1))
        await settle()
        assert (await soon(recorder.wait_for(Tick))).n == 1


async def test_without_the_event_it_fails_and_lists_what_came():
    bus = started()
    async with EventRecorder(bus) as recorder:
        bus.publish(Tick(n=1))
        await settle()
        with pytest.raises(AssertionError, match=r"no matching events\.note within 0\.01 s(.|\n)*Tick\(n=1"):
            await recorder.wait_for(Note, timeout=0.01)
        with pytest.raises(AssertionError, match=r"no matching Event within"):
            await recorder.wait_for(Event, lambda _: False, timeout=0.01)


async def test_when_nothing_came_it_says_so():
    async with EventRecorder(started()) as recorder:
        with pytest.raises(AssertionError, match="nothing"):
            await recorder.wait_for(Tick, timeout=0.01)


async def test_it_goes_with_its_block():
    bus = started()
    async with EventRecorder(bus):
        assert len(bus.subscriptions) == 1
    assert not bus.subscriptions


async def test_what_was_published_inside_the_block_is_recorded_when_it_is_left():
    bus = started()
    async with EventRecorder(bus) as recorder:
        bus.publish(Tick(n=1))
    assert numbers(recorder.events) == [1]


async def test_it_is_an_observer_and_may_be_late(caplog):
    async with EventRecorder(started()):
        pass
    assert caplog.records == []
