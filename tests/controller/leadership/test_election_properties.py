"""Whatever network, server and scheduler do: never two who may write, and always somebody again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.leadership.timings import LeaseTimings
from controller.testing import settle
from tests.controller.leadership.stand_in import HANGS, NONE, Cluster, Fault, Replica

TIMINGS = (LeaseTimings(), LeaseTimings(6, 4, 1), LeaseTimings(30, 20, 5))

moments = st.sampled_from([0.0, 0.01, 0.5, 2.5, 6.0, 12.0, 25.0])
faults = st.one_of(
    st.just(NONE),
    st.builds(Fault, before=moments, after=moments),
    st.builds(Fault, before=moments, refused=st.sampled_from([409, 429, 500])),
    st.builds(Fault, before=moments, after=moments, lost=st.sampled_from(["request", "answer"])),
    st.just(HANGS),
)


@dataclass(frozen=True)
class Incident:
    """After so many seconds something happens to one replica."""

    after: float
    replica: int
    what: str


incidents = st.builds(
    Incident,
    after=st.sampled_from([0.0, 0.3, 1.0, 3.0, 9.0, 16.0]),
    replica=st.integers(0, 2),
    what=st.sampled_from(
        ["stop", "cut off", "heal", "freeze", "thaw", "deaf", "cut watches", "write", "resign"]
    ),
)


class Chaos:
    """Two or three replicas, their faults and incidents; a stopped one is replaced by a new process."""

    def __init__(self, timings: list[LeaseTimings], scripts: list[list[Fault]]) -> None:
        self.cluster = Cluster()
        self.timings = timings
        self.scripts = scripts
        self.replicas: list[Replica] = []
        self.writes: list[asyncio.Task[None]] = []

    async def add(self, place: int) -> Replica:
        replica = self.cluster.replica(f"{place}-{len(self.cluster.replicas)}", self.timings[place])
        script = self.scripts[place]
        for method in ("get", "create", "replace"):
            replica.connection.script[method] = (
                script  # shared: whatever call comes next meets the next fault
            )
        return await replica.start()

    async def meet(self, incident: Incident) -> None:
        await self.cluster.pass_time(incident.after, step=max(incident.after / 2, 0.1))
        place = incident.replica % len(self.replicas)
        replica = self.replicas[place]
        if incident.what == "stop":
            assert replica.running is not None
            replica.running.cancel()
            self.replicas[place] = await self.add(place)
        elif incident.what == "cut off":
            replica.connection.always = HANGS
        elif incident.what == "freeze":
            replica.clock.awake.clear()
        elif incident.what == "thaw":
            replica.clock.awake.set()
        elif incident.what == "deaf":
            replica.connection.watching = False
        elif incident.what == "cut watches":
            self.cluster.server.cut_watches()
        elif incident.what == "resign":
            replica.elector.resign("told to")
        elif incident.what == "write" and replica.terms and not replica.term.fence.closed:
            self.writes.append(asyncio.create_task(self.write(replica)))
        elif incident.what == "heal":
            self.heal(replica)

    async def write(self, replica: Replica) -> None:
        async with replica.term.fence.write():
            await self.cluster.clock.sleep(7)

    def heal(self, replica: Replica) -> None:
        replica.connection.always = NONE
        replica.connection.watching = True
        replica.connection.script.clear()
        replica.clock.awake.set()

    async def run(self, happenings: list[Incident]) -> None:
        try:
            for place in range(len(self.timings)):
                self.replicas.append(await self.add(place))
            for incident in happenings:
                await self.meet(incident)
            await self.check_recovery()
            self.check_terms()
        finally:
            await self.cluster.close()
            await asyncio.gather(*self.writes, return_exceptions=True)

    async def check_recovery(self) -> None:
        """Everything works again: somebody leads after the longest lease, a clean stop hands over at once."""
        for replica in self.cluster.replicas:
            self.heal(replica)
        await self.cluster.pass_time(75, step=2.5)
        leader = next(replica for replica in self.replicas if replica.leads)
        await leader.stop()
        await settle(60)
        assert any(replica.leads for replica in self.replicas)

    def check_terms(self) -> None:
        """Every taking of office raised the transitions, and every term is later than those before it."""
        taken = self.cluster.server.transitions
        assert taken == list(range(len(taken)))
        for replica in self.cluster.replicas:
            numbers = [term.number for term in replica.terms]
            assert numbers == sorted(set(numbers))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    timings=st.lists(st.sampled_from(TIMINGS), min_size=2, max_size=3),
    scripts=st.lists(st.lists(faults, max_size=12), min_size=3, max_size=3),
    happenings=st.lists(incidents, max_size=12),
)
def test_at_no_instant_may_two_replicas_write_and_in_the_end_one_may(timings, scripts, happenings):
    async def play() -> None:
        await Chaos(timings, [list(script) for script in scripts]).run(happenings)

    asyncio.run(play())
