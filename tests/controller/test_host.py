"""One component at work: order, failures, restarts, recovery from drops (C1, C2, C3, C6)."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable
from typing import ClassVar

import pytest
import structlog

from controller.component import Component, on
from controller.events import ComponentFailed
from controller.host import ComponentHost, UndeclaredPublish
from controller.testing import FakeClock, settle
from events import Delivery, Event, EventBus, Request, Response, event, handling
from tests.controller.support import Done, Job, Stage, State, running, until


@event("tests.ask")
class Ask(Request):
    """A question."""


@event("tests.reply")
class Reply(Response):
    """Its answer."""


class Worker(Component):
    """Does what the test says with every job, and keeps them."""

    name = "worker"
    publishes: ClassVar[tuple[type[Event], ...]] = (Done, Ask)

    def __init__(self, work: Callable[[Job], Awaitable[None]] | None = None) -> None:
        self.work = work
        self.seen: list[Event] = []
        self.calls: list[str] = []
        self.service: Callable[[], Awaitable[None]] | None = None
        self.failing_starts = 0

    async def start(self) -> None:
        self.calls.append("start")
        if self.failing_starts:
            self.failing_starts -= 1
            raise RuntimeError("cannot start")
        if self.service is not None:
            self.spawn("service", self.service)

    async def stop(self) -> None:
        self.calls.append("stop")

    async def resync(self) -> None:
        self.calls.append("resync")

    @on(Job)
    async def job(self, event: Job) -> None:
        self.seen.append(event)
        if self.work is not None:
            await self.work(event)
        self.publish(Done(job=event.job, number=event.number))


class Parallel(Component):
    """Handles jobs side by side."""

    name = "parallel"
    publishes: ClassVar[tuple[type[Event], ...]] = (Done,)

    def __init__(self, work: Callable[[Job], Awaitable[None]]) -> None:
        self.work = work
        self.service: Callable[[], Awaitable[None]] | None = None
        self.calls: list[str] = []

    async def start(self) -> None:
        self.calls.append("start")
        if self.service is not None:
            self.spawn("service", self.service)

    @on(Job, per="job")
    async def job(self, event: Job) -> None:
        await self.work(event)
        self.publish(Done(job=event.job, number=event.number))

    @on(State)
    async def state(self, event: State) -> None:
        self.calls.append("state")


async def fail(_: Job) -> None:
    raise ValueError("no such thing")


def restarted(component: Worker | Parallel) -> int:
    return component.calls.count("start")


# --- C1


async def test_events_are_handled_one_at_a_time_in_order() -> None:
    at_work = 0

    async def work(_: Job) -> None:
        nonlocal at_work
        at_work += 1
        assert at_work == 1
        await asyncio.sleep(0)
        at_work -= 1

    worker = Worker(work)
    async with running(worker) as stage:
        jobs = [Job(job=name) for name in "abcd"]
        stage.publish(*jobs)
        await stage.quiet()
        assert worker.seen == jobs
        assert stage.recorder.of(ComponentFailed) == []


async def test_a_key_that_hangs_holds_up_no_other() -> None:
    hung = asyncio.Event()

    async def work(job: Job) -> None:
        if job.job == "bad":
            await hung.wait()

    async with running(Parallel(work)) as stage:
        stage.publish(Job(job="bad"), *(Job(job=f"good{number}") for number in range(20)))
        await until(lambda: len(stage.recorder.of(Done)) == 20)


async def test_an_event_of_the_whole_waits_for_all_keys() -> None:
    """A handler without `per` runs alone: those before it have ended."""
    door = asyncio.Event()

    async def work(_: Job) -> None:
        await door.wait()

    component = Parallel(work)
    async with running(component) as stage:
        stage.publish(Job(job="a"), State(name="x"))
        await settle()
        assert component.calls == ["start"]
        door.set()
        await stage.quiet()
        assert component.calls == ["start", "state"]


async def test_what_a_handler_publishes_names_its_event_as_cause() -> None:
    async with running(Worker()) as stage:
        job = Job(job="a")
        stage.publish(job)
        done = await stage.recorder.wait_for(Done)
        assert (done.causation_id, done.correlation_id) == (job.id, job.id)


async def test_a_handler_side_by_side_names_its_own_event_as_cause() -> None:
    async def work(_: Job) -> None:
        await asyncio.sleep(0)

    async with running(Parallel(work)) as stage:
        jobs = {name: Job(job=name) for name in "abc"}
        stage.publish(*jobs.values())
        await stage.quiet()
        assert {done.job: done.causation_id for done in stage.recorder.of(Done)} == {
            name: job.id for name, job in jobs.items()
        }


async def test_a_service_begins_without_a_cause() -> None:
    """Even when a handler has spawned it: what it will publish belongs to no chain."""
    worker = Worker()

    async def service() -> None:
        worker.publish(Done(job="service"))

    async def work(_: Job) -> None:
        worker.spawn("later", service)

    worker.work = work
    async with running(worker) as stage:
        stage.publish(Job(job="a"))
        done = await stage.recorder.wait_for(Done, lambda done: done.job == "service")
        assert done.causation_id is None


@pytest.mark.parametrize("kind", ["in the queue", "in a lane"])
async def test_a_busy_component_gives_the_loop_to_others_every_time_slice(kind: str) -> None:
    """Handlers that never wait must not keep the loop: 100 ms of them leave room for others."""

    async def work(_: Job) -> None:
        end = time.perf_counter() + 0.002
        while time.perf_counter() < end:
            pass

    async with running(Worker(work) if kind == "in the queue" else Parallel(work)) as stage:
        stage.publish(*(Job(job="a", number=number) for number in range(50)))
        turns = 0
        while not stage.hosts[0].idle:
            turns += 1
            await asyncio.sleep(0)
    assert turns > 5


async def test_it_asks_through_itself() -> None:
    worker = Worker()

    async def work(_: Job) -> None:
        question = Ask()
        stage.bus.publish(Reply(request_id=question.id, responder="somebody"))
        asking = asyncio.create_task(worker.request(question, ["somebody"]))
        await until(lambda: stage.recorder.of(Ask))
        stage.bus.publish(Reply(request_id=question.id, responder="somebody"))
        assert (await asking).missing == ()

    worker.work = work
    async with running(worker) as stage:
        stage.publish(Job(job="a"))
        await stage.recorder.wait_for(Done)


# --- C2: handlers


async def test_a_failing_handler_is_reported_and_the_next_event_is_handled() -> None:
    worker = Worker(fail)
    async with running(worker) as stage:
        job = Job(job="a")
        with structlog.testing.capture_logs() as logs:
            stage.publish(job)
            failure = await stage.recorder.wait_for(ComponentFailed)
        assert (failure.component, failure.where, failure.error) == (
            "worker",
            "job",
            "ValueError: no such thing",
        )
        assert failure.correlation_id == job.id
        assert [(line["log_level"], line["correlation_id"]) for line in logs] == [("error", job.id)]
        assert stage.hosts[0].failures == 1
        worker.work = None
        stage.publish(Job(job="b"))
        await stage.recorder.wait_for(Done, lambda done: done.job == "b")


async def test_a_cancellation_nobody_asked_for_is_a_failure_like_any_other() -> None:
    async def work(job: Job) -> None:
        if job.job == "a":
            raise asyncio.CancelledError

    for component in (Worker(work), Parallel(work)):
        async with running(component) as stage:
            stage.publish(Job(job="a"), Job(job="b"))
            failure = await stage.recorder.wait_for(ComponentFailed)
            assert failure.error.startswith("CancelledError")
            await stage.recorder.wait_for(Done, lambda done: done.job == "b")


async def test_every_error_of_a_task_group_is_named() -> None:
    async def work(_: Job) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail(Job(job="inner")))

    async with running(Worker(work)) as stage:
        stage.publish(Job(job="a"))
        assert (await stage.recorder.wait_for(ComponentFailed)).error == "ValueError: no such thing"


async def test_failing_while_handling_a_failure_is_not_published_again() -> None:
    class Mourner(Component):
        name = "mourner"

        @on(ComponentFailed)
        async def failed(self, event: ComponentFailed) -> None:
            raise RuntimeError("too sad")

    async with running(Mourner()) as stage:
        stage.publish(ComponentFailed(component="other", where="x", error="y"))
        await stage.quiet()
        assert stage.hosts[0].failures == 1
        assert len(stage.recorder.of(ComponentFailed)) == 1


async def test_a_dispatch_that_fails_does_not_make_the_component_deaf() -> None:
    """A key that cannot be one: the consumer must outlive it."""

    async def work(_: Job) -> None: ...

    async with running(Parallel(work)) as stage:
        stage.publish(Job(job=[]), Job(job="b"))  # type: ignore[arg-type] # a publisher's mistake
        failure = await stage.recorder.wait_for(ComponentFailed)
        assert "unhashable" in failure.error
        await stage.recorder.wait_for(Done, lambda done: done.job == "b")


# --- C2: services


class Switch:
    """A service that dies when told to."""

    def __init__(self) -> None:
        self.lives = 0
        self.die = asyncio.Event()

    async def __call__(self) -> None:
        self.lives += 1
        await self.die.wait()
        self.die.clear()
        raise ConnectionError("gone")


async def test_a_dead_service_restarts_the_component_and_the_backlog_stays() -> None:
    worker, service = Worker(), Switch()
    worker.service = service
    async with running(worker) as stage:
        service.die.set()
        failure = await stage.recorder.wait_for(ComponentFailed)
        assert (failure.where, failure.error) == ("service", "ConnectionError: gone")
        await settle()
        jobs = [Job(job="a"), Job(job="b")]
        stage.publish(*jobs)
        await settle()
        assert worker.seen == []  # not while it is down
        await stage.clock.advance(1.0)
        await stage.quiet()
        assert worker.calls == ["start", "stop", "start"]
        assert service.lives == 2
        assert worker.seen == jobs


async def test_a_dead_service_disturbs_no_other_component() -> None:
    worker, other, service = Worker(), Parallel(lambda _: asyncio.sleep(0)), Switch()
    worker.service = service
    async with running(worker, other) as stage:
        service.die.set()
        await stage.recorder.wait_for(ComponentFailed)
        stage.publish(Job(job="a"))
        await stage.recorder.wait_for(Done)
        assert other.calls == ["start"]


async def test_the_back_off_doubles_up_to_a_minute_and_starts_again_after_a_long_life() -> None:
    worker, service = Worker(), Switch()
    worker.service = service
    async with running(worker) as stage:

        async def time_to_restart() -> float:
            before, began = restarted(worker), stage.clock.monotonic()
            service.die.set()
            await settle()
            while restarted(worker) == before:
                await stage.clock.advance(0.5)
            return stage.clock.monotonic() - began

        delays = [await time_to_restart() for _ in range(8)]
        assert delays == [1, 2, 4, 8, 16, 32, 60, 60]
        await stage.clock.advance(61)
        assert await time_to_restart() == 1


async def test_a_start_that_fails_is_tried_again_after_a_stop() -> None:
    worker, service = Worker(), Switch()
    worker.service = service
    async with running(worker) as stage:
        worker.failing_starts = 1
        service.die.set()
        await settle()
        await stage.clock.advance(1)
        assert (await stage.recorder.wait_for(ComponentFailed, lambda f: f.where == "start")).error
        await stage.clock.advance(2)
        assert worker.calls == ["start", "stop", "start", "stop", "start"]


async def test_a_service_that_returns_or_is_cancelled_is_no_death() -> None:
    worker = Worker()

    async def nothing() -> None: ...

    worker.service = nothing
    async with running(worker) as stage:
        task = worker.spawn("other", asyncio.Event().wait)  # type: ignore[arg-type] # a service for ever
        await settle()
        task.cancel()
        await settle()
        await stage.clock.advance(100)
        assert worker.calls == ["start"]
        assert stage.recorder.of(ComponentFailed) == []


async def test_a_service_that_cancels_itself_is_dead() -> None:
    """A CancelledError nobody asked for, out of a cancelled future for example, must not end it silently."""
    worker = Worker()

    async def service() -> None:
        if len(worker.calls) == 1:
            raise asyncio.CancelledError
        await asyncio.Event().wait()

    worker.service = service
    async with running(worker) as stage:
        await settle()
        await stage.clock.advance(1)
        assert restarted(worker) == 2


async def test_the_other_services_end_before_stop_is_called() -> None:
    worker, service = Worker(), Switch()

    async def other() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            worker.calls.append("other ends")

    worker.service = service
    async with running(worker) as stage:
        worker.spawn("other", other)
        await settle()
        service.die.set()
        await settle()
        assert worker.calls == ["start", "other ends", "stop"]
        await stage.clock.advance(1)


async def test_a_handler_that_hangs_delays_a_restart_for_ten_seconds_only() -> None:
    service = Switch()
    component = Parallel(lambda _: asyncio.Event().wait())  # type: ignore[arg-type, return-value] # for ever
    component.service = service
    async with running(component) as stage:
        stage.publish(Job(job="a"))
        await settle()
        service.die.set()
        await settle()
        await stage.clock.advance(9.9)
        assert restarted(component) == 1
        await stage.clock.advance(1.2)
        assert restarted(component) == 2


# --- stopping


async def test_stop_cancels_what_is_in_hand_then_stops_the_component() -> None:
    worker = Worker()

    async def work(_: Job) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            worker.calls.append("cancelled")

    worker.work = work
    async with running(worker) as stage:
        stage.publish(Job(job="a"))
        await settle()
    assert worker.calls == ["start", "cancelled", "stop"]
    assert [s.name for s in stage.bus.subscriptions if s.name == "worker"] == []


async def test_stop_ends_even_while_the_component_is_being_restarted() -> None:
    """Cancelled in its `stop`, the supervisor must not go on to sleep and start again."""
    worker, service, door = Worker(), Switch(), asyncio.Event()
    worker.service = service

    async def slow_stop() -> None:
        worker.calls.append("stop")
        await door.wait()

    worker.stop = slow_stop  # type: ignore[method-assign] # one test's component
    clock = FakeClock()
    async with running(worker, clock=clock):
        service.die.set()
        await until(lambda: "stop" in worker.calls)
        asyncio.get_running_loop().call_soon(door.set)
    assert restarted(worker) == 1


async def test_a_clean_up_is_not_cancelled_a_second_time() -> None:
    """A service that ends in order, as the election does, is waited for, whoever stops waiting."""
    worker, service, door = Worker(), Switch(), asyncio.Event()

    async def careful() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            worker.calls.append("cleaning")
            await door.wait()
            worker.calls.append("clean")

    worker.service = service
    async with running(worker) as stage:
        worker.spawn("careful", careful)
        await settle()
        service.die.set()
        await until(lambda: "cleaning" in worker.calls)
        stopping = asyncio.create_task(stage.hosts[0].stop())
        await settle()
        door.set()
        await stopping
    assert worker.calls[:4] == ["start", "cleaning", "clean", "stop"]


# --- idle


async def test_idle_means_that_nothing_waits_and_nothing_is_in_hand() -> None:
    door = asyncio.Event()

    async def work(_: Job) -> None:
        await door.wait()

    for component in (Worker(work), Parallel(work)):
        door.clear()
        async with running(component) as stage:
            looks = [stage.hosts[0].idle]
            stage.publish(Job(job="a"))
            looks.append(stage.hosts[0].idle)  # in the queue
            await settle()
            looks.append(stage.hosts[0].idle)  # in hand, or in a lane
            door.set()
            await stage.recorder.wait_for(Done)
            await settle()
            looks.append(stage.hosts[0].idle)
        assert looks == [True, False, False, True]


async def test_an_event_that_waits_for_a_restart_is_not_idle() -> None:
    worker, service = Worker(), Switch()
    worker.service = service
    async with running(worker) as stage:
        service.die.set()
        await settle()
        looks = [stage.hosts[0].idle]  # nothing to lose
        stage.publish(Job(job="a"))
        await settle()
        looks.append(stage.hosts[0].idle)
        await stage.clock.advance(1)
        await stage.recorder.wait_for(Done)
    assert looks == [True, False]


async def test_it_is_not_idle_between_a_recovery_and_the_event_that_waited_for_it() -> None:
    """The lock is free for a moment when it changes hands: whoever looks then must see the event."""
    worker = Worker()
    looks: list[bool] = []
    clock = FakeClock()

    async def resync() -> None:
        stage.publish(Job(job="late"))
        await settle(5)
        asyncio.get_running_loop().call_soon(lambda: looks.append(stage.hosts[0].idle))

    worker.resync = resync  # type: ignore[method-assign] # one test's component
    async with running(worker, clock=clock) as stage:
        stage.publish(*(Job(job="a", number=number) for number in range(101)))
        await until(lambda: any(isinstance(one, Job) and one.job == "late" for one in worker.seen))
    assert looks == [False]


# --- C3


async def test_an_undeclared_publication_fails_in_tests() -> None:
    worker = Worker()
    async with running(worker) as stage:
        with pytest.raises(UndeclaredPublish, match=r"component 'worker' publishes 'tests\.state'"):
            worker.publish(State(name="x"))
        assert stage.recorder.of(State) == []


async def test_an_undeclared_publication_is_logged_in_production() -> None:
    bus = EventBus()
    worker = Worker()
    ComponentHost(worker, bus, FakeClock(), strict=False)
    bus.start()
    with structlog.testing.capture_logs() as logs:
        worker.publish(State(name="x"))
    assert "publishes 'tests.state', which it does not declare" in logs[0]["event"]
    assert bus.stats().published == {"tests.state": 1}


async def test_an_undeclared_request_fails_in_tests() -> None:
    class Mute(Component):
        name = "mute"

    mute = Mute()
    async with running(mute):
        with pytest.raises(UndeclaredPublish):
            await mute.request(Ask(), ["somebody"])


# --- C6


class Keeper(Worker):
    """Keeps what it is told, retained or not; its buffer is small."""

    name = "keeper"
    buffer_size = 2

    @on(State)
    async def state(self, event: State) -> None:
        self.calls.append(f"state {event.name}")


async def flood(stage: Stage, keeper: Keeper) -> None:
    """Publish more than fits, and wait until it is handled."""
    dropped = sum(s.dropped for s in stage.bus.subscriptions if s.name == "keeper")
    stage.publish(*(Job(job="a", number=number) for number in range(5)))
    assert sum(s.dropped for s in stage.bus.subscriptions if s.name == "keeper") > dropped
    await stage.quiet()


async def test_after_a_drop_the_retained_events_come_again_then_resync_is_called() -> None:
    keeper = Keeper()
    async with running(keeper) as stage:
        stage.publish(State(name="x"))
        await stage.quiet()
        await flood(stage, keeper)
        await until(lambda: keeper.calls.count("state x") == 2)
        assert keeper.calls.count("resync") == 1


async def test_without_a_drop_there_is_no_recovery() -> None:
    keeper = Keeper()
    async with running(keeper) as stage:
        stage.publish(State(name="x"))
        await stage.quiet()
        await stage.clock.advance(100)
        assert keeper.calls == ["start", "state x"]


async def test_recovery_waits_until_the_queue_is_empty() -> None:
    class Roomy(Keeper):
        buffer_size = 4

    keeper = Roomy(lambda _: settle(3))
    left: list[int] = []

    async def resync() -> None:
        left.append(len(keeper.seen))

    keeper.resync = resync  # type: ignore[method-assign] # one test's component
    async with running(keeper) as stage:
        stage.publish(*(Job(job="a", number=number) for number in range(9)))
        await until(lambda: left)
        assert left == [4]  # all that fitted were handled before


async def test_recoveries_are_paced_doubling_to_a_minute_while_it_goes_on() -> None:
    keeper = Keeper()
    times: list[float] = []

    async def resync() -> None:
        times.append(stage.clock.monotonic())

    keeper.resync = resync  # type: ignore[method-assign] # one test's component
    async with running(keeper) as stage:
        for _ in range(500):
            await flood(stage, keeper)
            await stage.clock.advance(0.5)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert gaps == [5, 10, 20, 40, 60, 60]


async def test_a_calm_pause_brings_the_pace_back_to_five_seconds() -> None:
    keeper = Keeper()
    async with running(keeper) as stage:
        for _ in range(3):
            await flood(stage, keeper)
            await stage.clock.advance(60)
            await stage.quiet()
        before = keeper.calls.count("resync")
        await flood(stage, keeper)
        await settle()
        assert keeper.calls.count("resync") == before + 1
        await flood(stage, keeper)
        await stage.clock.advance(4.9)
        assert keeper.calls.count("resync") == before + 1
        await stage.clock.advance(0.2)
        assert keeper.calls.count("resync") == before + 2


async def test_a_failing_resync_is_reported_and_survived() -> None:
    keeper = Keeper()

    async def resync() -> None:
        raise RuntimeError("store is gone")

    keeper.resync = resync  # type: ignore[method-assign] # one test's component
    async with running(keeper) as stage:
        await flood(stage, keeper)
        failure = await stage.recorder.wait_for(ComponentFailed)
        assert (failure.where, failure.error) == ("resync", "RuntimeError: store is gone")
        stage.publish(Job(job="b"))
        await stage.recorder.wait_for(Done, lambda done: done.job == "b")


async def test_a_recovery_does_not_wait_for_a_key_that_hangs() -> None:
    """Else one hanging validator would, after one drop, hold up all ConfigTemplates."""

    class Small(Parallel):
        buffer_size = 2

    async def work(job: Job) -> None:
        if job.job == "bad":
            await asyncio.Event().wait()

    async with running(Small(work)) as stage:
        stage.publish(Job(job="bad"))
        await settle()
        stage.publish(*(Job(job=f"good{number}") for number in range(5)))
        await until(lambda: len(stage.recorder.of(Done)) >= 2)
        await settle()
        stage.publish(Job(job="late"))
        await stage.recorder.wait_for(Done, lambda done: done.job == "late")


async def test_a_latest_component_keeps_only_the_newest_of_a_key_that_waits() -> None:
    door = asyncio.Event()
    handled: list[int] = []

    class Newest(Parallel):
        delivery = Delivery.LATEST

    async def work(job: Job) -> None:
        handled.append(job.number)
        await door.wait()

    async with running(Newest(work)) as stage:
        for number in range(5):
            stage.publish(Job(job="a", number=number))
            await settle()
        door.set()
        await stage.quiet()
    assert handled == [0, 4]


async def test_the_context_of_whoever_starts_a_component_does_not_leak_a_cause() -> None:
    """A term is opened while an event is handled: the components' own tasks begin anew."""
    keeper = Keeper()

    async def resync() -> None:
        keeper.publish(Done(job="resync"))

    keeper.resync = resync  # type: ignore[method-assign] # one test's component
    with handling(Job(job="outer")):
        async with running(keeper) as stage:
            await flood(stage, keeper)
            done = await stage.recorder.wait_for(Done, lambda done: done.job == "resync")
            assert done.causation_id is None
