"""Electors on a real API server: hand-over, expiry, and what becomes of a Lease that others touch (L1-L6)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from controller.clock import SystemClock
from controller.kube.client import LEASES, KubeClient
from controller.kube.errors import ApiError
from controller.leadership.access import LeaseAccess
from controller.leadership.elector import Elector, make_identity
from controller.leadership.fence import Term
from controller.leadership.timings import LeaseTimings
from tests.support.apiserver import ApiServer

log = logging.getLogger(__name__)

NAME = "kopfbus"
TIMINGS = LeaseTimings(lease_duration=3, renew_deadline=2, retry_period=0.4)
RARELY = LeaseTimings(lease_duration=4, renew_deadline=3, retry_period=2)
"""With these only the watch can tell something within a second."""
HAND_OVERS = 11


class Process:
    """An elector with a client of its own, as in a process of its own; `cut_off` makes every call hang."""

    def __init__(
        self, client: KubeClient, namespace: str, timings: LeaseTimings, taken: asyncio.Event
    ) -> None:
        self.terms: list[tuple[float, Term]] = []
        self.client = client
        self._taken = taken
        self._cut_off = False
        self.elector = Elector(
            self,
            name=NAME,
            namespace=namespace,
            identity=make_identity("test"),
            timings=timings,
            clock=SystemClock(),
            on_started=self._on_started,
            on_stopped=self._on_stopped,
            on_new_leader=lambda _: None,
        )
        self.running = asyncio.create_task(self.elector.run())

    @property
    def term(self) -> Term:
        return self.terms[-1][1]

    async def stop(self) -> None:
        self.running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.running

    def cut_off(self) -> None:
        self._cut_off = True

    async def get(self, *args: Any, **options: Any) -> dict[str, Any]:
        await self._connected()
        return await self.client.get(*args, **options)

    async def create(self, *args: Any, **options: Any) -> dict[str, Any]:
        await self._connected()
        return await self.client.create(*args, **options)

    async def replace(self, *args: Any, **options: Any) -> dict[str, Any]:
        await self._connected()
        return await self.client.replace(*args, **options)

    @contextlib.asynccontextmanager
    async def stream(self, *args: Any, **options: Any) -> AsyncIterator[AsyncIterator[bytes]]:
        async with self.client.stream(*args, **options) as lines:
            yield lines

    async def _connected(self) -> None:
        if self._cut_off:
            await asyncio.Event().wait()

    async def _on_started(self, term: Term) -> None:
        self.terms.append((time.monotonic(), term))
        self._taken.set()

    async def _on_stopped(self, term: Term, reason: str) -> None:
        await term.fence.wait_idle(1)


class Election:
    """The processes that compete in one namespace."""

    def __init__(
        self, client: KubeClient, namespace: str, connect: Callable[[str], Awaitable[KubeClient]]
    ) -> None:
        self.client = client
        self.namespace = namespace
        self.processes: list[Process] = []
        self._connect = connect
        self._taken = asyncio.Event()

    async def add(self, timings: LeaseTimings = TIMINGS, user: str = "admin") -> Process:
        process = Process(await self._connect(user), self.namespace, timings, self._taken)
        self.processes.append(process)
        return process

    async def taken(self, seconds: float = 10.0) -> Process:
        """Wait for the next taking of office; no two may hold it then."""
        async with asyncio.timeout(seconds):
            await self._taken.wait()
        self._taken.clear()
        terms = [(term, process) for process in self.processes for _, term in process.terms]
        holders = [process for term, process in terms if not term.fence.closed]
        assert len(holders) == 1
        return holders[0]

    async def lease(self) -> dict[str, Any]:
        return await self.client.get(LEASES, NAME, self.namespace)

    async def close(self) -> None:
        await asyncio.gather(*(process.stop() for process in self.processes))
        for process in self.processes:
            await process.client.close()
        await self.client.close()


@pytest.fixture
async def election(apiserver: ApiServer, namespace: str) -> AsyncIterator[Election]:
    async def connect(user: str) -> KubeClient:
        return await KubeClient.connect(str(apiserver.kubeconfig_for(user)))

    election = Election(await connect("admin"), namespace, connect)
    yield election
    await election.close()


async def closed(term: Term, seconds: float) -> None:
    async with asyncio.timeout(seconds):
        await term.fence.wait_closed()


async def seen(process: Process, leader: str) -> None:
    """Wait until a standby has seen who leads, and its watch is open."""
    async with asyncio.timeout(5):
        while process.elector.leader != leader:
            await asyncio.sleep(0.01)
        renewed = process.elector._sighting.number
        while process.elector._sighting.number == renewed:  # a renewal: told by the watch, or by a poll
            await asyncio.sleep(0.01)


async def test_a_clean_stop_hands_over_within_100_ms(election: Election):
    leader, hand_overs = await election.add(), []
    await election.taken()
    for _ in range(HAND_OVERS):
        standby = await election.add()
        await seen(standby, leader.elector.identity)
        began = time.monotonic()
        await leader.stop()
        leader = await election.taken()
        hand_overs.append(leader.terms[-1][0] - began)
    log.info("hand-overs: median %.4f s, slowest %.4f s", statistics.median(hand_overs), max(hand_overs))
    assert statistics.median(hand_overs) < 0.1
    transitions = [process.term.transitions for process in election.processes]
    assert transitions == list(range(HAND_OVERS + 1))


async def test_a_leader_cut_off_stops_writing_before_the_next_one_begins(election: Election):
    leader = await election.add()
    await election.taken()
    standby = await election.add()
    await seen(standby, leader.elector.identity)
    leader.cut_off()
    cut_off = time.monotonic()
    assert await election.taken() is standby
    assert leader.term.fence.closed
    assert TIMINGS.lease_duration - TIMINGS.retry_period - 0.2 <= time.monotonic() - cut_off
    assert time.monotonic() - cut_off <= TIMINGS.lease_duration + 2
    assert standby.term.number > leader.term.number


async def test_a_deleted_lease_ends_the_term_at_once_and_a_new_one_follows(election: Election):
    leader = await election.add(RARELY)
    await election.taken()
    first = leader.term
    await seen(leader, leader.elector.identity)
    deleted = time.monotonic()
    await election.client.delete(LEASES, NAME, election.namespace)
    await closed(first, 1)
    assert first.fence.reason == "the Lease was deleted"
    await election.taken()
    assert time.monotonic() - deleted >= RARELY.lease_duration - 0.1
    assert leader.term.transitions == 0
    assert leader.term.number > first.number


async def test_somebody_elses_change_ends_the_term_at_once(election: Election):
    leader = await election.add(RARELY)
    await election.taken()
    first = leader.term
    await seen(leader, leader.elector.identity)
    patch = {"metadata": {"annotations": {"touched": "yes"}}}
    await election.client.merge_patch(LEASES, NAME, election.namespace, patch)
    await closed(first, 1)


async def test_one_process_leads_twice_and_its_terms_differ(election: Election):
    leader = await election.add()
    await election.taken()
    leader.elector.resign("told to")
    await election.taken()
    (_, first), (_, second) = leader.terms
    assert first.fence.closed
    assert second.number > first.number
    assert second.transitions == first.transitions + 1
    assert not await leader.elector.verify(first)
    assert await leader.elector.verify(second)


async def test_a_lease_without_spec_is_taken_after_its_time(election: Election):
    lease = {
        "apiVersion": LEASES.api_version,
        "kind": LEASES.kind,
        "metadata": {"name": NAME, "namespace": election.namespace, "labels": {"app": "kopfbus"}},
    }
    await election.client.create(LEASES, lease)
    began = time.monotonic()
    leader = await election.add()
    await election.taken()
    assert time.monotonic() - began >= TIMINGS.lease_duration - 0.1
    held = await election.lease()
    assert held["spec"]["holderIdentity"] == leader.elector.identity
    assert held["metadata"]["labels"] == {"app": "kopfbus"}


async def test_writing_back_a_deleted_lease_does_not_create_it_again(election: Election):
    access = LeaseAccess(election.client, NAME, election.namespace, TIMINGS)
    lease = await access.take(None, "a")
    await election.client.delete(LEASES, NAME, election.namespace)
    with pytest.raises(ApiError) as refused:
        await access.replace(lease.renewed())
    assert refused.value.status in {404, 409}
    assert await access.read() is None


async def test_rights_on_the_one_lease_by_name_are_enough(
    election: Election, api: aiohttp.ClientSession, namespace: str
):
    rules = [
        {"apiGroups": [LEASES.group], "resources": ["leases"], "verbs": ["create"]},
        {
            "apiGroups": [LEASES.group],
            "resources": ["leases"],
            "resourceNames": [NAME],
            "verbs": ["get", "update", "watch"],
        },
    ]
    group = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "elector"}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "user1"}
    for plural, body in (
        ("roles", {"metadata": {"name": "elector"}, "rules": rules}),
        ("rolebindings", {"metadata": {"name": "elector"}, "roleRef": reference, "subjects": [subject]}),
    ):
        async with api.post(f"{group}/{plural}", json=body) as response:
            assert response.status == 201, await response.text()
    leader = await election.add(RARELY, user="user1")
    await election.taken()
    await seen(leader, leader.elector.identity)
    await election.client.merge_patch(LEASES, NAME, namespace, {"spec": {"holderIdentity": "x"}})
    await closed(leader.term, 1)
