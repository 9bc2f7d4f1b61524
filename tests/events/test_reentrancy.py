"""B2: what a finalizer, a signal handler or an interrupt does to the bus from inside of it is safe."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

import pytest

from events import Delivery, Event, EventBus, EventError, Subscription
from tests.events.interrupts import InterruptAt
from tests.events.support import (
    PATIENCE,
    Finalizer,
    Note,
    State,
    Tick,
    drain,
    numbers,
    other_loop,
    settle,
    soon,
    started,
)


def test_a_finalizer_that_publishes_inside_publish_is_served_right_after():
    bus = started()
    first = bus.subscribe("first", leader_only=True)
    second = bus.subscribe("second", leader_only=True)
    returned: list[int] = []
    bus.publish(State(name="a", n=1, payload=Finalizer(lambda: returned.append(bus.publish(Tick(n=3))))))
    drain(first)
    drain(second)
    assert bus.publish(State(name="a", n=2)) == 2  # replaces the retained event, whose payload publishes
    assert returned == [0]
    assert [numbers(drain(each)) for each in (first, second)] == [[2, 3], [2, 3]]


def test_a_finalizer_run_by_a_latest_queue_is_served_right_after():
    bus = started()
    latest = bus.subscribe("latest", delivery=Delivery.LATEST, leader_only=True)
    bus.publish(Note(name="a", n=1, payload=Finalizer(lambda: bus.publish(Note(name="a", n=3)))))
    bus.publish(Note(name="a", n=2))
    assert numbers(drain(latest)) == [3]


def test_a_finalizer_run_while_the_bus_is_started_is_served_after_the_replay():
    bus = EventBus()
    subscription = bus.subscribe("s")
    bus.publish(State(name="a", n=1, payload=Finalizer(lambda: bus.publish(Tick(n=4)))))
    drain_later = bus.subscribe("latest", State, delivery=Delivery.LATEST)
    bus.start()
    drain(subscription)
    drain(drain_later)
    bus.pause()
    bus.publish(State(name="a", n=2))
    bus.publish(Tick(n=3))
    bus.start()
    assert numbers(drain(subscription)) == [2, 3, 4]


def test_events_published_from_inside_keep_their_order():
    bus = started()
    subscription = bus.subscribe("s", Tick, leader_only=True)
    bus.publish(State(name="a", payload=Finalizer(lambda: [bus.publish(Tick(n=n)) for n in range(3)])))
    bus.publish(State(name="a"))
    assert numbers(drain(subscription)) == [0, 1, 2]


def test_a_finalizer_inside_a_finalizer_is_served_as_well():
    bus = started()
    subscription = bus.subscribe("s", Tick, leader_only=True)

    def publish_again() -> None:
        bus.publish(State(name="b"))

    bus.publish(State(name="b", payload=Finalizer(lambda: bus.publish(Tick(n=1)))))
    bus.publish(State(name="a", payload=Finalizer(publish_again)))
    bus.publish(State(name="a"))
    assert numbers(drain(subscription)) == [1]


def test_an_error_from_inside_reaches_its_own_publisher_only():
    class Undeclared(Event):
        pass

    bus = started()
    errors: list[str] = []

    def publish_nonsense() -> None:
        for nonsense in (Undeclared(), Note(name=[])):
            try:
                bus.publish(nonsense)
            except EventError as error:
                errors.append(str(error))

    bus.publish(State(name="a", payload=Finalizer(publish_nonsense)))
    bus.publish(State(name="a"))
    assert len(errors) == 2


def test_a_finalizer_may_close_a_subscription():
    bus = started()
    doomed = bus.subscribe("doomed", leader_only=True)
    other = bus.subscribe("other", leader_only=True)
    bus.publish(State(name="a", payload=Finalizer(doomed.close)))
    drain(doomed)
    drain(other)
    assert bus.publish(State(name="a", n=1)) == 2
    assert doomed.closed
    assert bus.publish(Tick(n=2)) == 1
    assert (numbers(drain(doomed)), numbers(drain(other))) == ([1], [1, 2])


def test_a_finalizer_may_subscribe_and_begins_with_what_is_retained():
    bus = started()
    made: list[Subscription[Any]] = []
    finalizer = Finalizer(lambda: made.append(bus.subscribe("new", State, leader_only=True)))
    bus.publish(State(name="a", n=1, payload=finalizer))
    del finalizer
    bus.publish(State(name="a", n=2))
    assert numbers(drain(made[0])) == [2]


@pytest.fixture
def on_signal() -> Iterator[Callable[[Callable[[], object]], object]]:
    """Sets what SIGUSR1 does."""
    before = signal.getsignal(signal.SIGUSR1)
    yield lambda function: signal.signal(signal.SIGUSR1, lambda *_: function())
    signal.signal(signal.SIGUSR1, before)


def test_a_signal_handler_that_publishes_while_the_lock_is_held_is_served_right_after(on_signal):
    bus = started()
    subscriptions = [bus.subscribe(f"s{n}", leader_only=True) for n in range(2)]
    returned: list[int] = []
    on_signal(lambda: returned.append(bus.publish(Tick(n=2))))
    bus.publish(State(name="a", payload=Finalizer(lambda: signal.raise_signal(signal.SIGUSR1))))
    for subscription in subscriptions:
        drain(subscription)
    assert bus.publish(State(name="a", n=1)) == 2
    assert returned == [0]
    assert [numbers(drain(each)) for each in subscriptions] == [[1, 2], [1, 2]]


async def test_a_signal_handler_that_publishes_wakes_a_waiting_consumer(on_signal):
    bus = started()
    subscription = bus.subscribe("s", leader_only=True)
    on_signal(lambda: bus.publish(Tick(n=1)))
    waiting = asyncio.create_task(subscription.get())
    await settle()
    signal.raise_signal(signal.SIGUSR1)
    assert numbers([await soon(waiting)]) == [1]


async def test_a_signal_handler_that_publishes_wakes_a_loop_that_is_asleep(on_signal):
    bus = started()
    subscription = bus.subscribe("s", leader_only=True)
    on_signal(lambda: bus.publish(Tick(n=1)))
    main = threading.get_ident()
    timer = threading.Timer(0.05, lambda: signal.pthread_kill(main, signal.SIGUSR1))
    timer.start()
    began = asyncio.get_running_loop().time()
    await soon(subscription.get())
    timer.join()
    assert asyncio.get_running_loop().time() - began < PATIENCE / 2


class Consumers:
    """One consumer in each place where one can wait: this loop, another thread's loop, a thread."""

    def __init__(self, bus: EventBus, other: asyncio.AbstractEventLoop) -> None:
        self._other = other
        self._here = bus.subscribe("here", leader_only=True)
        self._there = bus.subscribe("there", leader_only=True)
        self._thread = bus.subscribe("thread", leader_only=True)

    async def wait(self) -> None:
        loop = asyncio.get_running_loop()
        self.tasks: list[asyncio.Future[list[Event]]] = [
            asyncio.ensure_future(self._here.batch()),
            asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._there.batch(), self._other)),
            loop.run_in_executor(None, lambda: [self._thread.get_sync(PATIENCE)]),
        ]
        while not all(each._waiter for each in (self._here, self._there, self._thread)):
            await asyncio.sleep(0.0002)

    @property
    def depths(self) -> list[int]:
        return [each.depth for each in (self._here, self._there, self._thread)]


def can_take(lock: threading.RLock) -> bool:
    taken = lock.acquire(timeout=1)
    if taken:
        lock.release()
    return taken


@pytest.mark.parametrize("event", [Tick(), State(name="a")], ids=repr)
async def test_an_interrupt_at_any_place_leaves_the_lock_free_and_nobody_asleep(event):
    """KeyboardInterrupt may cut a delivery short: who has got the event already is woken all the same."""
    place, interrupted = 0, True
    with other_loop() as other:
        while interrupted:
            place += 1
            bus = started()
            consumers = Consumers(bus, other)
            await consumers.wait()
            interrupt = InterruptAt(place)
            interrupted = interrupt.run(lambda bus=bus: bus.publish(event))  # type: ignore[misc] # a default
            assert await asyncio.to_thread(can_take, bus._lock), f"place {place}"
            got = [
                task.done() or depth > 0
                for task, depth in zip(consumers.tasks, consumers.depths, strict=True)
            ]
            for task, has in zip(consumers.tasks, got, strict=True):
                if has:
                    await soon(task)
            bus.publish(Tick())
            await soon(asyncio.gather(*consumers.tasks))
            bus.close()
    assert place > 10


def places(run: Callable[[int], bool]) -> int:
    """Run with an interrupt at the first place, the second, and so on; how many there are."""
    place = 1
    while run(place):
        place += 1
    return place - 1


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    """One other thread."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """A loop for many runs."""
    with asyncio.Runner() as runner:
        yield runner


async def read_one_by_one(subscription: Subscription[Any], received: list[int]) -> None:
    while subscription.depth:
        received.append((await subscription.get()).n)


async def read_in_batches(subscription: Subscription[Any], received: list[int]) -> None:
    while subscription.depth:
        received.extend(numbers(await subscription.batch()))


@pytest.mark.parametrize("read", [read_one_by_one, read_in_batches])
@pytest.mark.parametrize("delivery", list(Delivery))
@pytest.mark.parametrize("name", ["a", "new"])
def test_a_publish_at_any_place_of_reading_is_neither_lost_nor_doubled(read, delivery, name, runner):
    def run(place: int) -> bool:
        bus = started()
        subscription = bus.subscribe("s", Note, delivery=delivery, leader_only=True)
        for n in range(3):
            bus.publish(Note(name="abc"[n], n=n))
        received: list[int] = []
        note = Note(name=name, n=3)
        interrupted = InterruptAt(place, lambda: bus.publish(note)).run(
            lambda: runner.run(read(subscription, received))
        )
        runner.run(read(subscription, received))
        if interrupted:  # a LATEST queue may have put it in the place of 0
            assert received in ([0, 1, 2, 3], [3, 1, 2]), place
            assert len(received) + subscription.stats().conflated == 4
        return interrupted

    assert places(run) > 10


@pytest.mark.parametrize("read", [Subscription.get, Subscription.batch])
def test_what_is_replayed_at_any_place_of_reading_has_its_room(read, runner):
    def run(place: int) -> bool:
        bus = EventBus()
        subscription = bus.subscribe("s", buffer_size=1)
        bus.publish(Tick())
        bus.start()

        def replay() -> None:
            with bus.paused():
                bus.publish(Tick())
                bus.publish(Tick())

        interrupted = InterruptAt(place, replay).run(lambda: runner.run(read(subscription)))
        assert bus.publish(Tick()) == 1, place
        return interrupted

    assert places(run) > 5


def test_a_batch_taken_at_any_place_of_a_publish_loses_nothing(pool, runner):
    def run(place: int) -> bool:
        bus = started()
        subscription = bus.subscribe("s", leader_only=True)
        batches: list[Future[list[Event]]] = []

        def take() -> None:
            batches.append(pool.submit(lambda: runner.run(subscription.batch())))
            wait(batches, 0.01)  # in the middle of publish it has to wait for the lock

        bus.publish(Tick(n=0))
        take()  # from here on the other thread's loop is the consumer
        bus.publish(Tick(n=1))
        last = Tick(n=2)
        interrupted = InterruptAt(place, take).run(lambda: bus.publish(last))
        received = [event for batch in batches for event in batch.result(PATIENCE)]
        if subscription.depth:
            received += pool.submit(lambda: runner.run(subscription.batch())).result(PATIENCE)
        assert numbers(received) == [0, 1, 2], place
        return interrupted

    assert places(run) > 5


@pytest.mark.parametrize("delivery", list(Delivery))
def test_a_publish_at_any_place_of_beginning_to_wait_wakes_the_consumer(delivery, runner):
    def run(place: int) -> bool:
        bus = started()
        subscription = bus.subscribe("s", Note, delivery=delivery, leader_only=True)
        note = Note(name="a", n=1)
        task = runner.get_loop().create_task(subscription.get())
        interrupted = InterruptAt(place, lambda: bus.publish(note)).run(lambda: runner.run(settle()))
        if not interrupted:
            bus.publish(note)
        runner.run(settle())
        assert task.done(), place
        assert task.result() is note
        return interrupted

    assert places(run) > 5


def test_a_publish_at_any_place_of_a_thread_s_wait_ends_it():
    def run(place: int) -> bool:
        bus = started()
        subscription = bus.subscribe("s", leader_only=True)
        received: list[Any] = []

        def wait() -> None:
            try:
                received.append(subscription.get_sync(0.01))
            except TimeoutError:
                received.append(None)

        interrupted = InterruptAt(place, lambda: bus.publish(Tick(n=1))).run(wait)
        got = received[0] or (drain(subscription) or [None])[0]
        assert (got is not None) == interrupted, place
        return interrupted

    assert places(run) > 5


def subscribe_and_close(bus: EventBus) -> None:
    bus.subscribe("another", leader_only=True).close()


def pause_and_start(bus: EventBus) -> None:
    bus.pause()
    bus.publish(Tick(n=1))
    bus.publish(State(name="b", n=2))
    bus.start()


def pause_for_a_block(bus: EventBus) -> None:
    with bus.paused():
        bus.publish(Note(name="b"))


def refill(bus: EventBus) -> None:
    bus.subscriptions[0].refill()


def publish(bus: EventBus) -> None:
    bus.publish(State(name="a", n=2))
    bus.publish(Tick())


def look(bus: EventBus) -> None:
    bus.stats()
    bus.retained(State)
    for subscription in bus.subscriptions:
        subscription.stats()


def drop(bus: EventBus) -> None:
    bus.subscribe("full", State, buffer_size=1, leader_only=True)  # begins with one that does not count
    for _ in range(2):
        bus.publish(State(name="a"))


@pytest.mark.parametrize(
    "work", [publish, subscribe_and_close, pause_and_start, pause_for_a_block, refill, look, drop]
)
def test_a_publish_at_any_place_of_anything_reaches_everyone_once_and_in_order(work):
    def run(place: int) -> bool:
        bus = started(on_drop=lambda subscription, event: None)
        subscriptions = [
            bus.subscribe("all", leader_only=True),
            bus.subscribe("more", leader_only=True),
            bus.subscribe("notes", Note, delivery=Delivery.LATEST, leader_only=True),
        ]
        bus.publish(State(name="a", n=1))
        drain(subscriptions[1])
        note = Note(name="new", n=9)  # of a type nobody has published yet
        interrupted = InterruptAt(place, lambda: bus.publish(note)).run(lambda: work(bus))
        assert not bus._deferred
        received = [drain(subscription) for subscription in subscriptions]
        for events in received:
            assert events.count(note) == interrupted, place
        if work is not refill:
            assert received[0][1:] == received[1], place
        assert bus.running
        return interrupted

    assert places(run) > 5


@pytest.mark.parametrize(
    "work", [publish, subscribe_and_close, pause_and_start, refill, look, drop, EventBus.close]
)
def test_an_interrupt_at_any_place_of_anything_leaves_the_lock_free(work, pool):
    def run(place: int) -> bool:
        bus = started(on_drop=lambda subscription, event: None)
        bus.subscribe("all", leader_only=True)
        bus.publish(State(name="a", n=1))
        interrupted = InterruptAt(place).run(lambda: work(bus))
        assert pool.submit(can_take, bus._lock).result(PATIENCE), place
        assert not bus._busy, place
        return interrupted

    assert places(run) > 5
