"""Whatever happens to a bus in whatever order, it does what a simple model of the promises B2 to B7 says."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)

from events import Delivery, Event, EventBus, RequestDropped, Subscription
from tests.events.support import Answer, Ask, Gone, Note, State, Tick, numbers, settle

KEPT_AT_MOST = 3


@dataclass(eq=False)
class Queue:
    """What one subscription has to hold: groups of events that are taken together."""

    real: Subscription[Any]
    types: tuple[type[Event], ...]
    room: int
    groups: list[list[Event]] = field(default_factory=list)
    taken: list[Event] = field(default_factory=list)
    exempt: int = 0
    dropped: int = 0
    conflated: int = 0
    reported: bool = False

    @property
    def latest(self) -> bool:
        return self.real.delivery is Delivery.LATEST

    @property
    def waiting(self) -> list[Event]:
        return self.taken + [event for group in self.groups for event in group]

    def wants(self, event: Event) -> bool:
        return not self.types or isinstance(event, self.types)

    def offer(self, event: Event, *, exempt: bool = False) -> bool:
        if self.latest and hasattr(event, "name"):
            self.offer_keyed(event, event.name)
            return True
        counted = sum(1 for group in self.groups if not (self.latest and hasattr(group[0], "name")))
        if not exempt and counted >= self.room + self.exempt:
            self.dropped += 1
            return False
        self.exempt += exempt
        self.groups.append([event])
        return True

    def offer_keyed(self, event: Any, name: str) -> None:
        for group in self.groups:
            if getattr(group[0], "name", None) == name:
                older = [waiting for waiting in group if type(waiting) is type(event)]
                if older != [event]:
                    group[:] = [waiting for waiting in group if waiting not in older] + [event]
                    self.conflated += len(older)
                return
        self.groups.append([event])

    def take(self) -> Event:
        if not self.taken:
            self.taken = self.groups.pop(0)
        event = self.taken.pop(0)
        self.when_empty()
        return event

    def take_all(self) -> list[Event]:
        events = self.waiting
        self.taken, self.groups = [], []
        self.when_empty()
        return events

    def when_empty(self) -> None:
        if not self.waiting:
            self.exempt, self.reported = 0, False


class BusMachine(RuleBasedStateMachine):
    """Does everything to a bus and to the model, and compares."""

    queues = Bundle("queues")
    blocks = Bundle("blocks")

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.reports: list[tuple[Subscription[Any], Event]] = []
        self.bus = EventBus(
            KEPT_AT_MOST, lambda subscription, event: self.reports.append((subscription, event))
        )
        self.open: list[Queue] = []
        self.was_started = self.started = False
        self.pauses = 0
        self.kept: list[Event] = []
        self.kept_last: dict[Any, Event] = {}
        self.overflowed: set[Queue] = set()
        self.retained: dict[Any, Event] = {}
        self.history: list[Event] = []
        self.expected_reports: list[tuple[Subscription[Any], Event]] = []
        self.asked: dict[str, tuple[asyncio.Task[Any], Ask, list[str], dict[str, Answer]]] = {}
        self.n = 0

    @property
    def running(self) -> bool:
        return self.started and not self.pauses

    # What the bus is to do

    def expect_publish(self, event: Event) -> int:
        if self.running:
            return self.expect_delivery(event)
        self.expect_kept(event)
        return 0

    def expect_delivery(self, event: Event, *, replay: bool = False) -> int:
        self.history.append(event)
        taken = 0
        for queue in sorted(self.open, key=lambda queue: queue.latest):
            if queue.wants(event):
                lossy = queue.real.delivery is Delivery.LOSSY
                if queue.offer(event, exempt=replay and not lossy):
                    taken += 1
                elif not lossy and not queue.reported:
                    queue.reported = True
                    self.expected_reports.append((queue.real, event))
        if isinstance(event, Gone):
            self.retained.pop(event.name, None)
        if isinstance(event, State):
            self.retained.pop(event.name, None)
            self.retained[event.name] = event
        return taken

    def expect_kept(self, event: Event) -> None:
        if len(self.kept) < KEPT_AT_MOST:
            self.kept.append(event)
            return
        lost: Event | None = event
        if isinstance(event, State | Gone):
            lost = self.kept_last.pop((type(event), event.name), None)
            self.kept_last[type(event), event.name] = event
        if lost is None:
            return
        for queue in sorted(self.open, key=lambda queue: queue.latest):
            if not queue.wants(lost):
                continue
            if queue.latest and lost is not event:
                queue.conflated += 1
                continue
            queue.dropped += 1
            if queue.real.delivery is not Delivery.LOSSY and queue not in self.overflowed:
                self.overflowed.add(queue)
                self.expected_reports.append((queue.real, lost))

    def expect_replay(self) -> None:
        if not self.running:
            return
        for event in [*self.kept, *self.kept_last.values()]:
            self.expect_delivery(event, replay=True)
        self.kept, self.kept_last, self.overflowed = [], {}, set()

    # What is done

    @initialize(running=st.booleans())
    def begin(self, running: bool) -> None:  # noqa: FBT001 - drawn by keyword
        if running:
            self.start()

    @rule(
        target=queues,
        delivery=st.sampled_from(Delivery),
        room=st.integers(1, 3),
        types=st.sets(st.sampled_from([Tick, Note, State, Gone, Ask]), max_size=3),
    )
    def subscribe(self, delivery: Delivery, room: int, types: set[type[Event]]) -> Queue:
        real = self.bus.subscribe("s", *types, delivery=delivery, buffer_size=room, leader_only=True)
        queue = Queue(real, tuple(types), room)
        self.open.append(queue)
        if self.was_started:
            self.expect_refill(queue)
        return queue

    def expect_refill(self, queue: Queue) -> int:
        matching = [event for event in self.retained.values() if queue.wants(event)]
        for event in matching:
            queue.offer(event, exempt=True)
        return len(matching)

    @rule(
        burst=st.lists(
            st.tuples(st.sampled_from([Tick, Note, State, Gone]), st.sampled_from("ab")), max_size=4
        )
    )
    def publish(self, burst: list[tuple[Any, str]]) -> None:
        for cls, name in burst:
            self.n += 1
            event = cls(n=self.n) if cls is Tick else cls(n=self.n, name=name)
            assert self.bus.publish(event) == self.expect_publish(event)

    @rule(queue=queues)
    def refill(self, queue: Queue) -> None:
        assert queue.real.refill() == (self.expect_refill(queue) if queue in self.open else 0)

    @rule(queue=queues)
    def close(self, queue: Queue) -> None:
        queue.real.close()
        if queue in self.open:
            self.open.remove(queue)

    @rule()
    def start(self) -> None:
        self.bus.start()
        self.started = self.was_started = True
        self.expect_replay()

    @rule()
    def pause(self) -> None:
        self.bus.pause()
        self.started = False

    @rule(target=blocks)
    def enter_paused(self) -> Any:
        block = self.bus.paused()
        block.__enter__()
        self.pauses += 1
        return block

    @rule(block=consumes(blocks))
    def leave_paused(self, block: Any) -> None:
        block.__exit__(None, None, None)
        self.pauses -= 1
        self.expect_replay()

    @rule(queue=queues)
    def take_one(self, queue: Queue) -> None:
        if queue.waiting:
            assert self.loop.run_until_complete(queue.real.get()) is queue.take()

    @rule(queue=queues)
    def take_batch(self, queue: Queue) -> None:
        if queue.waiting:
            assert self.loop.run_until_complete(queue.real.batch()) == queue.take_all()

    @rule(responders=st.sampled_from([["a"], ["a", "b"]]))
    def ask(self, responders: list[str]) -> None:
        ask = Ask()
        dropped = not self.running and len(self.kept) == KEPT_AT_MOST
        task = self.loop.create_task(self.bus.request(ask, responders, timeout=None))
        self.loop.run_until_complete(settle(3))
        self.expect_publish(ask)
        if dropped:
            assert isinstance(task.exception(), RequestDropped)
        else:
            self.asked[ask.id] = (task, ask, responders, {})

    @precondition(lambda self: self.asked)
    @rule(which=st.integers(0, 9), responder=st.sampled_from(["a", "b", "stranger"]))
    def answer(self, which: int, responder: str) -> None:
        task, ask, responders, answers = list(self.asked.values())[which % len(self.asked)]
        answer = Answer(request_id=ask.id, responder=responder)
        assert self.bus.publish(answer) == self.expect_publish(answer)
        if responder in responders:
            answers.setdefault(responder, answer)
        self.loop.run_until_complete(settle(3))
        assert task.done() == (len(answers) == len(responders))
        if task.done():
            assert task.result().responses == answers
            del self.asked[ask.id]

    # What holds all the time

    @invariant()
    def queues_hold_what_they_should(self) -> None:
        for queue in self.open:
            stats = queue.real.stats()
            assert stats.depth == len(queue.waiting)
            assert (queue.real.dropped, stats.conflated) == (queue.dropped, queue.conflated)

    @invariant()
    def the_bus_remembers_what_it_should(self) -> None:
        assert self.bus.retained(State) == list(self.retained.values())
        stats = self.bus.stats()
        assert stats.kept == len(self.kept) + len(self.kept_last)
        assert stats.pending_requests == len(self.asked)
        assert self.bus.running == self.running

    @invariant()
    def drops_are_reported_as_they_should(self) -> None:
        assert self.reports == self.expected_reports

    def teardown(self) -> None:
        for task, *_ in self.asked.values():
            task.cancel()
        self.loop.run_until_complete(settle(3))
        try:
            assert self.bus.stats().pending_requests == 0
            self.queues_hold_what_they_should()  # else reading could wait for ever
            for queue in self.open:
                if queue.waiting:
                    assert self.loop.run_until_complete(queue.real.batch()) == queue.take_all()
        finally:
            self.loop.close()


TestBus = BusMachine.TestCase
TestBus.settings = settings(
    max_examples=120, stateful_step_count=50, deadline=None, report_multiple_bugs=False
)


@dataclass
class Received:
    """One subscription's view of a history without refills."""

    subscription: Subscription[Any]
    events: list[Any] = field(default_factory=list)


class OrderMachine(RuleBasedStateMachine):
    """Independent of how queues work inside: order, loss and duplicates, judged by what consumers see."""

    def __init__(self) -> None:
        super().__init__()
        self.bus = EventBus(pre_start_capacity=5, on_drop=lambda subscription, event: None)
        self.published: list[Any] = []
        self.views = [
            Received(self.bus.subscribe(each.value, buffer_size=2, delivery=each)) for each in Delivery
        ]

    @rule(cls=st.sampled_from([Tick, Note, State]), name=st.sampled_from("ab"))
    def publish(self, cls: Any, name: str) -> None:
        n = len(self.published)
        event = cls(n=n) if cls is Tick else cls(n=n, name=name)
        self.published.append(event)
        self.bus.publish(event)

    @rule()
    def start(self) -> None:
        self.bus.start()

    @rule()
    def pause(self) -> None:
        self.bus.pause()

    @rule(view=st.integers(0, 2), count=st.integers(1, 5))
    def take(self, view: int, count: int) -> None:
        received = self.views[view]
        for _ in range(min(count, received.subscription.depth)):
            received.events.append(received.subscription.get_sync(0))

    def teardown(self) -> None:
        self.bus.start()
        for received in self.views:
            while received.subscription.depth:
                received.events.append(received.subscription.get_sync(0))
        critical, lossy, latest = self.views
        for received in (critical, lossy):
            assert numbers(received.events) == sorted(set(numbers(received.events)))
        for received in self.views:
            stats = received.subscription.stats()
            assert len(received.events) + received.subscription.dropped + stats.conflated == len(
                self.published
            )
        for name in "ab":
            of_key = [event for event in latest.events if getattr(event, "name", None) == name]
            assert numbers(of_key) == sorted(set(numbers(of_key)))
            states = [event for event in self.published if isinstance(event, State) and event.name == name]
            assert [event for event in of_key if isinstance(event, State)][-1:] == states[-1:]


TestOrder = OrderMachine.TestCase
TestOrder.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, report_multiple_bugs=False
)
