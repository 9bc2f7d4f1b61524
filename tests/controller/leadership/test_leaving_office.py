"""Handing the Lease over: at once when it is safe, not at all when it is not."""

from __future__ import annotations

import asyncio

import pytest

from controller.kube.errors import ApiUnreachable
from controller.leadership.fence import Term
from controller.testing import settle
from tests.controller.leadership.stand_in import HANGS, RELEASED, Cluster, Fault


async def test_a_clean_stop_hands_over_without_any_time_passing(cluster: Cluster):
    leader, standby = await cluster.leader_and_standby()
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
    leader, standby = await cluster.leader_and_standby()
    async with leader.term.fence.write():
        await leader.stop()
        assert cluster.server.holder == "a"
    assert 13 <= await cluster.seconds_until(standby) <= 17


async def test_with_a_write_that_was_never_answered_the_lease_is_not_released(cluster: Cluster):
    leader, _ = await cluster.leader_and_standby()
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
    leader.connection.script["replace"] = [Fault(before=0.5), Fault(before=1)]
    await cluster.clock.advance(2)  # a renewal is on its way
    assert leader.running is not None
    leader.running.cancel()
    await cluster.clock.advance(2)
    assert leader.connection.calls.count("replace") == 3
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


async def test_with_a_write_in_flight_not_even_the_same_process_begins_a_new_term(cluster: Cluster):
    replica = await cluster.replica("a").start()
    async with replica.term.fence.write():
        replica.elector.resign("the publisher hangs")
        await cluster.pass_time(14)
        assert len(replica.terms) == 1
    await cluster.seconds_until(replica, limit=5)
    assert replica.leads


async def test_a_term_not_released_is_followed_by_a_new_one_of_the_same_process(cluster: Cluster):
    replica = await cluster.replica("a").start()
    replica.connection.always = Fault(refused=500)
    await cluster.pass_time(12)
    assert not replica.leads
    replica.connection.always = Fault()
    assert await cluster.seconds_until(replica) <= 4.5
    first, second = replica.terms
    assert second.number > first.number
    assert cluster.server.transitions == [0, 1]
    assert first.fence.closed


async def test_one_process_takes_and_leaves_office_any_number_of_times(cluster: Cluster):
    replica = await cluster.replica("a").start()
    for _ in range(5):
        cluster.server.edit(holderIdentity="x")
        await settle()
        await cluster.seconds_until(replica)
    assert len(replica.terms) == 6
    assert [term for term, _ in replica.stops] == replica.terms[:5]
    assert {reason for _, reason in replica.stops} == {"the Lease is held by x"}


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
    waits = [await cluster.seconds_until(replica) for _ in range(8)]
    assert waits == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60], abs=0.5)


async def test_a_term_that_went_well_forgets_earlier_failures(cluster: Cluster):
    starts: list[Term] = []

    async def start(term: Term) -> None:
        starts.append(term)
        if len(starts) in {1, 2, 4}:
            raise RuntimeError("no templates")

    replica = await cluster.replica("a", on_started=start).start()
    assert await cluster.seconds_until(replica) == pytest.approx(1, abs=0.5)
    assert await cluster.seconds_until(replica) == pytest.approx(2, abs=0.5)
    cluster.server.edit(holderIdentity="")
    await cluster.seconds_until(replica)
    assert await cluster.seconds_until(replica) == pytest.approx(1, abs=0.5)


async def test_a_term_that_lasted_forgets_earlier_failures_even_if_it_ends_badly(cluster: Cluster):
    replica = await cluster.replica("a").start()
    for waited in (1, 2, 4):
        replica.elector.resign("the publisher does not start")
        assert await cluster.seconds_until(replica) == pytest.approx(waited, abs=0.5)
    await cluster.pass_time(61)
    replica.elector.resign("the publisher broke")
    assert await cluster.seconds_until(replica) == pytest.approx(1, abs=0.5)


async def test_resigning_gives_the_lease_back_and_stands_again_later(cluster: Cluster):
    leader, standby = await cluster.leader_and_standby()
    leader.elector.resign("the publisher does not start")
    await settle(60)
    assert standby.leads
    assert leader.stops == [(leader.terms[0], "the publisher does not start")]
    await standby.stop()
    assert await cluster.seconds_until(leader) <= 1.5


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
