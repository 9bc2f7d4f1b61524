"""B4: what each kind of subscription does when its consumer is slower than the publishers."""

from __future__ import annotations

from typing import Any

import pytest

from events import Delivery, Event, EventBus, Subscription, event
from tests.events.support import Gone, Note, State, Tick, drain, numbers, started


class Drops:
    """An on_drop that remembers its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []

    def __call__(self, subscription: Subscription[Event], event: Any) -> None:
        self.calls.append((subscription.name, event.n))


def publish(bus: EventBus, *ns: int) -> None:
    for n in ns:
        bus.publish(Tick(n=n))


@pytest.mark.parametrize("delivery", [Delivery.CRITICAL, Delivery.LOSSY])
def test_a_full_buffer_drops_the_newest_event(delivery):
    bus = started()
    subscription = bus.subscribe("s", buffer_size=2, delivery=delivery, leader_only=True)
    publish(bus, 1, 2, 3)
    assert numbers(drain(subscription)) == [1, 2]


@pytest.mark.parametrize("delivery", list(Delivery))
def test_drops_are_counted_by_subscription_and_type(delivery):
    bus = started()
    small = bus.subscribe("small", buffer_size=1, delivery=delivery, leader_only=True)
    large = bus.subscribe("large", leader_only=True)
    publish(bus, 1, 2, 3)
    assert small.dropped == 2
    assert small.stats().dropped == {"events.tick": 2}
    assert large.dropped == 0


def test_a_buffer_that_was_read_takes_events_again():
    bus = started()
    subscription = bus.subscribe("s", buffer_size=1, leader_only=True)
    publish(bus, 1, 2)
    drain(subscription)
    publish(bus, 3)
    assert numbers(drain(subscription)) == [3]


def test_one_full_subscription_takes_nothing_from_the_others():
    bus = started()
    bus.subscribe("full", buffer_size=1, leader_only=True)
    other = bus.subscribe("other", leader_only=True)
    publish(bus, 1, 2, 3)
    assert numbers(drain(other)) == [1, 2, 3]


def test_the_default_is_critical():
    assert EventBus().subscribe("s").delivery is Delivery.CRITICAL


def test_the_first_drop_is_reported_with_the_event_that_was_dropped():
    bus = started(on_drop=(drops := Drops()))
    bus.subscribe("s", buffer_size=1, leader_only=True)
    publish(bus, 1, 2, 3, 4)
    assert drops.calls == [("s", 2)]


def test_drops_are_reported_again_only_after_the_queue_has_been_empty():
    bus = started(on_drop=(drops := Drops()))
    subscription = bus.subscribe("s", buffer_size=2, leader_only=True)
    publish(bus, 1, 2, 3)
    subscription.get_sync(0)
    publish(bus, 4, 5)  # it was full, read, and is full again: never empty
    assert drops.calls == [("s", 3)]
    drain(subscription)
    publish(bus, 6, 7, 8)
    assert drops.calls == [("s", 3), ("s", 8)]


async def test_a_batch_that_empties_the_queue_counts_as_well():
    bus = started(on_drop=(drops := Drops()))
    subscription = bus.subscribe("s", buffer_size=1, leader_only=True)
    publish(bus, 1, 2)
    await subscription.batch()
    publish(bus, 3, 4)
    assert drops.calls == [("s", 2), ("s", 4)]


def test_each_subscription_s_drops_are_reported():
    bus = started(on_drop=(drops := Drops()))
    bus.subscribe("a", buffer_size=1, leader_only=True)
    bus.subscribe("b", buffer_size=2, leader_only=True)
    publish(bus, 1, 2, 3)
    assert drops.calls == [("a", 2), ("b", 3)]


def test_a_lossy_subscription_drops_silently(caplog):
    bus = started(on_drop=(drops := Drops()))
    bus.subscribe("s", buffer_size=1, delivery=Delivery.LOSSY)
    publish(bus, 1, 2)
    assert drops.calls == []
    assert caplog.records == []


def test_without_an_on_drop_the_drop_is_logged(caplog):
    bus = EventBus()
    bus.subscribe("slow", buffer_size=1)
    bus.start()
    publish(bus, 1, 2, 3)
    assert [record.getMessage() for record in caplog.records] == [
        "subscription 'slow' is full and drops events.tick"
    ]


def test_on_drop_is_never_nested():
    depth, deepest, reported = 0, 0, []

    def on_drop(subscription: Subscription[Event], event: Event) -> None:
        nonlocal depth, deepest
        depth += 1
        deepest = max(deepest, depth)
        reported.append(subscription.name)
        bus.publish(Note(name="alarm"))  # dropped by the other one
        bus.publish(Note(name="alarm"))
        depth -= 1

    bus = started(on_drop=on_drop)
    bus.subscribe("ticks", Tick, buffer_size=1, leader_only=True)
    bus.subscribe("notes", Note, buffer_size=1, leader_only=True)
    publish(bus, 1, 2)
    assert reported == ["ticks", "notes"]
    assert deepest == 1


def test_a_failing_on_drop_does_not_hide_the_next_one():
    calls: list[str] = []

    def on_drop(subscription: Subscription[Event], event: Event) -> None:
        calls.append(subscription.name)
        raise ZeroDivisionError

    bus = started(on_drop=on_drop)
    bus.subscribe("a", buffer_size=1, leader_only=True)
    bus.subscribe("b", buffer_size=2, leader_only=True)
    publish(bus, 1, 2, 3)
    assert calls == ["a", "b"]


def latest(bus: EventBus, *types: type[Event], buffer_size: int = 100) -> Subscription[Any]:
    return bus.subscribe(
        "latest", *types, delivery=Delivery.LATEST, buffer_size=buffer_size, leader_only=True
    )


def test_latest_never_drops_what_has_a_key():
    bus = started()
    subscription = latest(bus, Note, buffer_size=1)
    for n in range(500):
        assert bus.publish(Note(name=str(n), n=n)) == 1
    assert numbers(drain(subscription)) == list(range(500))


def test_latest_keeps_only_the_newest_of_a_key_and_type():
    bus = started()
    subscription = latest(bus)
    for n in range(5):
        bus.publish(Note(name="a", n=n))
    assert numbers(drain(subscription)) == [4]
    assert subscription.stats().conflated == 4


def test_in_latest_the_place_belongs_to_the_key():
    bus = started()
    subscription = latest(bus)
    for name, n in (("a", 1), ("b", 2), ("a", 3), ("c", 4), ("b", 5)):
        bus.publish(Note(name=name, n=n))
    assert numbers(drain(subscription)) == [3, 5, 4]


def test_in_a_place_waits_one_event_of_each_type_in_the_order_published():
    bus = started()
    subscription = latest(bus)
    bus.publish(State(name="a", n=1))
    bus.publish(Gone(name="a", n=2))
    bus.publish(Note(name="a", n=3))
    bus.publish(State(name="a", n=4))
    assert numbers(drain(subscription)) == [2, 3, 4]


def test_taking_a_place_takes_all_of_it():
    bus = started()
    subscription = latest(bus)
    bus.publish(State(name="a", n=1))
    bus.publish(Note(name="a", n=2))
    assert subscription.get_sync(0).n == 1
    bus.publish(Note(name="a", n=3))  # a new place: the old one is taken, and must be finished first
    assert subscription.depth == 2
    assert numbers(drain(subscription)) == [2, 3]


def test_keys_of_different_fields_are_different_keys():
    @event("events.number", key="number")
    class Number(Event):
        number: str
        n: int

    bus = started()
    subscription = latest(bus)
    bus.publish(Note(name="a", n=1))
    bus.publish(Tick(n=2))
    bus.publish(Number(number="a", n=3))
    bus.publish(Note(name="a", n=4))
    assert numbers(drain(subscription)) == [4, 2, 3]


def test_in_latest_a_type_without_a_key_queues_as_in_critical():
    bus = started(on_drop=(drops := Drops()))
    subscription = latest(bus, buffer_size=2)
    for n in range(3):
        bus.publish(Note(name=str(n)))  # these places do not count against the buffer
    publish(bus, 1, 2, 3)
    assert [event.n for event in drain(subscription) if isinstance(event, Tick)] == [1, 2]
    assert drops.calls == [("latest", 3)]
    assert subscription.stats().dropped == {"events.tick": 1}


def test_in_latest_drops_are_reported_again_once_everything_has_been_taken():
    bus = started(on_drop=(drops := Drops()))
    subscription = latest(bus, buffer_size=1)
    publish(bus, 1, 2)
    drain(subscription)
    publish(bus, 3, 4)
    assert drops.calls == [("latest", 2), ("latest", 4)]


def test_in_latest_the_rest_of_a_place_that_was_taken_still_waits():
    bus = started(on_drop=(drops := Drops()))
    subscription = latest(bus, buffer_size=1)
    publish(bus, 1, 2)
    bus.publish(State(name="a", n=3))
    bus.publish(Note(name="a", n=4))
    assert [subscription.get_sync(0).n for _ in range(2)] == [1, 3]
    publish(bus, 5, 6)
    assert drops.calls == [("latest", 2)]  # 4 waits: it has not been empty yet


async def test_a_batch_of_latest_is_in_the_order_of_places():
    bus = started()
    subscription = latest(bus)
    bus.publish(State(name="a", n=1))
    bus.publish(Note(name="a", n=2))
    await subscription.get()
    for name, n in (("b", 3), ("a", 4), ("b", 5)):
        bus.publish(Note(name=name, n=n))
    bus.publish(Tick(n=6))
    assert numbers(await subscription.batch()) == [2, 5, 4, 6]
    assert subscription.depth == 0
    bus.publish(Note(name="b", n=7))
    assert numbers(await subscription.batch()) == [7]
