"""B3: one total order, whoever publishes from wherever."""

from __future__ import annotations

import threading
from itertools import combinations
from typing import Any

from events import Delivery, EventBus
from tests.events.support import PATIENCE, Note, Tick, drain, numbers, started

PUBLISHERS = 4
EACH = 300


def publish_from_threads(bus: EventBus, *, during: Any = None) -> None:
    """Several threads at once; `during` runs in this one when all of them are at it."""
    barrier = threading.Barrier(PUBLISHERS + 1)

    def publish(publisher: int) -> None:
        barrier.wait(PATIENCE)
        for n in range(EACH):
            bus.publish(
                (Tick if n % 2 else Note)(n=publisher * EACH + n, **({} if n % 2 else {"name": n % 3}))
            )

    threads = [threading.Thread(target=publish, args=(publisher,)) for publisher in range(PUBLISHERS)]
    for thread in threads:
        thread.start()
    barrier.wait(PATIENCE)
    if during is not None:
        during()
    for thread in threads:
        thread.join(PATIENCE)


def assert_same_order(*received: list[Any]) -> None:
    for first, second in combinations(received, 2):
        common = set(map(id, first)) & set(map(id, second))
        assert [e for e in first if id(e) in common] == [e for e in second if id(e) in common]


def test_subscriptions_see_what_they_share_in_the_same_order():
    bus = EventBus()
    subscriptions = [
        bus.subscribe("all", buffer_size=10_000),
        bus.subscribe("ticks", Tick, buffer_size=10_000),
        bus.subscribe("by name", "events.tick", "events.note", buffer_size=10_000),
        bus.subscribe("lossy", Note, Tick, buffer_size=500, delivery=Delivery.LOSSY),
    ]
    bus.start()
    publish_from_threads(bus)
    received = [drain(subscription) for subscription in subscriptions]
    assert len(received[0]) == PUBLISHERS * EACH
    assert len(received[3]) == 500
    assert_same_order(*received)


def test_each_publisher_s_own_order_is_kept():
    bus = started()
    subscription = bus.subscribe("s", buffer_size=10_000, leader_only=True)
    publish_from_threads(bus)
    received = numbers(drain(subscription))
    for publisher in range(PUBLISHERS):
        own = [n for n in received if n // EACH == publisher]
        assert own == sorted(own)


def test_replay_keeps_the_order_while_others_publish():
    bus = EventBus(pre_start_capacity=10_000)
    first = bus.subscribe("first", buffer_size=10_000)
    second = bus.subscribe("second", buffer_size=10_000)

    def start_and_pause() -> None:
        for _ in range(50):
            bus.start()
            bus.pause()
        bus.start()

    publish_from_threads(bus, during=start_and_pause)
    received = [drain(first), drain(second)]
    assert len(received[0]) == PUBLISHERS * EACH
    assert_same_order(*received)


def test_latest_keeps_the_order_among_the_events_of_one_key():
    bus = started()
    everything = bus.subscribe("all", buffer_size=10_000, leader_only=True)
    latest = bus.subscribe("latest", Note, delivery=Delivery.LATEST, leader_only=True)
    publish_from_threads(bus)
    order = drain(everything)
    received = drain(latest)
    for name in range(3):
        assert_same_order(
            [event for event in order if isinstance(event, Note) and event.name == name],
            [event for event in received if event.name == name],
        )


def test_an_event_published_by_an_on_drop_comes_after_the_one_that_was_dropped():
    bus: EventBus = started(on_drop=lambda subscription, event: bus.publish(Note(name="alarm", n=100)))
    everything = bus.subscribe("all", leader_only=True)
    bus.subscribe("small", Tick, buffer_size=1, leader_only=True)
    for n in range(3):
        bus.publish(Tick(n=n))
    assert numbers(drain(everything)) == [0, 1, 100, 2]
