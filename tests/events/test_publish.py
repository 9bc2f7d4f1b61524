"""B2: publish never waits, never fails because of a consumer, and survives being interrupted by itself."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable
from typing import Any

import pytest

from events import Delivery, Event, EventBus, EventError, Subscription
from tests.events.support import (
    PATIENCE,
    Note,
    State,
    Tick,
    drain,
    numbers,
    on_thread,
    other_loop,
    settle,
    soon,
    started,
)


def test_it_returns_how_many_subscriptions_took_the_event():
    bus = EventBus()
    bus.subscribe("match", Tick)
    bus.subscribe("all")
    bus.subscribe("state", delivery=Delivery.LATEST)
    bus.subscribe("other", Note)
    full = bus.subscribe("full", Tick, buffer_size=1)
    bus.start()
    assert bus.publish(Tick()) == 4
    assert bus.publish(Tick()) == 3
    assert full.dropped == 1


def test_it_returns_0_while_the_bus_is_paused():
    bus = started()
    bus.subscribe("s", leader_only=True)
    with bus.paused():
        assert bus.publish(Tick()) == 0


def test_it_returns_0_once_the_bus_is_closed():
    bus = started()
    bus.subscribe("s", leader_only=True)
    bus.close()
    assert bus.publish(Tick()) == 0


def test_it_does_not_wait_for_a_consumer_that_does_not_read():
    bus = started()
    bus.subscribe("s", buffer_size=1, leader_only=True)
    assert on_thread(lambda: [bus.publish(Tick()) for _ in range(3)]) == [1, 0, 0]


@pytest.mark.parametrize("nonsense", ["text", None, 3, Event])
def test_what_is_no_event_is_refused(nonsense):
    with pytest.raises(EventError, match="is no declared event"):
        started().publish(nonsense)


@pytest.mark.parametrize("cls", [State, Note])
@pytest.mark.parametrize("running", [True, False])
def test_an_event_whose_key_cannot_be_looked_up_is_refused_before_anybody_gets_it(cls, running):
    bus = EventBus()
    subscriptions = [bus.subscribe(each.value, delivery=each) for each in Delivery]
    if running:
        bus.start()
    with pytest.raises(EventError, match="key"):
        bus.publish(cls(name=["a", "list"]))
    bus.start()
    assert [subscription.depth for subscription in subscriptions] == [0, 0, 0]


def test_the_bus_goes_on_after_it_has_refused_something():
    bus = started()
    subscription = bus.subscribe("s", leader_only=True)
    with pytest.raises(EventError):
        bus.publish("nonsense")  # type: ignore[arg-type] # that it fails is the test
    assert on_thread(lambda: bus.publish(Tick(n=1))) == 1
    assert numbers(drain(subscription)) == [1]


def test_a_failing_on_drop_is_logged_and_does_not_reach_the_publisher(caplog):
    def fail(subscription: Subscription[Event], event: Event) -> None:
        raise ZeroDivisionError

    bus = started(on_drop=fail)
    bus.subscribe("small", buffer_size=1, leader_only=True)
    bus.subscribe("large", leader_only=True)
    assert [bus.publish(Tick()) for _ in range(2)] == [2, 1]
    assert "on_drop failed for subscription 'small'" in caplog.text


def test_a_consumer_whose_loop_is_closed_does_not_reach_the_publisher():
    bus = started()
    subscription = bus.subscribe("s", leader_only=True)
    loop = asyncio.new_event_loop()
    task = loop.create_task(subscription.get())
    loop.run_until_complete(settle())
    loop.close()
    assert bus.publish(Tick(n=1)) == 1
    assert on_thread(lambda: bus.publish(Tick(n=2))) == 1
    task._log_destroy_pending = False  # type: ignore[attr-defined] # it can never end


def test_a_consumer_whose_loop_is_closed_by_another_thread_does_not_reach_the_publisher():
    bus = started()
    subscription = bus.subscribe("s", leader_only=True)
    loop = asyncio.new_event_loop()
    task = loop.create_task(subscription.get())
    on_thread(lambda: loop.run_until_complete(settle()))
    loop.close()
    assert bus.publish(Tick(n=1)) == 1
    task._log_destroy_pending = False  # type: ignore[attr-defined] # it can never end


def test_another_loop_takes_over_from_one_that_was_closed():
    bus = started()
    subscription = bus.subscribe("s", leader_only=True)
    loop = asyncio.new_event_loop()
    task = loop.create_task(subscription.get())
    loop.run_until_complete(settle())
    loop.close()

    async def take_two() -> list[Any]:
        waiting = asyncio.create_task(subscription.get())
        await settle()
        nonlocal task
        task._log_destroy_pending = False  # type: ignore[attr-defined] # it can never end
        del task
        gc.collect()  # the old consumer's cleaning up must not touch the new one
        bus.publish(Tick(n=1))
        first = await soon(waiting)
        bus.publish(Tick(n=2))
        return [first, await soon(subscription.get())]

    assert numbers(asyncio.run(take_two())) == [1, 2]


async def test_a_publish_from_another_thread_wakes_the_consumer():
    bus = started()
    subscription = bus.subscribe("s", leader_only=True)
    waiting = asyncio.create_task(subscription.get())
    await settle()
    await asyncio.to_thread(bus.publish, Tick(n=7))
    assert numbers([await soon(waiting)]) == [7]


async def test_a_publish_from_another_loop_wakes_the_consumer():
    bus = started()
    subscription = bus.subscribe("s", leader_only=True)
    waiting = asyncio.create_task(subscription.get())
    await settle()

    async def publish() -> int:
        return bus.publish(Tick(n=7))

    with other_loop() as loop:
        assert asyncio.run_coroutine_threadsafe(publish(), loop).result(PATIENCE) == 1
    assert numbers([await soon(waiting)]) == [7]


async def test_wake_ups_from_another_thread_are_gathered_into_one_call(monkeypatch):
    bus = started()
    subscriptions = [bus.subscribe(f"s{n}", leader_only=True) for n in range(5)]
    waiting = [asyncio.create_task(subscription.batch()) for subscription in subscriptions]
    await settle()
    loop, calls = asyncio.get_running_loop(), 0
    original = loop.call_soon_threadsafe

    def count(callback: Callable[..., object], *args: Any, **options: Any) -> asyncio.Handle:
        nonlocal calls
        calls += 1
        return original(callback, *args, **options)

    monkeypatch.setattr(loop, "call_soon_threadsafe", count)
    on_thread(lambda: [bus.publish(Tick(n=n)) for n in range(20)])  # this loop is held up meanwhile
    assert [numbers(events) for events in await soon(asyncio.gather(*waiting))] == [list(range(20))] * 5
    assert calls == 1


async def test_a_consumer_that_was_cancelled_before_its_wake_up_came_does_not_keep_the_others_asleep():
    bus = started()
    first, second = (bus.subscribe(name, leader_only=True) for name in ("first", "second"))
    cancelled, waiting = asyncio.create_task(first.get()), asyncio.create_task(second.get())
    await settle()
    on_thread(lambda: bus.publish(Tick(n=7)))  # this loop is held up meanwhile
    cancelled.cancel()
    assert numbers([await soon(waiting)]) == [7]


def lock_is_free(bus: EventBus) -> bool:
    return on_thread(lambda: bus.publish(Note(name="probe")) >= 0)


def test_on_drop_is_called_without_the_lock():
    free: list[bool] = []
    bus: EventBus = started(on_drop=lambda subscription, event: free.append(lock_is_free(bus)))
    bus.subscribe("s", Tick, buffer_size=1, leader_only=True)
    bus.publish(Tick())
    bus.publish(Tick())
    assert free == [True]


def test_nothing_is_logged_under_the_lock():
    free: list[bool] = []

    class Probe(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            free.append(lock_is_free(bus))

    bus = EventBus()
    logger, probe = logging.getLogger("kopfbus.events"), Probe()
    logger.addHandler(probe)
    try:
        bus.subscribe("early", Tick, "no.such.type", buffer_size=1)
        bus.start()
        bus.subscribe("late", Tick, buffer_size=1)
        for _ in range(3):
            bus.publish(Tick())
    finally:
        logger.removeHandler(probe)
    assert free == [True] * 4  # an unknown type, a late subscription, two that drop
