"""Elections as the rest of the replica sees them: terms are opened, told of, and closed (L2, L3, L7)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import ClassVar

import pytest
import structlog

from controller.component import Component, on
from controller.events import (
    ComponentFailed,
    LeaderBecame,
    LeaderElectionStarted,
    LeaderLost,
    LeaderObserved,
)
from controller.leadership.component import Leadership, Standalone, term_name
from controller.leadership.fence import FenceClosed, Term
from controller.leadership.timings import LeaseTimings
from controller.runtime import Runtime
from controller.testing import FakeClock, settle
from events import Event, EventBus
from events.testing import EventRecorder
from tests.controller.leadership.stand_in import NAME, NAMESPACE, Connection, LeaseServer, ProcessClock
from tests.controller.support import State

Build = Callable[[Term], Sequence[Component]]


class Clerk(Component):
    """A leader-only component; keeps what it sees."""

    name = "clerk"
    leader_only = True
    publishes: ClassVar[tuple[type[Event], ...]] = ()

    def __init__(self, term: Term) -> None:
        self.term = term
        self.seen: list[Event] = []
        self.stopped = False

    @on(State, LeaderBecame)
    async def note(self, event: Event) -> None:
        self.seen.append(event)

    async def stop(self) -> None:
        assert self.term.fence.closed
        self.stopped = True


async def at_once() -> None:
    """Synced already."""


class Replica:
    """A runtime with nothing but leadership."""

    def __init__(
        self, server: LeaseServer, clock: FakeClock, identity: str, synced: Callable[[], Awaitable[None]]
    ) -> None:
        self.clerks: list[Clerk] = []
        self.build: Build = self.one_clerk
        self.bus = EventBus()
        self.recorder = EventRecorder(self.bus)
        process = ProcessClock(clock)
        self.connection = Connection(server, process)
        self.leadership = Leadership(
            self.connection,
            lease_name=NAME,
            lease_namespace=NAMESPACE,
            identity=identity,
            timings=LeaseTimings(),
            clock=process,
            build=self._build,
            synced=synced,
        )
        self.runtime = Runtime(self.bus, [self.leadership], clock=clock, strict=True)
        self.leadership.attach(self.runtime)

    def _build(self, term: Term) -> Sequence[Component]:
        """As the test says at that moment."""
        return self.build(term)

    def one_clerk(self, term: Term) -> Sequence[Component]:
        self.clerks.append(Clerk(term))
        return self.clerks[-1:]

    def told(self) -> list[str]:
        """What happened to its terms, in order."""
        kinds = (LeaderBecame, LeaderLost)
        return [event.event_type for event in self.recorder.events if isinstance(event, kinds)]


class Town:
    """Replicas that compete; all are stopped at the end."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.server = LeaseServer(self.clock)
        self.replicas: list[Replica] = []

    @asynccontextmanager
    async def replica(
        self, identity: str = "a", synced: Callable[[], Awaitable[None]] = at_once
    ) -> AsyncIterator[Replica]:
        replica = Replica(self.server, self.clock, identity, synced)
        async with replica.recorder:
            await replica.runtime.start()
            await settle(60)
            try:
                yield replica
            finally:
                stopping = asyncio.create_task(replica.runtime.stop(drain=20))
                while not stopping.done():
                    await self.clock.advance(0.5)
                await stopping


@pytest.fixture
def town() -> Town:
    return Town()


# --- standing


async def test_a_candidate_stands_as_soon_as_it_is_synced(town: Town) -> None:
    synced = asyncio.Event()

    async def wait() -> None:
        await synced.wait()

    async with town.replica(synced=wait) as replica:
        assert replica.recorder.of(LeaderElectionStarted) == []
        assert town.server.holder is None
        synced.set()
        await settle(60)
        (started,) = replica.recorder.of(LeaderElectionStarted)
        assert (started.identity, started.lease) == ("a", "edge/kopfbus")
        assert replica.leadership.is_leader


async def test_a_candidate_stands_after_thirty_seconds_synced_or_not(town: Town) -> None:
    never = asyncio.Event()

    async def wait() -> None:
        await never.wait()

    async with town.replica(synced=wait) as replica:
        await town.clock.advance(29.9)
        assert replica.recorder.of(LeaderElectionStarted) == []
        await town.clock.advance(0.2)
        await settle(60)
        assert replica.leadership.is_leader


async def test_not_being_able_to_tell_whether_it_is_synced_is_no_reason_to_stand(town: Town) -> None:
    """It is an error, and named; the component is started again."""
    answers = [RuntimeError("store is gone")]

    async def wait() -> None:
        if answers:
            raise answers.pop()

    async with town.replica(synced=wait) as replica:
        failure = await replica.recorder.wait_for(ComponentFailed)
        assert (failure.where, failure.error) == ("election", "RuntimeError: store is gone")
        assert replica.recorder.of(LeaderElectionStarted) == []
        await town.clock.advance(1.1)
        await settle(60)
        assert replica.leadership.is_leader


async def test_the_leader_is_observed_by_all(town: Town) -> None:
    async with town.replica("a") as leader, town.replica("b") as standby:
        assert [(event.leader, event.is_self) for event in leader.recorder.of(LeaderObserved)] == [
            ("a", True)
        ]
        assert [(event.leader, event.is_self) for event in standby.recorder.of(LeaderObserved)] == [
            ("a", False)
        ]
        assert not standby.leadership.is_leader


# --- L2


async def test_a_term_is_named_by_the_lease_write_that_took_office(town: Town) -> None:
    async with town.replica() as replica:
        (became,) = replica.recorder.of(LeaderBecame)
        lease = town.server.get()
        assert (became.identity, became.term) == ("a", lease["metadata"]["resourceVersion"])
        (clerk,) = replica.clerks
        assert term_name(clerk.term) == became.term
        assert clerk.seen == [became]


async def test_a_term_that_cannot_be_built_is_told_over_given_back_and_stood_for_again(town: Town) -> None:
    """L2: resume, publish `leader.lost` once, give the Lease back, back off."""
    async with town.replica() as replica:
        term = replica.clerks[0].term

        def fail(term: Term) -> Sequence[Component]:
            raise LookupError("no such component")

        replica.build = fail
        town.server.edit(holderIdentity="", leaseDurationSeconds=1)
        await settle(60)
        assert term.fence.closed
        while replica.told().count("leader.became") < 2:
            await town.clock.advance(0.5)
        await replica.recorder.wait_for(LeaderLost, lambda lost: "no such component" in lost.reason)
        assert replica.told() == ["leader.became", "leader.lost"] * 2
        assert replica.bus.running
        assert not town.server.holder
        replica.build = replica.one_clerk
        began = town.clock.monotonic()
        while not replica.leadership.is_leader:
            await town.clock.advance(0.25)
        assert 1 <= town.clock.monotonic() - began <= 6
        assert len(replica.clerks) == 2


# --- L3


async def test_a_deposed_leader_ends_its_components_then_tells(town: Town) -> None:
    async with town.replica() as replica:
        (clerk,) = replica.clerks
        town.server.edit(holderIdentity="b")
        await settle(60)
        assert clerk.stopped
        (lost,) = replica.recorder.of(LeaderLost)
        assert (lost.term, lost.reason) == (term_name(clerk.term), "the Lease is held by b")
        assert not replica.leadership.is_leader
        with pytest.raises(FenceClosed):
            clerk.term.fence.check()


async def test_writes_in_flight_are_awaited_before_the_components_end(town: Town) -> None:
    async with town.replica() as replica:
        (clerk,) = replica.clerks
        answered = asyncio.Event()

        async def write() -> None:
            async with clerk.term.fence.write():
                await answered.wait()

        writing = asyncio.create_task(write())
        await settle()
        town.server.edit(holderIdentity="b")
        await settle(60)
        assert replica.told() == ["leader.became"]
        assert not clerk.stopped
        answered.set()
        await settle(60)
        assert writing.done()
        assert replica.told() == ["leader.became", "leader.lost"]


async def test_a_write_that_does_not_end_is_waited_for_and_then_the_lease_runs_out(town: Town) -> None:
    """Lease duration less renew deadline, five seconds; not released, so nobody takes it early."""
    with structlog.testing.capture_logs() as logs:
        async with town.replica() as replica:
            (clerk,) = replica.clerks

            async def write() -> None:
                async with clerk.term.fence.write():
                    await asyncio.Event().wait()

            writing = asyncio.create_task(write())
            await settle()
            began = town.clock.monotonic()
            stopping = asyncio.create_task(replica.runtime.stop(drain=20))
            while "leader.lost" not in replica.told():
                await town.clock.advance(0.1)
            assert town.clock.monotonic() - began == pytest.approx(5.0, abs=0.3)
            await settle(60)
            assert stopping.done()
            assert town.server.holder == "a"
            writing.cancel()
    assert any("a write has not ended" in str(line["event"]) for line in logs)


async def test_a_clean_stop_gives_the_lease_back_and_takes_no_time(town: Town) -> None:
    replica = Replica(town.server, town.clock, "a", at_once)
    async with replica.recorder:
        await replica.runtime.start()
        await settle(60)
        stopping = asyncio.create_task(replica.runtime.stop(drain=20))
        await settle(200)
        assert stopping.done()
        assert replica.told() == ["leader.became", "leader.lost"]
    assert replica.clerks[0].stopped
    assert not town.server.holder


async def test_office_is_taken_and_left_any_number_of_times_in_one_process(town: Town) -> None:
    async with town.replica() as replica:
        for _ in range(3):
            town.server.edit(holderIdentity="", leaseDurationSeconds=1)
            await settle(60)
            while not replica.leadership.is_leader:
                await town.clock.advance(0.5)
        assert replica.told() == ["leader.became", "leader.lost"] * 3 + ["leader.became"]
        terms = [event.term for event in replica.recorder.of(LeaderBecame)]
        assert len(set(terms)) == 4
        assert [clerk.stopped for clerk in replica.clerks] == [True, True, True, False]


async def test_verifying_reads_the_lease_afresh(town: Town) -> None:
    async with town.replica() as replica:
        term = replica.clerks[0].term
        replica.connection.calls.clear()
        assert await replica.leadership.verify(term)
        assert replica.connection.calls == ["get"]


# --- L7


@asynccontextmanager
async def standalone(build: Build) -> AsyncIterator[tuple[Standalone, EventRecorder, Runtime]]:
    bus = EventBus()
    leadership = Standalone(identity="me", clock=FakeClock(), build=build)
    runtime = Runtime(bus, [leadership], clock=FakeClock(), strict=True)
    leadership.attach(runtime)
    async with EventRecorder(bus) as recorder:
        yield leadership, recorder, runtime


async def test_without_election_it_is_in_office_from_start_to_stop() -> None:
    clerks: list[Clerk] = []

    def build(term: Term) -> Sequence[Component]:
        clerks.append(Clerk(term))
        return clerks

    async with standalone(build) as (leadership, recorder, runtime):
        await runtime.start()
        became = await recorder.wait_for(LeaderBecame)
        (clerk,) = clerks
        assert (became.term, clerk.term.resource_version, clerk.term.number) == ("standalone", "", 0)
        assert leadership.is_leader
        assert await leadership.verify(clerk.term)
        await runtime.stop(drain=1)
        lost = await recorder.wait_for(LeaderLost)
        assert (lost.term, lost.reason) == ("standalone", "the process ends")
        assert clerk.stopped
        assert not await leadership.verify(clerk.term)


async def test_without_election_a_term_that_cannot_be_built_ends_the_process_in_order() -> None:
    """C2: it cannot run at all; nobody hears of an end twice."""

    def build(term: Term) -> Sequence[Component]:
        raise LookupError("no such component")

    async with standalone(build) as (leadership, recorder, runtime):
        with pytest.raises(LookupError):
            await runtime.start()
        await runtime.stop(drain=1)
        await recorder.wait_for(LeaderLost)
        assert len(recorder.of(LeaderLost)) == 1
        assert not leadership.is_leader
