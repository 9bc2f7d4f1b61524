"""Who may take the Lease, and when; time passes only where a test says so."""

from __future__ import annotations

from typing import Any

import pytest
import structlog

from controller.kube.errors import ApiError
from controller.testing import settle
from tests.controller.leadership.stand_in import HANGS, RELEASED, Cluster, Fault


async def test_the_first_replica_creates_the_lease_and_leads_at_once(cluster: Cluster):
    replica = await cluster.replica("a").start()
    assert cluster.server.lease is not None
    assert cluster.server.holder == "a"
    assert replica.term.resource_version == cluster.server.lease["metadata"]["resourceVersion"]
    assert (replica.term.identity, replica.term.transitions) == ("a", 0)
    assert replica.elector.is_leader
    assert replica.elector.leader == "a"


async def test_of_two_that_stand_at_the_same_time_one_leads_and_none_complains(cluster: Cluster):
    replicas = [cluster.replica(identity) for identity in "ab"]
    for replica in replicas:
        replica.connection.script["create"] = [Fault(before=0.1)]
        await replica.start()
    with structlog.testing.capture_logs() as logs:
        await cluster.pass_time(5)
    assert sum(replica.leads for replica in replicas) == 1
    assert [entry for entry in logs if entry["log_level"] != "info"] == []


async def test_the_leader_stays_in_office_as_long_as_it_renews(cluster: Cluster):
    leader, standby = await cluster.leader_and_standby()
    await cluster.pass_time(300)
    assert leader.leads
    assert (len(leader.terms), standby.terms) == (1, [])


async def test_a_dead_leader_is_succeeded_after_its_lease_and_within_two_seconds_more(cluster: Cluster):
    leader, standby = await cluster.leader_and_standby()
    leader.connection.always = HANGS
    waited = await cluster.seconds_until(standby)
    assert 13 <= waited <= 17  # the last renewal was up to one retry period before
    assert standby.term.transitions == 1


async def test_without_a_working_watch_polling_does(cluster: Cluster):
    leader, standby = cluster.replica("a"), cluster.replica("b")
    standby.connection.watching = False
    await leader.start()
    await standby.start()
    await leader.stop()
    assert await cluster.seconds_until(standby) <= 4.5
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
    leader, standby = await cluster.leader_and_standby()
    leader.connection.always = HANGS
    cluster.server.cut_watches()
    cluster.server.delete()
    assert 15 <= await cluster.seconds_until(standby) <= 20


async def test_a_claim_whose_answer_was_lost_takes_no_office_but_the_next_one_does(cluster: Cluster):
    replica = cluster.replica("a")
    replica.connection.script["create"] = [Fault(lost="answer")]
    await replica.start()
    assert cluster.server.holder == "a"
    assert not replica.terms
    assert await cluster.seconds_until(replica) <= 4.5
    assert cluster.server.transitions == [0, 1]
    assert replica.term.transitions == 1


async def test_a_claim_answered_after_its_time_takes_no_office(cluster: Cluster):
    replica = cluster.replica("a")
    replica.connection.script["create"] = [Fault(after=6)]
    await replica.start()
    await cluster.pass_time(5.5)
    assert cluster.server.holder == "a"
    assert not replica.terms


async def test_a_claim_answered_after_the_process_was_stopped_for_long_takes_no_office(cluster: Cluster):
    replica = cluster.replica("a")
    replica.connection.script["create"] = [Fault(after=0.1)]
    await replica.start()
    replica.clock.awake.clear()
    await cluster.clock.advance(12)
    replica.clock.awake.set()
    await settle()
    assert cluster.server.holder == "a"
    assert replica.terms == []


async def test_a_claim_that_was_overtaken_before_its_answer_takes_no_office(cluster: Cluster):
    replica = cluster.replica("a")
    replica.connection.script["create"] = [Fault(after=1)]
    await replica.start()
    cluster.server.edit(holderIdentity="x")
    await cluster.pass_time(4)
    assert replica.terms == []


async def test_a_lease_of_the_same_name_that_it_never_claimed_is_waited_for(cluster: Cluster):
    cluster.server.put({"spec": {"holderIdentity": "a"}})
    replica = await cluster.replica("a").start()
    assert 14.5 <= await cluster.seconds_until(replica) <= 15.5


@pytest.mark.parametrize(
    "error", [ApiError(429, "TooManyRequests", "busy"), OSError("?"), KeyError("spec")], ids=repr
)
async def test_whatever_goes_wrong_is_one_failed_attempt(cluster: Cluster, error: Exception):
    replica = cluster.replica("a")
    replica.connection.script["get"] = [Fault(lost="request", error=error)]
    await replica.start()
    assert not replica.leads
    assert await cluster.seconds_until(replica) <= 4.5
