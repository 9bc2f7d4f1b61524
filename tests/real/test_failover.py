"""Two real processes, one Lease: who writes when the leader is killed, stopped or asked to go (L5-L8)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from controller.kube.client import CONFIG_MAPS, CONFIG_TEMPLATES, LEASES, KubeClient
from tests.support.apiserver import ApiServer
from tests.support.cluster import (
    config_map,
    config_template,
    connected,
    edit,
    eventually,
    install_crd,
    target_with,
)
from tests.support.proxy import proxied
from tests.support.replica import ReplicaProcess

LEASE_DURATION = 3.0
"""Seconds; short, so that the tests are, yet as whole seconds, as a Lease has them."""
TIMINGS = ("--lease-duration", "3", "--renew-deadline", "2", "--retry-period", "0.4")


class Pair:
    """A namespace with a ConfigTemplate, and the replicas that serve it."""

    def __init__(self, apiserver: ApiServer, client: KubeClient, namespace: str, folder: Path) -> None:
        self.client = client
        self.namespace = namespace
        self._apiserver = apiserver
        self._folder = folder
        self.replicas: dict[str, ReplicaProcess] = {}

    async def start(self, name: str, kubeconfig: Path | None = None) -> ReplicaProcess:
        """Start a replica and wait until it stands for election."""
        replica = await ReplicaProcess.start(
            kubeconfig or self._apiserver.kubeconfig, self._folder / f"{name}.log",
            "--namespace", self.namespace, "--lease-namespace", self.namespace, "--identity", name, *TIMINGS,
        )  # fmt: skip
        self.replicas[name] = replica
        await replica.logged("leader.election.started", seconds=40)
        return replica

    async def holder(self) -> str:
        """The name of the replica in the Lease; empty for none."""
        with contextlib.suppress(Exception):
            lease = await self.client.get(LEASES, "kopfbus", self.namespace)
            return str(lease["spec"].get("holderIdentity") or "").partition("_")[0]
        return ""

    async def led_by(self, name: str, seconds: float = 20) -> None:
        """Wait until the Lease names that replica."""

        async def look() -> bool:
            return await self.holder() == name

        await eventually(look, f"{name} leads", seconds)

    async def set_host(self, host: str) -> float:
        """Change the watched object; the time."""
        await edit(self.client, CONFIG_MAPS, "a", self.namespace, partial(_set_host, host))
        return time.monotonic()

    async def published(self, host: str, seconds: float = 20) -> dict[str, Any]:
        """Wait until the target says so."""
        return await target_with(self.client, self.namespace, f"{host}\n", seconds=seconds)


def _set_host(host: str, obj: dict[str, Any]) -> None:
    obj["data"]["host"] = host


def _term(target: dict[str, Any]) -> int:
    return int(target["metadata"]["annotations"]["kopfbus.dev/term"])


@pytest.fixture
async def pair(apiserver: ApiServer, namespace: str, tmp_path: Path) -> AsyncIterator[Pair]:
    async with connected(apiserver.kubeconfig) as client:
        await install_crd(client)
        await client.create(CONFIG_MAPS, config_map(namespace, "a", host="first"))
        await client.create(CONFIG_TEMPLATES, config_template(namespace))
        pair = Pair(apiserver, client, namespace, tmp_path)
        try:
            yield pair
        finally:
            for replica in pair.replicas.values():
                with contextlib.suppress(ProcessLookupError):
                    replica.send(signal.SIGCONT)
                await replica.end(signal.SIGKILL)


async def test_after_kill_9_the_other_writes_within_lease_duration_and_2_seconds(pair: Pair) -> None:
    """L6; and what the dead leader had not written is written."""
    leader = await pair.start("one")
    await pair.published("first")
    await pair.start("two")
    before = _term(await pair.published("first"))
    await leader.end(signal.SIGKILL)
    killed = await pair.set_host("after")
    target = await pair.published("after", seconds=LEASE_DURATION + 10)
    assert time.monotonic() - killed <= LEASE_DURATION + 2
    assert _term(target) > before


async def test_a_clean_stop_hands_over_within_a_second(pair: Pair) -> None:
    """L6, C4: the other has written within 1 s; exit code 0 in under 5 s."""
    leader = await pair.start("one")
    await pair.published("first")
    await pair.start("two")
    term = _term(await pair.published("first"))
    stopped = time.monotonic()
    leader.send(signal.SIGTERM)

    async def taken_over() -> bool:
        return _term(await pair.client.get(CONFIG_MAPS, "web-out", pair.namespace)) > term

    await eventually(taken_over, "the next leader has written", 10)
    assert time.monotonic() - stopped <= 1.0
    assert await leader.end() == 0
    assert time.monotonic() - stopped <= 5.0


async def test_a_leader_stopped_past_its_lease_never_writes_over_its_successor(pair: Pair) -> None:
    """L4, L5: SIGSTOP, a successor, SIGCONT; then the same process takes office a second time."""
    first = await pair.start("one")
    await pair.published("first")
    second = await pair.start("two")
    first.send(signal.SIGSTOP)
    await pair.led_by("two")
    await pair.set_host("second")
    term = _term(await pair.published("second"))
    first.send(signal.SIGCONT)
    await first.logged("leader.lost")
    for host in ("third", "fourth"):
        await pair.set_host(host)
        assert _term(await pair.published(host)) == term
    await second.end(signal.SIGKILL)
    await pair.set_host("fifth")
    assert _term(await pair.published("fifth", seconds=LEASE_DURATION + 10)) > term
    assert first.log.count("leader.became") == 2


async def test_after_the_lease_was_deleted_one_leads_again(pair: Pair) -> None:
    """L1: a missing Lease is waited for like a held one, then taken."""
    await pair.start("one")
    await pair.published("first")
    await pair.start("two")
    term = _term(await pair.published("first"))
    await pair.client.delete(LEASES, "kopfbus", pair.namespace)
    await pair.set_host("second")
    target = await pair.published("second", seconds=LEASE_DURATION + 10)

    async def a_new_term_has_written() -> bool:
        return _term(await pair.client.get(CONFIG_MAPS, "web-out", pair.namespace)) > term

    await eventually(a_new_term_has_written, f"a term after {_term(target)}", LEASE_DURATION + 10)


async def test_a_standby_whose_watches_stalled_publishes_nothing_older(
    pair: Pair, apiserver: ApiServer, tmp_path: Path
) -> None:
    """L8: its store is behind when it takes office; the barrier makes it read afresh first."""
    copy = tmp_path / "through-proxy.yaml"
    async with proxied(apiserver.kubeconfig, apiserver.url, copy) as proxy:
        leader = await pair.start("one")
        await pair.published("first")
        await pair.start("two", copy)
        proxy.stall()
        await pair.set_host("newest")
        target = await pair.published("newest")
        seen: list[str] = []
        watching = asyncio.create_task(_record(pair, target["metadata"]["resourceVersion"], seen))
        await leader.end(signal.SIGKILL)
        await pair.led_by("two", LEASE_DURATION + 10)

        async def next_term_has_written() -> bool:
            return _term(await pair.client.get(CONFIG_MAPS, "web-out", pair.namespace)) > _term(target)

        await eventually(next_term_has_written, "the next term has written")

        async def recorded() -> bool:
            return bool(seen)

        await eventually(recorded, "the watch has seen that write")
        watching.cancel()
        assert set(seen) == {"newest\n"}


async def _record(pair: Pair, version: str, seen: list[str]) -> None:
    """Everything that is ever in the target."""
    query = {"watch": "true", "resourceVersion": version, "fieldSelector": "metadata.name=web-out"}
    async with pair.client.stream(CONFIG_MAPS.path(pair.namespace), query, idle_timeout=60) as lines:
        async for line in lines:
            seen.append(json.loads(line)["object"]["data"]["hosts"])  # noqa: PERF401 - as they come


async def test_an_api_server_restart_changes_nothing_and_nothing_is_missed(
    pair: Pair, apiserver: ApiServer
) -> None:
    """Targets stay; afterwards one leads, and a change arrives."""
    await pair.start("one")
    await pair.published("first")
    await pair.start("two")
    uid = (await pair.published("first"))["metadata"]["uid"]
    await apiserver.stop_apiserver()
    await apiserver.start_apiserver()

    async def changed() -> bool:
        with contextlib.suppress(Exception):
            await pair.set_host("second")
            return True
        return False

    await eventually(changed, "the API server answers")
    target = await pair.published("second", seconds=30)
    assert target["metadata"]["uid"] == uid
