"""Taking office, holding it and handing it over; time passes only where a test says so."""

from __future__ import annotations

import asyncio
import math
import socket
from typing import Any

import pytest

from controller.kube.errors import ApiError, ApiUnreachable
from controller.leadership.elector import make_identity
from controller.leadership.fence import Term
from controller.leadership.timings import LeaseTimings
from controller.testing import settle
from tests.controller.leadership.stand_in import HANGS, RELEASED, Cluster, Fault, Replica


async def leader_and_standby(cluster: Cluster) -> tuple[Replica, Replica]:
    leader, standby = cluster.replica("a"), cluster.replica("b")
    await leader.start()
    await standby.start()
    assert leader.leads
    assert not standby.leads
    return leader, standby


async def seconds_until(cluster: Cluster, replica: Replica, limit: float = 100.0) -> float:
    """How long it takes until that replica is in its next term, to a quarter of a second."""
    terms, began = len(replica.terms), cluster.clock.monotonic()
    while len(replica.terms) == terms:
        assert cluster.clock.monotonic() - began < limit, "it never takes office"
        await cluster.pass_time(0.25, step=0.25)
    return cluster.clock.monotonic() - began


# Identity


def test_identities_begin_with_the_host_name_and_are_never_the_same():
    first, second = make_identity(None), make_identity(None)
    assert first.startswith(f"{socket.gethostname()}_")
    assert first != second


def test_a_prefix_comes_before_the_identity_and_replaces_nothing():
    assert make_identity("blue").startswith(f"blue_{socket.gethostname()}_")
    assert make_identity("blue") != make_identity("blue")


# Taking office


async def test_the_first_replica_creates_the_lease_and_leads_at_once(cluster: Cluster):
    replica = await cluster.replica("a").start()
    assert cluster.server.lease is not None
    assert cluster.server.holder == "a"
    assert replica.term.resource_version == cluster.server.lease["metadata"]["resourceVersion"]
    assert (replica.term.identity, replica.term.transitions) == ("a", 0)
    assert replica.elector.is_leader
    assert replica.elector.leader == "a"


async def test_of_two_that_stand_at_the_same_time_one_leads(cluster: Cluster):
    replicas = [cluster.replica(identity) for identity in "ab"]
    for replica in replicas:
        replica.connection.script["get"] = [Fault(after=0.1)]
        await replica.start()
    await cluster.pass_time(5)
    assert sum(replica.leads for replica in replicas) == 1


async def test_the_leader_stays_in_office_as_long_as_it_renews(cluster: Cluster):
    leader, standby = await leader_and_standby(cluster)
    await cluster.pass_time(300)
    assert leader.leads
    assert (len(leader.terms), standby.terms) == (1, [])


async def test_a_dead_leader_is_succeeded_after_its_lease_and_within_two_seconds_more(cluster: Cluster):
    leader, standby = await leader_and_standby(cluster)
    leader.connection.always = HANGS
    waited = await seconds_until(cluster, standby)
    assert 13 <= waited <= 17  # the last renewal was up to one retry period before
    assert standby.term.transitions == 1


async def test_without_a_working_watch_polling_does(cluster: Cluster):
    leader, standby = cluster.replica("a"), cluster.replica("b")
    standby.connection.watching = False
    await leader.start()
    await standby.start()
    await leader.stop()
    assert await seconds_until(cluster, standby) <= 4.5
    await standby.stop()


@pytest.mark.parametrize(
    ("lease", "waited"),
    [
        ({"spec": {"holderIdentity": "x", "leaseDurationSeconds": 40}}, 40),
        ({"spec": {"holderIdentity": "x", "leaseDurationSeconds": 3600}}, 60),
        ({"spec": {"holderIdentity": "x", "leaseDurationSeconds": 1}}, 15),
        ({"spec": {"holderIdentity": "x", "leaseDurationSeconds": "40", "leaseTransitions": "?"}}, 15),
        ({"spec": {"holderIdentity": 5, "renewTime": "2026-01-01 00:00"}}, 15),
        ({"spec": {"holderIdentity": ""}}, 15),
        ({"spec": {}}, 15),
        ({"spec": None}, 15),
        ({}, 15),
        ({"spec": {"holderIdentity": ""}, "metadata": {"annotations": {RELEASED: "x"}}}, 0),
        ({"spec": {"holderIdentity": "x"}, "metadata": {"annotations": {RELEASED: "x"}}}, 15),
    ],
)
async def test_a_lease_found_is_waited_for_unless_it_was_released(
    cluster: Cluster, lease: Any, waited: float
):
    cluster.server.put(lease)
    replica = await cluster.replica("a").start()
    if waited:
        await cluster.pass_time(waited - 0.5)
        assert not replica.leads
        await cluster.pass_time(1)
    assert replica.leads
    assert replica.term.transitions == 1


async def test_a_lease_deleted_under_a_dead_leader_is_waited_for(cluster: Cluster):
    leader, standby = await leader_and_standby(cluster)
    leader.connection.always = HANGS
    cluster.server.cut_watches()
    cluster.server.delete()
    assert 15 <= await seconds_until(cluster, standby) <= 20


async def test_a_claim_whose_answer_was_lost_takes_no_office_but_the_next_one_does(cluster: Cluster):
    replica = cluster.replica("a")
    replica.connection.script["create"] = [Fault(lost="answer")]
    await replica.start()
    assert cluster.server.holder == "a"
    assert not replica.terms
    assert await seconds_until(cluster, replica) <= 4.5
    assert cluster.server.transitions == [0, 1]
    assert replica.term.transitions == 1


async def test_a_claim_answered_after_its_time_takes_no_office(cluster: Cluster):
    replica = cluster.replica("a")
    replica.connection.script["create"] = [Fault(after=6)]
    await replica.start()
    await cluster.pass_time(5.5)
    assert cluster.server.holder == "a"
    assert not replica.terms


@pytest.mark.parametrize(
    "error", [ApiError(429, "TooManyRequests", "busy"), OSError("?"), KeyError("spec")], ids=repr
)
async def test_whatever_goes_wrong_is_one_failed_attempt(cluster: Cluster, error: Exception):
    replica = cluster.replica("a")
    replica.connection.script["get"] = [Fault(lost="request", error=error)]
    await replica.start()
    assert not replica.leads
    assert await seconds_until(cluster, replica) <= 4.5


# Holding it


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
    leader, _ = await leader_and_standby(cluster)
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
    leader, _ = await leader_and_standby(cluster)
    leader.connection.script["replace"] = [Fault(refused=status)]
    await cluster.pass_time(60)
    assert leader.leads
    assert len(leader.terms) == 1


async def test_one_hung_call_does_not_cost_the_office(cluster: Cluster):
    leader, _ = await leader_and_standby(cluster)
    leader.connection.script["replace"] = [HANGS]
    await cluster.pass_time(60)
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


@pytest.mark.parametrize("deleted", [True, False])
async def test_without_a_watch_a_change_is_seen_within_a_retry_period(cluster: Cluster, deleted: bool):
    leader = cluster.replica("a")
    leader.connection.watching = False
    await leader.start()
    await cluster.pass_time(3)
    if deleted:
        cluster.server.delete()
    else:
        cluster.server.edit(holderIdentity="x")
    await cluster.pass_time(2)
    assert leader.term.fence.closed


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


# Handing over


async def test_a_clean_stop_hands_over_without_any_time_passing(cluster: Cluster):
    leader, standby = await leader_and_standby(cluster)
    await leader.stop()
    await settle()
    assert standby.leads
    assert standby.term.number > leader.term.number
    assert cluster.server.transitions == [0, 1]


async def test_the_lease_is_released_only_after_the_office_was_left(cluster: Cluster):
    holders: list[str | None] = []

    async def stop(*_: object) -> None:
        await cluster.clock.sleep(3)
        holders.append(cluster.server.holder)

    leader = await cluster.replica("a", on_stopped=stop).start()
    assert leader.running is not None
    leader.running.cancel()
    await cluster.clock.advance(3)
    assert leader.running.cancelled()
    assert holders == ["a"]
    assert cluster.server.holder == ""


async def test_a_released_lease_names_its_last_holder(cluster: Cluster):
    leader = await cluster.replica("a").start()
    await leader.stop()
    assert cluster.server.lease is not None
    assert cluster.server.lease["metadata"]["annotations"] == {RELEASED: "a"}
    assert cluster.server.lease["spec"]["leaseDurationSeconds"] == 1


async def test_with_a_write_in_flight_the_lease_is_not_released(cluster: Cluster):
    leader, standby = await leader_and_standby(cluster)
    async with leader.term.fence.write():
        await leader.stop()
        assert cluster.server.holder == "a"
    assert 13 <= await seconds_until(cluster, standby) <= 17


async def test_with_a_write_that_was_never_answered_the_lease_is_not_released(cluster: Cluster):
    leader, _ = await leader_and_standby(cluster)
    with pytest.raises(ApiUnreachable):
        async with leader.term.fence.write():
            raise ApiUnreachable("cut off")
    await leader.stop()
    assert cluster.server.holder == "a"


async def test_an_office_that_could_not_be_left_does_not_release_the_lease(cluster: Cluster):
    async def stop(*_: object) -> None:
        raise RuntimeError("the child does not die")

    leader = await cluster.replica("a", on_stopped=stop).start()
    await leader.stop()
    assert cluster.server.holder == "a"


async def test_an_office_cut_short_while_being_left_does_not_release_the_lease(cluster: Cluster):
    async def stop(*_: object) -> None:
        await asyncio.Event().wait()

    leader = await cluster.replica("a", on_stopped=stop).start()
    assert leader.running is not None
    leader.running.cancel()
    await settle()
    assert not leader.running.done()
    await leader.stop()
    assert cluster.server.holder == "a"


async def test_a_release_is_tried_again_when_a_late_renewal_comes_first(cluster: Cluster):
    leader = await cluster.replica("a").start()
    leader.connection.script["replace"] = [Fault(before=2.5), Fault(before=1)]
    await cluster.clock.advance(2)  # a renewal is on its way
    assert leader.running is not None
    leader.running.cancel()
    await cluster.clock.advance(2)
    assert leader.running.done()
    assert cluster.server.holder == ""


async def test_a_release_leaves_a_lease_alone_that_is_no_longer_its_own(cluster: Cluster):
    leader = await cluster.replica("a").start()
    leader.connection.script["replace"] = [Fault(before=1)]
    assert leader.running is not None
    leader.running.cancel()
    await settle()
    cluster.server.edit(holderIdentity="x")
    await cluster.clock.advance(2)
    assert leader.running.done()
    assert cluster.server.holder == "x"


async def test_a_release_that_hangs_does_not_hold_up_the_stop_for_long(cluster: Cluster):
    leader = await cluster.replica("a").start()
    leader.connection.always = HANGS
    assert leader.running is not None
    leader.running.cancel()
    await cluster.clock.advance(5)
    assert leader.running.done()


async def test_a_claim_interrupted_by_the_stop_is_given_back(cluster: Cluster):
    replica = cluster.replica("a")
    replica.connection.script["create"] = [Fault(after=1)]
    await replica.start()
    await replica.stop()
    assert replica.terms == []
    assert cluster.server.holder == ""


async def test_a_term_not_released_is_followed_by_a_new_one_of_the_same_process(cluster: Cluster):
    replica = await cluster.replica("a").start()
    replica.connection.always = Fault(refused=500)
    await cluster.pass_time(12)
    assert not replica.leads
    replica.connection.always = Fault()
    assert await seconds_until(cluster, replica) <= 4.5
    first, second = replica.terms
    assert second.number > first.number
    assert cluster.server.transitions == [0, 1]
    assert first.fence.closed


async def test_one_process_takes_and_leaves_office_any_number_of_times(cluster: Cluster):
    replica = await cluster.replica("a").start()
    for _ in range(5):
        cluster.server.edit(holderIdentity="x")
        await settle()
        await seconds_until(cluster, replica)
    assert len(replica.terms) == 6
    assert [term for term, _ in replica.stops] == replica.terms[:5]
    assert {reason for _, reason in replica.stops} == {"the Lease is held by x"}


# An office that fails


async def test_a_start_that_fails_gives_the_lease_back_to_whoever_waits(cluster: Cluster):
    async def start(_: Term) -> None:
        raise RuntimeError("no templates")

    leader, standby = cluster.replica("a", on_started=start), cluster.replica("b")
    await leader.start()
    await standby.start()
    await settle()
    assert standby.leads
    assert leader.stops == [(leader.terms[0], "taking office failed: no templates")]


async def test_after_failed_starts_it_stands_again_with_growing_back_off(cluster: Cluster):
    async def start(_: Term) -> None:
        raise RuntimeError("no templates")

    replica = await cluster.replica("a", on_started=start).start()
    waits = [await seconds_until(cluster, replica) for _ in range(8)]
    assert waits == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60], abs=0.5)


async def test_a_term_that_went_well_forgets_earlier_failures(cluster: Cluster):
    starts: list[Term] = []

    async def start(term: Term) -> None:
        starts.append(term)
        if len(starts) in {1, 2, 4}:
            raise RuntimeError("no templates")

    replica = await cluster.replica("a", on_started=start).start()
    assert await seconds_until(cluster, replica) == pytest.approx(1, abs=0.5)
    assert await seconds_until(cluster, replica) == pytest.approx(2, abs=0.5)
    cluster.server.edit(holderIdentity="")
    await seconds_until(cluster, replica)
    assert await seconds_until(cluster, replica) == pytest.approx(1, abs=0.5)


async def test_resigning_gives_the_lease_back_and_stands_again_later(cluster: Cluster):
    leader, standby = await leader_and_standby(cluster)
    leader.elector.resign("the publisher does not start")
    await settle(60)
    assert standby.leads
    assert leader.stops == [(leader.terms[0], "the publisher does not start")]
    await standby.stop()
    assert await seconds_until(cluster, leader) <= 1.5


async def test_a_term_that_ends_while_the_office_starts_cancels_the_start(cluster: Cluster):
    ended: list[str] = []

    async def start(_: Term) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("start")

    async def stop(*_: object) -> None:
        ended.append("stop")

    await cluster.replica("a", on_started=start, on_stopped=stop).start()
    cluster.server.edit(holderIdentity="x")
    await settle()
    assert ended == ["start", "stop"]


async def test_a_start_that_somebody_cancelled_ends_the_term(cluster: Cluster):
    async def start(_: Term) -> None:
        raise asyncio.CancelledError

    replica = await cluster.replica("a", on_started=start).start()
    await settle()
    assert [reason for _, reason in replica.stops] == ["taking office was cancelled"]
    assert cluster.server.holder == ""


# Looking afresh


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
    await seconds_until(cluster, leader)
    first, second = leader.terms
    assert not await leader.elector.verify(first)
    assert await leader.elector.verify(second)


# Who leads


async def test_every_new_leader_is_reported_once(cluster: Cluster):
    leader, standby = await leader_and_standby(cluster)
    await cluster.pass_time(10)
    await leader.stop()
    await cluster.pass_time(10)
    assert leader.leaders == ["a"]
    assert standby.leaders == ["a", "b"]
    assert standby.elector.leader == "b"


async def test_a_listener_that_fails_does_not_disturb_the_election(cluster: Cluster):
    replica = cluster.replica("a")
    replica.elector._on_new_leader = lambda _: 1 / 0  # type: ignore[assignment,return-value]  # fails on purpose
    await replica.start()
    assert replica.leads


# Being cancelled


@pytest.mark.parametrize("turns", range(40))
async def test_cancelled_at_any_point_it_leaves_office_and_no_task_behind(cluster: Cluster, turns: int):
    async def slowly(*_: object) -> None:
        for _ in range(5):
            await asyncio.sleep(0)

    replica = cluster.replica("a", on_started=slowly, on_stopped=slowly)
    replica.running = asyncio.create_task(replica.elector.run())
    for _ in range(turns):
        await asyncio.sleep(0)
    await replica.stop()
    assert len(replica.stops) == len(replica.terms)
    assert not replica.leads
    assert cluster.server.holder in {"", None}
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("turns", range(20))
async def test_cancelled_twice_it_ends_and_never_releases_before_the_office_is_left(
    cluster: Cluster, turns: int
):
    left: list[str | None] = []

    async def slowly(*_: object) -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        left.append(cluster.server.holder)

    replica = await cluster.replica("a", on_stopped=slowly).start()
    assert replica.running is not None
    replica.running.cancel()
    for _ in range(turns):
        await asyncio.sleep(0)
    await replica.stop()
    assert left == ["a"] or cluster.server.holder == "a"
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_short_leases_for_tests_are_possible():
    assert LeaseTimings(1, 0.5, 0.1).lease_seconds == 1
    assert math.isclose(LeaseTimings(3, 2, 0.5).longest_call, 1)
