"""The HTTP server: probes, metrics and debug endpoints, over real connections."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from controller.events import ConfigValidated
from controller.observability.address import HttpAddressError
from controller.observability.commentator import Commentator
from controller.observability.debug import debug_views
from controller.observability.http import HttpServer
from controller.observability.metrics import MetricsComponent
from events import EventBus
from tests.controller.observability.conftest import handled
from tests.controller.observability.exposition import parse
from tests.controller.observability.samples import sample


def server(address: str = "127.0.0.1:0", **others: Any) -> HttpServer:
    bus = EventBus()
    given: dict[str, Any] = {
        "registry": MetricsComponent(bus, version="1.2.3").registry,
        "readiness": {},
        "liveness": {},
        "debug": {"state": lambda: {"fine": True}},
    }
    return HttpServer(address, **{**given, **others})


@asynccontextmanager
async def serving(http: HttpServer) -> AsyncIterator[HttpServer]:
    await http.start()
    try:
        yield http
    finally:
        await http.stop()


async def get(http: HttpServer, path: str, host: str = "127.0.0.1", **headers: str) -> tuple[int, str]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{host}:{http.port}{path}", headers=headers) as response,
    ):
        return response.status, await response.text()


async def test_metrics_are_served_as_text():
    async with serving(server()) as http:
        status, text = await get(http, "/metrics")
    assert status == 200
    assert {"kopfbus_build_info", "kopfbus_bus_subscription_depth", "process_cpu_seconds"} <= {*parse(text)}


async def test_metrics_are_served_as_openmetrics_to_who_asks():
    async with serving(server()) as http:
        _, text = await get(http, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n")


@pytest.mark.parametrize("endpoint", ["livez", "readyz"])
async def test_a_probe_says_ok_and_lists_its_checks_on_request(endpoint):
    checks = {"config-list": lambda: True}
    async with serving(server(readiness=checks, liveness=checks)) as http:
        assert await get(http, f"/{endpoint}") == (200, "ok")
        status, text = await get(http, f"/{endpoint}?verbose")
    assert status == 200
    assert "[+]config-list ok\n" in text


async def test_a_replica_becomes_ready_and_is_not_ready_when_going_down():
    synced = False
    async with serving(server(readiness={"config-list": lambda: synced or "not listed yet"})) as http:
        status, text = await get(http, "/readyz")
        assert status == 503
        assert "[-]config-list failed: not listed yet" in text
        synced = True
        assert await get(http, "/readyz") == (200, "ok")
        http.going_down()
        assert (await get(http, "/readyz"))[0] == 503
        assert (await get(http, "/livez"))[0] == 200


async def test_a_loop_that_stands_still_is_not_alive():
    async with serving(server(liveness={"kopf-loop": lambda: 99.0})) as http:
        status, text = await get(http, "/livez")
    assert status == 503
    assert "[-]kopf-loop failed: has not turned for 99 s" in text


# --- debug


async def test_debug_endpoints_show_events_subscriptions_and_state(running):
    bus, commentator = EventBus(), Commentator()
    http = server(debug=debug_views(bus, commentator.recent, {"leadership": lambda: {"term": "7"}}))
    async with running(bus, commentator, http) as runtime:
        bus.publish(sample(ConfigValidated))
        await handled(runtime)
        async with aiohttp.ClientSession(f"http://127.0.0.1:{http.port}") as session:
            views = {}
            for name in ("events", "subscriptions", "state"):
                async with session.get(f"/debug/{name}") as response:
                    views[name] = await response.json()
    assert [event["type"] for event in views["events"]] == ["config.validated"]
    assert [each["name"] for each in views["subscriptions"]] == ["commentator"]
    assert views["subscriptions"][0]["delivery"] == "lossy"
    assert views["state"]["in_force"] == [{"template": "edge/web", "generation": 3}]
    assert views["state"]["bus"]["published"] == {"config.validated": 1}
    assert views["state"]["leadership"] == {"term": "7"}


async def test_where_others_can_reach_it_debug_is_refused():
    async with serving(server("0.0.0.0:0")) as http:
        status, text = await get(http, "/debug/state")
        assert (await get(http, "/livez"))[0] == 200
    assert status == 403
    assert "loopback" in text
    assert "fine" not in text


async def test_debug_can_be_allowed_anywhere():
    async with serving(server("0.0.0.0:0", debug_anywhere=True)) as http:
        assert (await get(http, "/debug/state"))[0] == 200


async def test_an_unknown_view_is_answered_with_those_there_are():
    async with serving(server()) as http:
        assert await get(http, "/debug/heap") == (404, "there are /debug/state\n")


async def test_of_an_object_that_is_not_plain_debug_shows_the_type_only():
    class Sealed:
        def __repr__(self) -> str:
            return "s3cr3t"

    async with serving(server(debug={"state": lambda: {"spec": Sealed()}})) as http:
        _, text = await get(http, "/debug/state")
    assert "<Sealed>" in text
    assert "s3cr3t" not in text


# --- listening


@pytest.mark.parametrize("address", ["", "off"])
async def test_off_means_no_server(address):
    async with serving(server(address)) as http:
        assert http.port is None


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
async def test_without_a_host_it_listens_on_ipv4_and_ipv6_at_one_port():
    async with serving(server(":0")) as http:
        assert (await get(http, "/livez", host="127.0.0.1"))[0] == 200
        assert (await get(http, "/livez", host="[::1]"))[0] == 200


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no IPv6")
async def test_an_ipv6_loopback_address_is_a_loopback_address():
    async with serving(server("[::1]:0")) as http:
        assert (await get(http, "/debug/state", host="[::1]"))[0] == 200


async def test_it_stops_at_once_in_spite_of_idle_half_asked_and_unread_connections():
    async with serving(server(debug={"state": lambda: "x" * 20_000_000})) as http:
        port = http.port
        connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        (idle, ask), (_, half), (unread, slow) = connections
        ask.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        half.write(b"GET /liv")
        slow.write(b"GET /debug/state HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await idle.readline() == await unread.readline() == b"HTTP/1.1 200 OK\r\n"
        async with asyncio.timeout(0.5):
            await http.stop()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)
        for _, writer in connections:
            writer.transport.abort()
    assert http.port is None


async def test_a_taken_port_ends_the_start_with_its_address(running):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(HttpAddressError, match=f"--http-address {address}: address already in use"):
            async with running(EventBus(), server(address)):
                pass


async def test_it_can_be_started_again():
    http = server()
    for _ in range(2):
        async with serving(http):
            assert (await get(http, "/livez"))[0] == 200
