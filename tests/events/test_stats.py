"""B9: the bus and its subscriptions tell what happened."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from events import Delivery, Event, EventBus, SubscriptionStats
from tests.events.interrupts import InterruptAt
from tests.events.support import Ask, Note, State, Tick, on_thread, settle, started


def test_a_subscription_tells_everything_about_itself():
    bus = started()
    subscription = bus.subscribe("loader", Tick, "events.note", buffer_size=3, leader_only=True)
    for _ in range(5):
        bus.publish(Tick())
    subscription.get_sync(0)
    bus.publish(Note(name="a"))
    bus.publish(Note(name="a"))
    assert subscription.stats() == SubscriptionStats(
        name="loader",
        types=("events.tick", "events.note"),
        depth=3,
        high_water=3,
        accepted=4,
        delivered=1,
        conflated=0,
        dropped={"events.tick": 2, "events.note": 1},
    )


def test_a_base_class_is_told_by_its_name():
    assert EventBus().subscribe("s", Event).stats().types == ("Event",)


def test_a_latest_subscription_counts_events_not_places():
    bus = started()
    subscription = bus.subscribe("s", delivery=Delivery.LATEST, leader_only=True)
    for n in range(3):
        bus.publish(State(name="a", n=n))
        bus.publish(Note(name="a", n=n))
    bus.publish(Tick())
    subscription.get_sync(0)
    stats = subscription.stats()
    assert (stats.depth, stats.high_water, stats.accepted, stats.delivered, stats.conflated) == (
        2,
        3,
        7,
        1,
        4,
    )


async def read_by_batch(subscription: Any) -> None:
    await subscription.batch()


async def read_one_by_one(subscription: Any) -> None:
    while subscription.depth:
        await subscription.get()


@pytest.mark.parametrize("read", [read_by_batch, read_one_by_one])
@pytest.mark.parametrize("delivery", list(Delivery))
async def test_the_high_water_mark_stays(delivery, read):
    bus = started()
    subscription = bus.subscribe("s", delivery=delivery, leader_only=True)
    for size in (2, 5, 3):
        for n in range(size):
            bus.publish(Note(name=str(n)))
        await read(subscription)
    stats = subscription.stats()
    assert (stats.high_water, stats.depth, stats.accepted, stats.delivered) == (5, 0, 10, 10)


def test_the_bus_counts_what_was_published_per_type():
    bus = EventBus()
    bus.publish(Tick())
    bus.start()
    bus.publish(Tick())
    bus.publish(Note(name="a"))
    assert bus.stats().published == {"events.tick": 2, "events.note": 1}


def test_the_counts_survive_a_new_subscription():
    bus = started()
    bus.publish(Tick())
    bus.subscribe("s", leader_only=True)
    bus.publish(Tick())
    assert bus.stats().published == {"events.tick": 2}


async def test_the_bus_tells_what_it_holds():
    bus = EventBus(pre_start_capacity=2)
    task = asyncio.create_task(bus.request(Ask(), ["a"]))
    await settle()
    for _ in range(3):
        bus.publish(Tick())
    stats = bus.stats()
    assert (stats.kept, stats.dropped_while_paused, stats.pending_requests) == (2, 2, 1)
    bus.start()
    bus.publish(State(name="a"))
    bus.publish(State(name="a"))
    stats = bus.stats()
    assert (stats.kept, stats.dropped_while_paused, stats.retained) == (0, 2, 1)
    task.cancel()


def test_the_bus_lists_its_open_subscriptions():
    bus = EventBus()
    first, second = bus.subscribe("first"), bus.subscribe("second")
    assert list(bus.subscriptions) == [first, second]
    first.close()
    assert list(bus.subscriptions) == [second]


def test_reading_the_counts_does_not_wait_for_the_lock_or_hold_it_up():
    bus = started()
    subscriptions = [bus.subscribe(each.value, State, delivery=each, leader_only=True) for each in Delivery]
    bus.publish(State(name="a"))
    with bus._lock:
        assert on_thread(bus.stats).retained == 1
        for subscription in subscriptions:
            assert on_thread(subscription.stats).depth == 1
            assert on_thread(lambda subscription=subscription: subscription.depth) == 1  # type: ignore[misc] # a default


@pytest.mark.parametrize("delivery", list(Delivery))
def test_accepted_never_goes_back_while_a_consumer_reads(delivery):
    place, interrupted = 0, True
    while interrupted:
        place += 1
        bus = started()
        subscription = bus.subscribe("s", delivery=delivery, leader_only=True)
        for n in range(3):
            bus.publish(Note(name=str(n)))
        before = subscription.stats().accepted
        during: list[int] = []
        interrupted = InterruptAt(place, subscription.get_sync).run(
            lambda during=during, subscription=subscription: during.append(subscription.stats().accepted)  # type: ignore[misc] # defaults
        )
        assert [before, *during, subscription.stats().accepted] == [3, 3, 3], place
    assert place > 5
