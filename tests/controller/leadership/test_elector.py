"""The elector as a whole: its identity, what it reports, and being cancelled anywhere."""

from __future__ import annotations

import asyncio
import math
import socket

import pytest

from controller.leadership.elector import make_identity
from controller.leadership.timings import LeaseTimings
from tests.controller.leadership.stand_in import Cluster


def test_identities_begin_with_the_host_name_and_are_never_the_same():
    first, second = make_identity(None), make_identity(None)
    assert first.startswith(f"{socket.gethostname()}_")
    assert first != second


def test_a_prefix_comes_before_the_identity_and_replaces_nothing():
    assert make_identity("blue").startswith(f"blue_{socket.gethostname()}_")
    assert make_identity("blue") != make_identity("blue")


async def test_every_new_leader_is_reported_once(cluster: Cluster):
    leader, standby = await cluster.leader_and_standby()
    await cluster.pass_time(10)
    await leader.stop()
    await cluster.pass_time(10)
    assert leader.leaders == ["a"]
    assert standby.leaders == ["a", "b"]
    assert standby.elector.leader == "b"


async def test_a_listener_that_fails_does_not_disturb_the_election(cluster: Cluster):
    replica = cluster.replica("a")
    replica.elector._on_new_leader = lambda _: 1 / 0  # type: ignore[assignment]  # fails on purpose
    await replica.start()
    assert replica.leads


@pytest.mark.parametrize("turns", range(40))
async def test_cancelled_at_any_point_it_leaves_office_and_no_task_behind(cluster: Cluster, turns: int):
    async def slowly(*_: object) -> None:
        for _turn in range(5):
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
        for _turn in range(5):
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
