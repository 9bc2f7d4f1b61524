"""B8: how a subscription is read, by one consumer at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from events import BusClosed, Delivery, Event, EventBus, EventError, Subscription, SubscriptionClosed, event
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

Waiting = asyncio.Task[Any]


@event("events.tick.fine")
class FineTick(Tick):
    """A subclass of a declared type."""


@pytest.fixture
def bus() -> EventBus:
    return started()


@pytest.fixture(params=[Delivery.CRITICAL, Delivery.LATEST], ids=lambda delivery: delivery.value)
def subscription(bus, request) -> Subscription[Any]:
    made: Subscription[Any] = bus.subscribe("s", delivery=request.param, leader_only=True)
    return made


@pytest.fixture
async def waiting(subscription) -> AsyncIterator[Waiting]:
    """A consumer that waits in the test's loop."""
    task = asyncio.create_task(subscription.get())
    await settle()
    yield task
    task.cancel()


def publish(bus: EventBus, *ns: int) -> None:
    for n in ns:
        bus.publish(Note(name=str(n), n=n))


async def test_get_takes_one_at_a_time(bus, subscription):
    publish(bus, 1, 2)
    assert [(await subscription.get()).n, (await subscription.get()).n] == [1, 2]


async def test_get_waits_for_an_event(bus, waiting):
    assert not waiting.done()
    publish(bus, 1)
    assert (await soon(waiting)).n == 1


async def test_batch_takes_all_that_waits(bus, subscription):
    publish(bus, 1, 2, 3)
    assert numbers(await subscription.batch()) == [1, 2, 3]
    assert subscription.depth == 0


async def test_batch_waits_for_at_least_one(bus, subscription):
    task = asyncio.create_task(subscription.batch())
    await settle()
    assert not task.done()
    publish(bus, 1)
    assert numbers(await soon(task)) == [1]


async def test_a_batch_belongs_to_its_caller(bus, subscription):
    publish(bus, 1)
    batch = await subscription.batch()
    publish(bus, 2)
    assert numbers(batch) == [1]
    batch.clear()
    assert numbers(await subscription.batch()) == [2]


async def test_iterating_takes_one_at_a_time_and_break_loses_nothing(bus, subscription):
    publish(bus, 1, 2, 3)
    async for note in subscription:
        assert note.n == 1
        break
    assert numbers(await subscription.batch()) == [2, 3]


@pytest.mark.parametrize("how", ["get", "batch"])
async def test_cancelling_a_wait_loses_nothing(bus, subscription, how):
    task = asyncio.create_task(getattr(subscription, how)())
    await settle()
    task.cancel()
    publish(bus, 1)
    with pytest.raises(asyncio.CancelledError):
        await task
    publish(bus, 2)
    assert numbers(await subscription.batch()) == [1, 2]


@pytest.mark.parametrize("how", ["get", "batch"])
async def test_cancelling_a_consumer_that_was_just_woken_loses_nothing(bus, subscription, how):
    task = asyncio.create_task(getattr(subscription, how)())
    await settle()
    publish(bus, 1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert numbers(await subscription.batch()) == [1]


async def test_after_a_cancelled_wait_the_next_one_is_woken(bus, subscription):
    task = asyncio.create_task(subscription.get())
    await settle()
    task.cancel()
    await settle()
    task = asyncio.create_task(subscription.get())
    await settle()
    publish(bus, 1)
    assert (await soon(task)).n == 1


def test_get_sync_takes_one_in_a_thread(bus, subscription):
    publish(bus, 1, 2)
    assert on_thread(lambda: subscription.get_sync(0).n) == 1
    assert on_thread(lambda: subscription.get_sync(0).n) == 2


def test_get_sync_waits_for_an_event(bus, subscription):
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(subscription.get_sync, PATIENCE)
        wait_until_parked(subscription)
        publish(bus, 1)
        assert future.result(PATIENCE).n == 1


def test_get_sync_without_a_timeout_waits_on(bus, subscription):
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(subscription.get_sync)
        wait_until_parked(subscription)
        assert not future.done()
        publish(bus, 1)
        assert future.result(PATIENCE).n == 1


@pytest.mark.parametrize("timeout", [0, 0.01, -1])
def test_get_sync_gives_up_after_the_timeout(subscription, timeout):
    with pytest.raises(TimeoutError, match="no event for subscription 's' within"):
        subscription.get_sync(timeout)


def test_after_a_timeout_the_next_event_is_there(bus, subscription):
    with pytest.raises(TimeoutError):
        subscription.get_sync(0)
    publish(bus, 1)
    assert subscription.get_sync(0).n == 1


def wait_until_parked(subscription: Subscription[Any]) -> None:
    """Until a thread waits in get_sync."""
    for _ in range(int(PATIENCE / 0.001)):
        if subscription._waiter is not None:
            return
        threading.Event().wait(0.001)
    raise AssertionError("nobody waits")


@pytest.mark.parametrize("how", ["get", "batch"])
async def test_a_second_consumer_in_the_same_loop_is_refused(bus, subscription, waiting, how):
    with pytest.raises(RuntimeError, match="one at a time"):
        await soon(getattr(subscription, how)())
    publish(bus, 1)
    assert (await soon(waiting)).n == 1


async def test_a_second_consumer_is_refused_also_when_the_first_was_just_woken(bus, subscription, waiting):
    publish(bus, 1)
    with pytest.raises(RuntimeError, match="one at a time"):
        await soon(subscription.get())
    assert (await soon(waiting)).n == 1


async def test_a_thread_is_refused_while_a_loop_consumes(bus, subscription):
    publish(bus, 1, 2)
    await subscription.get()
    with pytest.raises(RuntimeError, match="another loop"):
        await asyncio.to_thread(subscription.get_sync, 0)
    assert (await subscription.get()).n == 2


async def test_a_loop_is_refused_while_a_thread_waits(bus, subscription):
    future = asyncio.get_running_loop().run_in_executor(None, subscription.get_sync, PATIENCE)
    await asyncio.to_thread(wait_until_parked, subscription)
    with pytest.raises(RuntimeError, match="one at a time"):
        await soon(subscription.get())
    publish(bus, 1)
    assert (await soon(future)).n == 1


async def test_a_second_thread_is_refused_while_one_waits(bus, subscription):
    future = asyncio.get_running_loop().run_in_executor(None, subscription.get_sync, PATIENCE)
    await asyncio.to_thread(wait_until_parked, subscription)
    with pytest.raises(RuntimeError, match="one at a time"):
        await asyncio.to_thread(subscription.get_sync, 0)
    publish(bus, 1)
    assert (await soon(future)).n == 1


@pytest.mark.parametrize("events", [0, 2])
async def test_another_loop_is_refused_while_the_first_is_open(bus, subscription, events):
    publish(bus, 0)
    await subscription.get()
    publish(bus, *range(events))
    with other_loop() as loop:
        future = asyncio.run_coroutine_threadsafe(subscription.get(), loop)
        with pytest.raises(RuntimeError, match="another loop"):
            future.result(PATIENCE)
    assert subscription.depth == events


def test_another_loop_may_consume_once_the_first_is_closed(bus, subscription):
    for n in range(3):
        publish(bus, n)
        assert asyncio.run(subscription.get()).n == n


def test_a_thread_may_consume_once_the_loop_is_closed(bus, subscription):
    publish(bus, 1, 2)
    assert asyncio.run(subscription.get()).n == 1
    assert subscription.get_sync(0).n == 2


async def test_a_closed_subscription_takes_no_more_events(bus, subscription):
    subscription.close()
    assert bus.publish(Tick()) == 0
    assert subscription.closed


@pytest.mark.parametrize("close", ["subscription", "bus"])
async def test_after_close_what_was_accepted_can_be_read_then_iteration_ends(bus, subscription, close):
    publish(bus, 1, 2)
    (subscription if close == "subscription" else bus).close()
    assert [each.n async for each in subscription] == [1, 2]
    assert [each.n async for each in subscription] == []


@pytest.mark.parametrize("how", ["get", "batch"])
async def test_get_and_batch_tell_when_it_is_closed_and_empty(subscription, how):
    subscription.close()
    with pytest.raises(SubscriptionClosed, match="'s' is closed"):
        await soon(getattr(subscription, how)())


def test_get_sync_tells_when_it_is_closed_and_empty(subscription):
    subscription.close()
    with pytest.raises(SubscriptionClosed):
        subscription.get_sync(PATIENCE)


@pytest.mark.parametrize("close", ["subscription", "bus"])
async def test_closing_ends_a_wait(bus, subscription, waiting, close):
    await asyncio.to_thread((subscription if close == "subscription" else bus).close)
    with pytest.raises(SubscriptionClosed):
        await soon(waiting)


async def test_closing_ends_a_thread_s_wait(subscription):
    future = asyncio.get_running_loop().run_in_executor(None, subscription.get_sync, PATIENCE)
    await asyncio.to_thread(wait_until_parked, subscription)
    subscription.close()
    with pytest.raises(SubscriptionClosed):
        await soon(future)


async def test_closing_ends_an_iteration(subscription):
    async def consume() -> list[Any]:
        return [each async for each in subscription]

    task = asyncio.create_task(consume())
    await settle()
    subscription.close()
    assert await soon(task) == []


def test_leaving_the_with_block_closes_it(bus):
    with bus.subscribe("s", leader_only=True) as subscription:
        assert bus.subscriptions == (subscription,)
    assert subscription.closed
    assert bus.subscriptions == ()


def test_closing_twice_does_nothing_more(bus, subscription):
    other = bus.subscribe("other", leader_only=True)
    subscription.close()
    subscription.close()
    bus.close()
    bus.close()
    assert other.closed


def test_a_closed_bus_takes_no_subscription(bus):
    bus.close()
    with pytest.raises(BusClosed, match="'late'"):
        bus.subscribe("late")


def test_a_buffer_holds_at_least_one(bus):
    with pytest.raises(ValueError, match="'s': buffer_size is 0"):
        bus.subscribe("s", buffer_size=0)


@pytest.mark.parametrize("wanted", [int, Tick(), None])
def test_what_is_no_type_of_event_is_refused_when_subscribing(bus, wanted):
    with pytest.raises(EventError, match=r"'s': .* is neither an Event class nor a string"):
        bus.subscribe("s", wanted)
    assert bus.publish(Tick()) == 0


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        ((), ["events.tick", "events.state", "events.tick.fine"]),
        ((Event,), ["events.tick", "events.state", "events.tick.fine"]),
        ((Tick,), ["events.tick", "events.tick.fine"]),
        (("events.tick",), ["events.tick", "events.tick.fine"]),
        (("events.tick.fine",), ["events.tick.fine"]),
        ((State, "events.tick.fine"), ["events.state", "events.tick.fine"]),
        (("events.tick", Tick), ["events.tick", "events.tick.fine"]),
        (("no.such.type",), []),
    ],
)
def test_a_type_is_a_class_with_its_subclasses_or_a_type_string(bus, types, expected):
    subscription = bus.subscribe("s", *types, leader_only=True)
    for published in (Tick(), State(name="a"), FineTick()):
        bus.publish(published)
    assert [each.event_type for each in drain(subscription)] == expected


def test_a_subscription_shows_itself(bus):
    bus.publish(Tick())
    subscription = bus.subscribe("loader", delivery=Delivery.LOSSY)
    bus.publish(Tick())
    assert repr(subscription) == "<Subscription 'loader' lossy, depth 1>"
