"""B2, B3, B8 under stress: real threads and two loops for two seconds."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from typing import Any

from events import Delivery, EventBus, Subscription, SubscriptionClosed
from tests.events.support import PATIENCE, Answer, Ask, Gone, Note, State, Tick, other_loop

SECONDS = 1.5
PUBLISHERS = 3


class Stress:
    """Publishers in threads, consumers in two loops and a thread, one who pauses, one who comes late."""

    def __init__(self) -> None:
        self.bus = EventBus(pre_start_capacity=100_000, on_drop=lambda subscription, event: None)
        self.bus.start()
        self.stop = threading.Event()
        self.errors: list[BaseException] = []
        self.published: Counter[int] = Counter()
        self.received: dict[str, list[Any]] = {}
        self.late = 0

    def subscribe(self, name: str, *types: Any, **options: Any) -> Subscription[Any]:
        self.received[name] = []
        return self.bus.subscribe(name, *types, leader_only=True, **options)

    def guarded(self, function: Any, *args: Any) -> threading.Thread:
        def run() -> None:
            try:
                function(*args)
            except BaseException as error:  # whatever it was, the test reports it
                self.errors.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        return thread

    def publish(self, publisher: int) -> None:
        n = publisher
        while not self.stop.is_set():
            for event in (Tick(n=n), Note(name=n % 5, n=n), State(name=n % 5, n=n)):
                self.bus.publish(event)
            if n % 7 == 0:
                self.bus.publish(Gone(name=str(n % 5)))
            self.published[publisher] += 1
            n += PUBLISHERS
            if n % 300 < PUBLISHERS:
                time.sleep(0.001)  # let the consumers have the interpreter

    def pause(self) -> None:
        while not self.stop.is_set():
            with self.bus.paused(), self.bus.paused():
                time.sleep(0.002)
            time.sleep(0.005)

    def come_late(self) -> None:
        while not self.stop.is_set():
            with self.bus.subscribe("late", State, leader_only=True, buffer_size=10**6) as subscription:
                time.sleep(0.002)
                subscription.refill()
            self.late += 1

    def consume_in_thread(self, subscription: Subscription[Any]) -> None:
        received = self.received[subscription.name]
        while True:
            try:
                received.append(subscription.get_sync(PATIENCE))
            except SubscriptionClosed:
                return

    async def consume(self, subscription: Subscription[Any], *, batches: bool) -> None:
        received = self.received[subscription.name]
        try:
            while True:
                received.extend(await subscription.batch() if batches else [await subscription.get()])
        except SubscriptionClosed:
            return

    async def respond(self, subscription: Subscription[Ask], name: str) -> None:
        async for ask in subscription:
            self.bus.publish(Answer(request_id=ask.id, responder=name))

    async def ask(self) -> int:
        asked = 0
        while not self.stop.is_set():
            result = await self.bus.request(Ask(), ["here", "there"], timeout=PATIENCE)
            assert result.missing == ()
            asked += 1
        return asked


async def test_nothing_is_lost_doubled_or_left_asleep():
    stress = Stress()
    everything = {"buffer_size": 10**7}
    with other_loop() as other:
        here = [
            stress.consume(stress.subscribe("batches", **everything), batches=True),
            stress.consume(stress.subscribe("singly", Tick, **everything), batches=False),
            stress.consume(stress.subscribe("latest", delivery=Delivery.LATEST, **everything), batches=True),
            stress.respond(stress.subscribe("here", Ask), "here"),
        ]
        there = [
            stress.consume(stress.subscribe("there batches", **everything), batches=True),
            stress.consume(stress.subscribe("there small", Tick, buffer_size=3), batches=False),
            stress.respond(stress.subscribe("there", Ask), "there"),
        ]
        tasks: list[asyncio.Future[None]] = [
            *(asyncio.ensure_future(each) for each in here),
            *(asyncio.wrap_future(asyncio.run_coroutine_threadsafe(each, other)) for each in there),
        ]
        threads = [stress.guarded(stress.consume_in_thread, stress.subscribe("thread", Note, **everything))]
        publishers = [stress.guarded(stress.publish, publisher) for publisher in range(PUBLISHERS)]
        publishers += [stress.guarded(stress.pause), stress.guarded(stress.come_late)]
        asking = asyncio.create_task(stress.ask())
        await asyncio.sleep(SECONDS)
        stress.stop.set()
        asked = await asyncio.wait_for(asking, PATIENCE)
        for publisher in publishers:
            await asyncio.to_thread(publisher.join, PATIENCE)
        small = next(each for each in stress.bus.subscriptions if each.name == "there small")
        stress.bus.close()
        await asyncio.wait_for(asyncio.gather(*tasks), PATIENCE)
        await asyncio.to_thread(threads[0].join, PATIENCE)
    assert stress.errors == []
    check(stress, small, asked)


def check(stress: Stress, small: Subscription[Any], asked: int) -> None:
    rounds = sum(stress.published.values())
    assert rounds > 100
    assert asked > 10
    assert stress.late > 10
    order = {id(event): place for place, event in enumerate(stress.received["batches"])}
    ticks = [event for event in stress.received["batches"] if isinstance(event, Tick)]
    notes = [event for event in stress.received["batches"] if isinstance(event, Note)]
    assert len(ticks) == len(notes) == rounds
    assert stress.received["singly"] == ticks
    assert stress.received["thread"] == notes
    assert stress.received["there batches"] == stress.received["batches"]
    assert len(stress.received["there small"]) + small.dropped == rounds
    places = [order[id(event)] for event in stress.received["there small"]]
    assert places == sorted(places)
    for name in range(5):
        places = [order[id(e)] for e in stress.received["latest"] if getattr(e, "name", None) == name]
        assert places == sorted(places)
        last = [event for event in notes if event.name == name][-1:]
        assert [e for e in stress.received["latest"] if isinstance(e, Note) and e.name == name][-1:] == last
