"""Starting and stopping in order, draining, and terms of leadership (C4, L2, L3)."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar

import pytest
import structlog

from controller.component import Component, on
from controller.events import LeaderBecame, LeaderLost
from controller.runtime import Runtime
from controller.testing import FakeClock, settle
from events import Event, EventBus
from events.testing import EventRecorder
from tests.controller.support import Done, Job, State, until

Log = list[str]


class Part(Component):
    """Writes down what happens to it."""

    publishes: ClassVar[tuple[type[Event], ...]] = (Job, Done, State)

    def __init__(self, name: str, log: Log, *, source: bool = False) -> None:
        self.name = name  # type: ignore[misc] # one class, many components
        self.source = source  # type: ignore[misc] # likewise
        self.log = log
        self.work: Callable[[Job], Awaitable[None]] | None = None
        self.on_start: Callable[[], Awaitable[None]] | None = None
        self.on_stop: Callable[[], Awaitable[None]] | None = None

    async def start(self) -> None:
        self.log.append(f"start {self.name}")
        if self.on_start is not None:
            await self.on_start()

    async def stop(self) -> None:
        self.log.append(f"stop {self.name}")
        if self.on_stop is not None:
            await self.on_stop()

    @on(Job)
    async def job(self, event: Job) -> None:
        if self.work is not None:
            await self.work(event)
        self.log.append(f"{self.name} handles {event.job}")


class Leader(Part):
    """A leader-only component."""

    leader_only = True

    @on(State)
    async def state(self, event: State) -> None:
        self.log.append(f"{self.name} sees {event.name}")

    @on(LeaderBecame)
    async def became(self, event: LeaderBecame) -> None:
        self.log.append(f"{self.name} sees term {event.term}")


@pytest.fixture
def log() -> Log:
    return []


@pytest.fixture
def bus() -> EventBus:
    return EventBus()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def runtime(bus: EventBus, clock: FakeClock, *components: Component) -> Runtime:
    return Runtime(bus, components, clock=clock, strict=True)


# --- C4: start


async def test_sources_start_last_and_only_then_the_bus_runs(bus, clock, log) -> None:
    """What the others publish in `start` is delivered once all of them listen."""
    early, source, late = Part("early", log), Part("source", log, source=True), Part("late", log)

    async def say_hello() -> None:
        early.publish(Job(job="hello"))

    async def look() -> None:
        log.append(f"running: {bus.running}")

    early.on_start, late.on_start, source.on_start = say_hello, look, look
    made = runtime(bus, clock, early, source, late)
    await made.start()
    await settle()
    await made.stop(drain=1)
    starts = [line for line in log if line.startswith(("start", "running"))]
    assert starts == ["start early", "start late", "running: False", "start source", "running: True"]
    assert "late handles hello" in log


async def test_without_sources_the_bus_runs_as_well(bus, clock, log) -> None:
    made = runtime(bus, clock, Part("only", log))
    await made.start()
    assert bus.running
    await made.stop(drain=1)


async def test_a_start_that_fails_is_raised_and_what_was_started_can_be_stopped(bus, clock, log) -> None:
    good, bad, never = Part("good", log), Part("bad", log), Part("never", log)

    async def fail() -> None:
        raise OSError("address in use")

    bad.on_start = fail
    made = runtime(bus, clock, good, bad, never)
    with pytest.raises(OSError, match="address in use"):
        await made.start()
    await made.stop(drain=1)
    assert log == ["start good", "start bad", "stop bad", "stop good"]


# --- C4: stop


async def test_sources_stop_first_the_rest_in_reverse(bus, clock, log) -> None:
    parts = [Part("a", log), Part("b", log)]
    sources = [Part("s", log, source=True), Part("t", log, source=True)]
    made = runtime(bus, clock, *parts, *sources)
    await made.start()
    log.clear()
    await made.stop(drain=1)
    assert log == ["stop t", "stop s", "stop b", "stop a"]
    assert bus.publish(Job(job="late")) == 0


async def test_what_was_published_is_handled_before_the_components_stop(bus, clock, log) -> None:
    """Chains included: while draining the bus still accepts."""
    first, source = Part("first", log), Part("source", log, source=True)

    async def work(event: Job) -> None:
        await clock.sleep(0.1)
        if event.job == "one":
            first.publish(Job(job="two"))

    async def last_word() -> None:
        source.publish(Job(job="one"))

    first.work = work
    source.on_stop = last_word
    made = runtime(bus, clock, first, source)
    await made.start()
    log.clear()
    stopping = asyncio.create_task(made.stop(drain=20))
    await clock.advance(1)
    assert stopping.done()
    assert log.index("first handles two") < log.index("stop first")


async def test_draining_ends_when_patience_does(bus, clock, log) -> None:
    stuck = Part("stuck", log)
    stuck.work = lambda _: asyncio.Event().wait()  # type: ignore[assignment, return-value] # for ever
    made = runtime(bus, clock, stuck)
    await made.start()
    bus.publish(Job(job="x"))
    with structlog.testing.capture_logs() as logs:
        stopping = asyncio.create_task(made.stop(drain=20))
        await clock.advance(19.9)
        assert not stopping.done()
        await clock.advance(0.2)
        assert stopping.done()
    assert [line["components"] for line in logs] == [["stuck"]]
    assert log[-1] == "stop stuck"


async def test_what_sources_need_to_stop_counts_against_the_drain(bus, clock, log) -> None:
    """The whole stop stays within the grace period, whoever is slow."""
    stuck, source = Part("stuck", log), Part("source", log, source=True)
    stuck.work = lambda _: asyncio.Event().wait()  # type: ignore[assignment, return-value] # for ever
    source.on_stop = lambda: clock.sleep(15)
    made = runtime(bus, clock, stuck, source)
    await made.start()
    bus.publish(Job(job="x"))
    stopping = asyncio.create_task(made.stop(drain=20))
    await clock.advance(20.1)
    assert stopping.done()


async def test_a_component_that_hangs_in_its_stop_is_left_behind(bus, clock, log) -> None:
    parts = [Part("first", log), Part("hangs", log), Part("last", log)]
    door = asyncio.Event()
    parts[1].on_stop = door.wait  # type: ignore[assignment] # its result is of no interest
    made = runtime(bus, clock, *parts)
    await made.start()
    log.clear()
    stopping = asyncio.create_task(made.stop(drain=20))
    await clock.advance(5.1)
    assert stopping.done()
    await settle()
    assert log == ["stop last", "stop hangs", "stop first"]
    door.set()
    await settle()


async def test_a_source_that_hangs_in_its_stop_does_not_keep_the_others_from_theirs(bus, clock, log) -> None:
    part, source = Part("part", log), Part("source", log, source=True)
    door = asyncio.Event()
    source.on_stop = door.wait  # type: ignore[assignment] # its result is of no interest
    made = runtime(bus, clock, part, source)
    await made.start()
    stopping = asyncio.create_task(made.stop(drain=20))
    await clock.advance(20.1)
    await settle()
    assert stopping.done()
    assert log[-1] == "stop part"
    door.set()
    await settle()


# --- L2


async def test_a_term_begins_with_the_retained_state_then_that_it_began(bus, clock, log) -> None:
    made = runtime(bus, clock, Part("all", log))
    await made.start()
    bus.publish(State(name="x"))
    await made.open_term("me", "7", lambda: [Leader("leader", log)])
    bus.publish(State(name="y"))
    await settle()
    assert [line for line in log if line.startswith("leader")] == [
        "leader sees x",
        "leader sees term 7",
        "leader sees y",
    ]
    await made.close_term("me", "7", "over")
    await made.stop(drain=1)


async def test_nothing_is_awaited_between_pause_and_replay(bus, clock, log) -> None:
    """Another task that is ready to run must not get the loop before all of a term's components listen."""
    made = runtime(bus, clock)
    await made.start()
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    seen: list[tuple[int, bool]] = []

    class Looking(Leader):
        def bind(self, host) -> None:
            seen.append((turns, bus.running))
            super().bind(host)

    counting = asyncio.create_task(count())
    await settle()
    before = turns
    await made.open_term("me", "7", lambda: [Looking("a", log), Looking("b", log)])
    assert seen == [(before, False), (before, False)]
    counting.cancel()
    await made.close_term("me", "7", "over")
    await made.stop(drain=1)


async def test_what_another_thread_publishes_while_a_term_opens_is_seen_once(bus, clock, log) -> None:
    made = runtime(bus, clock)
    await made.start()

    def build() -> Sequence[Component]:
        thread = threading.Thread(target=bus.publish, args=(State(name="meanwhile"),))
        thread.start()
        thread.join()
        return [Leader("leader", log)]

    await made.open_term("me", "7", build)
    await settle()
    assert log.count("leader sees meanwhile") == 1
    await made.close_term("me", "7", "over")
    await made.stop(drain=1)


async def test_a_terms_services_start_after_the_replay(bus, clock, log) -> None:
    made = runtime(bus, clock)
    await made.start()
    leader = Leader("leader", log)

    async def look() -> None:
        log.append(f"running: {bus.running}")

    leader.on_start = look
    await made.open_term("me", "7", lambda: [leader])
    assert log == ["start leader", "running: True"]
    await made.close_term("me", "7", "over")
    await made.stop(drain=1)


async def test_a_build_that_fails_leaves_the_bus_running_and_tells_once_that_the_term_is_over(
    bus, clock, log
) -> None:
    """Who took office closes the term, as after any other; nobody hears of it twice."""
    made = runtime(bus, clock)
    async with EventRecorder(bus) as recorder:
        await made.start()

        def build() -> Sequence[Component]:
            raise LookupError("no such kind")

        with pytest.raises(LookupError):
            await made.open_term("me", "7", build)
        assert bus.running
        assert await recorder.wait_for(LeaderBecame)
        assert recorder.of(LeaderLost) == []
        await made.close_term("me", "7", "it could not be built")
        lost = await recorder.wait_for(LeaderLost)
        assert (lost.term, lost.reason) == ("7", "it could not be built")
        await made.stop(drain=1)
        assert len(recorder.of(LeaderLost)) == 1


async def test_a_component_that_cannot_start_is_stopped_with_the_term(bus, clock, log) -> None:
    made = runtime(bus, clock)
    await made.start()
    good, bad = Leader("good", log), Leader("bad", log)

    async def fail() -> None:
        raise OSError("no")

    bad.on_start = fail
    with pytest.raises(OSError, match="no"):
        await made.open_term("me", "7", lambda: [good, bad])
    await made.close_term("me", "7", "over")
    assert {"stop bad", "stop good"} <= set(log)
    assert bus.subscriptions == ()
    await made.stop(drain=1)


async def test_each_term_has_fresh_components(bus, clock, log) -> None:
    made = runtime(bus, clock)
    await made.start()
    for term in ("7", "9"):
        await made.open_term("me", term, lambda: [Leader("leader", log)])
        await settle()
        await made.close_term("me", term, "over")
    assert [line for line in log if "term" in line] == ["leader sees term 7", "leader sees term 9"]
    assert made.hosts == ()
    await made.stop(drain=1)


# --- L3


async def test_what_is_in_hand_is_cancelled_and_awaited_before_the_end_is_told(bus, clock, log) -> None:
    made = runtime(bus, clock)
    leader = Leader("leader", log)

    async def work(_: Job) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await clock.sleep(1)
            log.append("cleaned up")

    leader.work = work
    async with EventRecorder(bus) as recorder:
        await made.start()
        await made.open_term("me", "7", lambda: [leader])
        bus.publish(Job(job="x"))
        await settle()
        closing = asyncio.create_task(made.close_term("me", "7", "deposed"))
        await clock.advance(0.9)
        assert recorder.of(LeaderLost) == []
        await clock.advance(0.2)
        await closing
        assert (await recorder.wait_for(LeaderLost)).reason == "deposed"
        assert log[-2:] == ["cleaned up", "stop leader"]
        await made.stop(drain=1)


async def test_one_that_does_not_end_is_waited_for_three_seconds(bus, clock, log) -> None:
    made = runtime(bus, clock)
    leader, door = Leader("leader", log), asyncio.Event()
    leader.on_stop = door.wait  # type: ignore[assignment] # its result is of no interest
    async with EventRecorder(bus) as recorder:
        await made.start()
        await made.open_term("me", "7", lambda: [leader, Leader("other", log)])
        with structlog.testing.capture_logs() as logs:
            closing = asyncio.create_task(made.close_term("me", "7", "deposed"))
            await clock.advance(2.9)
            assert not closing.done()
            await clock.advance(0.2)
            assert closing.done()
        assert [line["components"] for line in logs] == [["leader"]]
        await recorder.wait_for(LeaderLost)
        door.set()
        await settle()
        await made.stop(drain=1)


async def test_components_of_a_term_hear_nothing_after_it(bus, clock, log) -> None:
    made = runtime(bus, clock)
    await made.start()
    await made.open_term("me", "7", lambda: [Leader("leader", log)])
    await settle()
    await made.close_term("me", "7", "over")
    bus.publish(State(name="later"))
    await settle()
    assert "leader sees later" not in log
    await made.stop(drain=1)


async def test_a_runtime_stops_at_once_when_nothing_is_stuck(bus, clock, log) -> None:
    """No time passes at all."""
    made = runtime(bus, clock, Part("a", log), Part("s", log, source=True))
    await made.start()
    bus.publish(Job(job="x"))
    await until(lambda: "a handles x" in log)
    await asyncio.wait_for(made.stop(drain=20), 1)
