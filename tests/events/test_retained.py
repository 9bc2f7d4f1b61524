"""B6: the bus remembers the last event of each key, for those who come later."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from events import Delivery, Event, EventBus, event
from tests.events.support import PATIENCE, Gone, Note, State, Tick, drain, numbers, settle, started


def late(bus: EventBus, *types: Any, **options: Any) -> Any:
    return bus.subscribe("late", *types, leader_only=True, **options)


def names(bus: EventBus) -> list[tuple[str, int]]:
    return [(state.name, state.n) for state in bus.retained(State)]


def test_the_last_event_of_each_key_is_retained():
    bus = started()
    for name, n in (("a", 1), ("b", 2), ("a", 3)):
        bus.publish(State(name=name, n=n))
    assert sorted(names(bus)) == [("a", 3), ("b", 2)]
    assert bus.stats().retained == 2


def test_the_last_event_of_a_key_can_be_looked_up():
    bus = started()
    bus.publish(State(name="a", n=1))
    bus.publish(State(name="a", n=2))
    found = bus.last(State, "a")
    assert found is not None
    assert found.n == 2
    assert bus.last(State, "b") is None
    assert bus.last(Gone, "a") is None


def test_a_late_subscription_begins_with_the_retained_events_by_time_of_publication():
    bus = started()
    for name, n in (("a", 1), ("b", 2), ("c", 3), ("a", 4)):
        bus.publish(State(name=name, n=n))
    subscription = late(bus)
    bus.publish(State(name="b", n=5))
    assert numbers(drain(subscription)) == [2, 3, 4, 5]


def test_only_the_retained_events_that_match():
    bus = started()
    bus.publish(State(name="a"))
    assert late(bus, Note).depth == 0
    assert late(bus, Event).depth == 1
    assert late(bus, "events.state").depth == 1


def test_what_is_not_declared_so_is_not_retained():
    bus = started()
    bus.publish(Tick())
    bus.publish(Note(name="a"))
    assert late(bus).depth == 0


def test_a_subscription_made_before_the_first_start_begins_with_nothing():
    bus = EventBus()
    bus.publish(State(name="a", n=1))
    subscription = bus.subscribe("early")
    assert subscription.depth == 0
    bus.start()
    assert numbers(drain(subscription)) == [1]


def test_an_event_is_retained_when_it_is_delivered_not_while_it_is_kept():
    bus = started()
    bus.publish(State(name="a", n=1))
    with bus.paused():
        bus.publish(State(name="a", n=2))
        assert names(bus) == [("a", 1)]
        subscription = late(bus)
        assert numbers(drain(subscription)) == [1]
    assert names(bus) == [("a", 2)]
    assert numbers(drain(subscription)) == [2]


@pytest.mark.parametrize("delivery", list(Delivery))
def test_state_replay_is_complete_however_small_the_buffer(delivery):
    bus = started()
    for n in range(50):
        bus.publish(State(name=str(n), n=n))
    subscription = late(bus, buffer_size=1, delivery=delivery)
    assert numbers(drain(subscription)) == list(range(50))


def test_retained_events_do_not_count_against_the_buffer():
    bus = started()
    for n in range(5):
        bus.publish(State(name=str(n)))
    subscription = late(bus, buffer_size=1)
    assert [bus.publish(Tick()) for _ in range(2)] == [1, 0]
    drain(subscription)
    assert [bus.publish(Tick()) for _ in range(2)] == [1, 0]


async def test_nobody_else_is_woken_by_a_late_subscription():
    bus = started()
    bus.publish(State(name="a"))
    other = late(bus)
    await other.get()
    waiting = asyncio.create_task(other.get())
    await settle()
    late(bus)
    await settle()
    assert not waiting.done()
    waiting.cancel()


async def test_a_late_subscription_leaves_no_window():
    bus = started()
    stop = threading.Event()

    def publish() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            bus.publish(State(name="a", n=n))

    thread = threading.Thread(target=publish)
    thread.start()
    try:
        while not bus.retained(State):
            await asyncio.sleep(0)
        for _ in range(200):
            with bus.subscribe("late", State, buffer_size=100_000, delivery=Delivery.LOSSY) as subscription:
                seen = [(await subscription.get()).n for _ in range(3)]
            assert seen == [seen[0], seen[0] + 1, seen[0] + 2]
    finally:
        stop.set()
        thread.join(PATIENCE)


def test_a_forgetting_type_drops_the_retained_event_of_its_key():
    bus = started()
    bus.publish(State(name="a"))
    bus.publish(State(name="b"))
    bus.publish(Gone(name="a"))
    assert names(bus) == [("b", 0)]
    assert [state.name for state in drain(late(bus))] == ["b"]


def test_forgetting_happens_when_it_is_delivered():
    bus = started()
    bus.publish(State(name="a"))
    with bus.paused():
        bus.publish(Gone(name="a"))
        assert names(bus) == [("a", 0)]
    assert names(bus) == []


def test_what_was_forgotten_may_come_again():
    bus = started()
    bus.publish(State(name="a", n=1))
    bus.publish(Gone(name="a"))
    bus.publish(State(name="a", n=2))
    assert names(bus) == [("a", 2)]


def test_a_retained_type_may_forget_others_of_its_key():
    @event("events.tomb", key="name", retain=True, forgets=(State,))
    class Tomb(Event):
        name: str
        n: int = 0

    bus = started()
    bus.publish(State(name="a", n=1))
    bus.publish(Tomb(name="a", n=2))
    assert numbers(drain(late(bus))) == [2]


def test_types_with_the_same_key_are_retained_side_by_side():
    @event("events.twin", key="name", retain=True)
    class Twin(Event):
        name: str
        n: int = 0

    bus = started()
    bus.publish(State(name="a", n=1))
    bus.publish(Twin(name="a", n=2))
    assert numbers(drain(late(bus))) == [1, 2]
    assert numbers(bus.retained(Twin)) == [2]


def test_refill_queues_the_retained_events_again():
    bus = started()
    bus.publish(State(name="a", n=1))
    bus.publish(State(name="b", n=2))
    subscription = late(bus, State, buffer_size=1)
    drain(subscription)
    assert subscription.refill() == 2
    assert numbers(drain(subscription)) == [1, 2]


async def test_refill_wakes_the_consumer():
    bus = started()
    bus.publish(State(name="a", n=1))
    subscription = late(bus)
    await subscription.get()
    waiting = asyncio.create_task(subscription.get())
    await settle()
    subscription.refill()
    await settle()
    assert waiting.done()


def test_refill_reaches_nobody_else():
    bus = started()
    bus.publish(State(name="a"))
    first, second = late(bus), late(bus)
    first.refill()
    assert (first.depth, second.depth) == (2, 1)


def test_refill_of_a_latest_queue_leaves_what_waits_in_its_order():
    bus = started()
    subscription = late(bus, delivery=Delivery.LATEST)
    bus.publish(State(name="a", n=1))
    bus.publish(Note(name="a", n=2))
    subscription.refill()
    assert numbers(drain(subscription)) == [1, 2]


@pytest.mark.parametrize("close", ["subscription", "bus"])
def test_refill_of_a_closed_subscription_queues_nothing(close):
    bus = started()
    subscription = late(bus)
    bus.publish(State(name="a"))
    (subscription if close == "subscription" else bus).close()
    assert subscription.refill() == 0
    assert subscription.depth == 1
