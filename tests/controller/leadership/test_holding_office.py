"""Renewing the Lease, and noticing that it is no longer one's own."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from controller.kube.errors import ApiError
from controller.leadership.fence import Term
from controller.leadership.timings import LeaseTimings
from controller.testing import settle
from tests.controller.leadership.stand_in import HANGS, Cluster, Fault


async def test_a_renewal_counts_from_before_its_request(cluster: Cluster):
    replica = await cluster.replica("a").start()
    replica.connection.script["replace"] = [Fault(after=4)]
    replica.connection.always = HANGS
    await cluster.pass_time(11.5)  # renewed by the request sent at 2 s, answered at 6 s
    assert replica.leads
    await cluster.pass_time(0.5)
    assert not replica.leads


async def test_a_renewal_whose_answer_was_lost_does_not_count(cluster: Cluster):
    replica = cluster.replica("a")
    await replica.start()
    replica.connection.script["replace"] = [Fault(lost="answer")] * 10
    await cluster.pass_time(9.5)
    assert replica.leads
    await cluster.pass_time(0.5)
    assert not replica.leads


async def test_the_next_renewal_after_a_lost_answer_goes_on_with_the_term(cluster: Cluster):
    leader, _ = await cluster.leader_and_standby()
    leader.connection.script["replace"] = [
        Fault(lost="answer"),
        Fault(lost="request"),
        Fault(before=1, after=1),
    ]
    await cluster.pass_time(60)
    assert leader.leads
    assert cluster.server.transitions == [0]


@pytest.mark.parametrize("status", [404, 409, 429, 500, 503])
async def test_a_refusal_without_reason_does_not_end_the_term(cluster: Cluster, status: int):
    leader, _ = await cluster.leader_and_standby()
    leader.connection.script["replace"] = [Fault(refused=status)]
    await cluster.pass_time(60)
    assert leader.leads
    assert len(leader.terms) == 1


async def test_one_hung_call_does_not_cost_the_office(cluster: Cluster):
    leader, _ = await cluster.leader_and_standby()
    leader.connection.script["replace"] = [HANGS]
    await cluster.pass_time(60)
    assert leader.leads
    assert len(leader.terms) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"holderIdentity": "x", "leaseTransitions": 1},
        {"holderIdentity": ""},
        {"leaseTransitions": 7},
        {"leaseDurationSeconds": 3600},
    ],
)
async def test_somebody_elses_change_closes_the_fence_at_once(cluster: Cluster, change: dict[str, Any]):
    leader = await cluster.replica("a").start()
    await cluster.pass_time(3)
    first = leader.term
    cluster.server.edit(**change)
    await settle()
    assert first.fence.closed


async def test_a_deleted_lease_closes_the_fence_at_once(cluster: Cluster):
    leader = await cluster.replica("a").start()
    cluster.server.delete()
    await settle()
    assert leader.term.fence.closed
    assert leader.term.fence.reason == "the Lease was deleted"


@pytest.mark.parametrize("change", [{"holderIdentity": "x"}, {"leaseDurationSeconds": 3600}, None], ids=str)
async def test_without_a_watch_a_change_is_seen_within_a_retry_period(
    cluster: Cluster, change: dict[str, Any] | None
):
    leader = cluster.replica("a")
    leader.connection.watching = False
    await leader.start()
    await cluster.pass_time(3)
    if change is None:
        cluster.server.delete()
    else:
        cluster.server.edit(**change)
    term = leader.term
    await cluster.pass_time(2)
    assert term.fence.closed


async def test_an_own_renewal_that_the_watch_tells_first_is_no_change_by_others(cluster: Cluster):
    leader = await cluster.replica("a").start()
    leader.connection.script["replace"] = [Fault(after=1), Fault(after=1)]
    await cluster.pass_time(10)
    assert len(leader.terms) == 1
    assert leader.leads


async def test_a_late_watch_does_not_mistake_the_past_for_a_change(cluster: Cluster):
    leader = cluster.replica("a")
    leader.connection.watch_delay = 5
    await leader.start()
    await cluster.pass_time(30)
    assert len(leader.terms) == 1
    assert leader.leads


async def test_a_broken_watch_is_opened_again_with_back_off(cluster: Cluster):
    replica = cluster.replica("a")
    replica.connection.watching = False
    await replica.start()
    await cluster.pass_time(60, step=5)
    assert 6 <= replica.connection.streams <= 15
    assert replica.leads


async def test_a_slow_start_of_the_office_does_not_lose_the_lease(cluster: Cluster):
    opened = asyncio.Event()

    async def start(_: Term) -> None:
        await cluster.clock.sleep(40)
        opened.set()

    replica = await cluster.replica("a", on_started=start).start()
    await cluster.pass_time(41)
    assert opened.is_set()
    assert len(replica.terms) == 1
    assert replica.leads


@pytest.mark.parametrize("answer", [HANGS, Fault(refused=500)], ids=["none", "500"])
async def test_without_renewals_the_office_is_left_at_the_renew_deadline(cluster: Cluster, answer: Fault):
    replica = await cluster.replica("a", LeaseTimings(15, 9, 2)).start()
    replica.connection.always = answer
    await cluster.clock.advance(8.9)
    assert replica.stops == []
    await cluster.clock.advance(0.1)
    assert [reason for _, reason in replica.stops] == ["the Lease was not renewed within 9 s"]


async def test_renewals_that_somebody_cancelled_end_the_term(cluster: Cluster):
    replica = await cluster.replica("a").start()
    replica.connection.script["replace"] = [Fault(lost="request", error=asyncio.CancelledError())]
    await cluster.clock.advance(2)
    assert [reason for _, reason in replica.stops] == ["renewing the Lease has ended"]


async def test_a_watch_that_lived_long_is_opened_again_at_once(cluster: Cluster):
    replica = await cluster.replica("a").start()
    for _ in range(8):
        await cluster.pass_time(20, step=5)
        cluster.server.cut_watches()
    before = replica.connection.streams
    await cluster.pass_time(0.5)
    assert replica.connection.streams == before + 1


async def test_a_term_that_the_lease_still_names_is_verified(cluster: Cluster):
    leader = await cluster.replica("a").start()
    await cluster.pass_time(30)
    assert await leader.elector.verify(leader.term)


@pytest.mark.parametrize("change", [{"holderIdentity": "x"}, {"leaseTransitions": 5}, None])
async def test_a_term_that_the_lease_no_longer_names_is_closed(
    cluster: Cluster, change: dict[str, Any] | None
):
    leader = cluster.replica("a")
    leader.connection.watching = False
    await leader.start()
    if change is None:
        cluster.server.delete()
    else:
        cluster.server.edit(**change)
    term = leader.term
    assert not term.fence.closed
    assert not await leader.elector.verify(term)
    assert term.fence.closed


async def test_a_lease_that_cannot_be_read_decides_nothing(cluster: Cluster):
    leader = await cluster.replica("a").start()
    leader.connection.script["get"] = [Fault(refused=500)]
    with pytest.raises(ApiError):
        await leader.elector.verify(leader.term)
    assert leader.leads


async def test_an_earlier_term_is_never_verified(cluster: Cluster):
    leader = await cluster.replica("a").start()
    cluster.server.edit(holderIdentity="")
    await settle()
    await cluster.seconds_until(leader)
    first, second = leader.terms
    assert not await leader.elector.verify(first)
    assert await leader.elector.verify(second)
