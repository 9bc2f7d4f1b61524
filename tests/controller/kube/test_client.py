"""The client: every request bounded, every refusal explained, streams without end."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack

import pytest

from controller.kube import client as client_module
from controller.kube.client import KubeClient
from controller.kube.errors import ApiError, ApiUnreachable, KindNotFound
from controller.kube.resource import CONFIG_MAPS
from tests.controller.kube.conftest import kubeconfig
from tests.controller.kube.standin import THINGS, Answer, page, refusal

PATH = "/api/v1/namespaces/edge/configmaps"
OBJECT = {"metadata": {"name": "x", "namespace": "edge"}, "data": {"key": "välue"}}


# --- requests


async def test_get_returns_the_object(server, client):
    server.answer(f"{PATH}/x", Answer(body=OBJECT))
    assert await client.get(CONFIG_MAPS, "x", "edge") == OBJECT


async def test_create_posts_to_the_objects_namespace(server, client):
    server.answer(PATH, Answer(201, OBJECT), method="POST")
    assert await client.create(CONFIG_MAPS, OBJECT) == OBJECT
    assert json.loads(server.bodies[0]) == OBJECT


async def test_replace_puts_to_the_object(server, client):
    server.answer(f"{PATH}/x", Answer(body=OBJECT), method="PUT")
    assert await client.replace(CONFIG_MAPS, OBJECT) == OBJECT
    assert json.loads(server.bodies[0]) == OBJECT


async def test_a_merge_patch_says_what_it_is(server, client):
    server.answer(f"{PATH}/x/status", Answer(body=OBJECT), method="PATCH")
    await client.merge_patch(CONFIG_MAPS, "x", "edge", {"data": None}, subresource="status")
    assert server.requests[0].headers["Content-Type"] == "application/merge-patch+json"
    assert json.loads(server.bodies[0]) == {"data": None}


async def test_delete_names_its_preconditions(server, client):
    server.answer(f"{PATH}/x", Answer(body={"kind": "Status"}), method="DELETE")
    await client.delete(CONFIG_MAPS, "x", "edge", uid="u", resource_version="7")
    await client.delete(CONFIG_MAPS, "x", "edge")
    conditions = [json.loads(body)["preconditions"] for body in server.bodies]
    assert conditions == [{"uid": "u", "resourceVersion": "7"}, {}]


async def test_a_query_arrives_as_it_was_meant(server, client):
    server.lists(page(1))
    query = {"labelSelector": "app in (a,b),x!=y+z&%20", "continue": "a==/+b"}
    await client.request("GET", THINGS, query=query)
    assert server.asked() == [query]


async def test_the_token_of_the_kubeconfig_is_sent(server, client):
    server.lists(page(1))
    await client.request("GET", THINGS)
    assert server.requests[0].headers["Authorization"] == "Bearer first"


async def test_server_and_namespace_are_the_contexts(server, client):
    assert client.server == server.url
    assert client.default_namespace == "edge"


# --- refusals


async def test_a_refusal_carries_the_status(server, client):
    server.answer(PATH, refusal(409, "AlreadyExists", "x already exists"), method="POST")
    with pytest.raises(ApiError, match="409 AlreadyExists: x already exists") as caught:
        await client.create(CONFIG_MAPS, OBJECT)
    assert caught.value.status == 409


async def test_a_throttled_request_tells_how_long_to_wait(server, client):
    server.lists(refusal(429, "TooManyRequests", Retry_After="9"))
    with pytest.raises(ApiError) as caught:
        await client.request("GET", THINGS)
    assert caught.value.retry_after == 9


async def test_after_401_fresh_credentials_are_tried_once(server, client, tmp_path):
    kubeconfig(tmp_path, server.url, {"token": "second"})
    server.lists(refusal(401, "Unauthorized"), page(1))
    await client.request("GET", THINGS)
    assert [request.headers["Authorization"] for request in server.requests] == [
        "Bearer first",
        "Bearer second",
    ]


async def test_a_lasting_401_is_raised(server, client):
    server.lists(refusal(401, "Unauthorized"))
    with pytest.raises(ApiError, match="401 Unauthorized"):
        await client.request("GET", THINGS)
    assert len(server.requests) == 2


async def test_a_401_is_raised_when_the_kubeconfig_is_gone(server, client, tmp_path):
    (tmp_path / "kubeconfig").unlink()
    server.lists(refusal(401, "Unauthorized"))
    with pytest.raises(ApiError, match="401 Unauthorized"):
        await client.request("GET", THINGS)


async def test_many_401s_at_once_reload_once(server, client):
    server.lists(*[refusal(401, "Unauthorized")] * 5, page(1))
    await asyncio.gather(*(client.request("GET", THINGS) for _ in range(5)))
    assert client._credentials.version == 2


# --- no answer


async def test_an_answer_that_does_not_come_is_not_waited_for(server, client):
    server.lists(asyncio.Event(), page(1))
    with pytest.raises(ApiUnreachable, match=r"no answer within 0\.05 s"):
        await client.request("GET", THINGS, timeout=0.05)


async def test_a_refused_connection_names_the_server(tmp_path, unused_tcp_port):
    url = f"http://127.0.0.1:{unused_tcp_port}"
    client = await KubeClient.connect(kubeconfig(tmp_path, url))
    with pytest.raises(ApiUnreachable, match=f"{url}: .*Connect call failed") as caught:
        await client.request("GET", THINGS)
    assert "\n" not in str(caught.value)
    await client.close()


async def test_an_answer_that_is_no_json_is_not_the_api_servers(server, client):
    server.answer(f"{PATH}/x", Answer(body="<html>log in first</html>"))
    with pytest.raises(ApiUnreachable, match="no object"):
        await client.get(CONFIG_MAPS, "x", "edge")


# --- discovery


async def test_a_kind_is_found_with_its_plural_and_scope(client):
    thing = await client.discover("example.org/v1", "Thing")
    assert (thing.group, thing.version, thing.plural, thing.namespaced) == (
        "example.org",
        "v1",
        "things",
        True,
    )
    assert not (await client.discover("example.org/v1", "Room")).namespaced


async def test_the_core_group_has_a_path_of_its_own(server, client):
    entries = [{"kind": "ConfigMap", "name": "configmaps", "namespaced": True}]
    server.answer("/api/v1", Answer(body={"resources": entries}))
    assert await client.discover("v1", "ConfigMap") == CONFIG_MAPS


async def test_kinds_are_remembered_for_a_while(server, client, monkeypatch):
    await client.discover("example.org/v1", "Thing")
    await client.discover("example.org/v1", "Room")
    assert len(server.requests) == 1
    monkeypatch.setattr(client_module, "DISCOVERY_LIFETIME", -1.0)
    client._kinds.clear()
    await client.discover("example.org/v1", "Thing")
    await client.discover("example.org/v1", "Thing")
    assert len(server.requests) == 3


async def test_what_was_not_found_is_looked_for_again(server, client):
    with pytest.raises(KindNotFound, match=r"no kind Ghost in example\.org/v1"):
        await client.discover("example.org/v1", "Ghost")
    server.serve_kinds("Ghost")
    assert (await client.discover("example.org/v1", "Ghost")).plural == "ghosts"


async def test_an_unknown_group_is_an_unknown_kind(client):
    with pytest.raises(KindNotFound):
        await client.discover("nowhere.example.org/v1", "Thing")


async def test_a_server_in_trouble_does_not_make_a_kind_unknown(server, client):
    server.answer("/apis/example.org/v1", refusal(503, "ServiceUnavailable"))
    with pytest.raises(ApiError, match="503"):
        await client.discover("example.org/v1", "Thing")


# --- streams


async def test_lines_come_one_by_one_until_the_clean_end(server, client):
    async with client.stream(THINGS, {"watch": "true"}, idle_timeout=5) as stream:
        watch = await server.next_watch()
        await watch.write(b"one\ntwo\nth")
        await watch.write(b"ree\nunfinished")
        watch.end()
        assert [line async for line in stream] == [b"one", b"two", b"three"]


async def test_a_batch_is_what_has_arrived(server, client):
    async with client.stream(THINGS, {"watch": "true"}, idle_timeout=5) as stream:
        watch = await server.next_watch()
        await watch.write(b"one\ntwo\n")
        assert await stream.batch() == [b"one", b"two"]
        watch.end()
        assert await stream.batch() == []


async def test_silence_is_a_timeout(server, client):
    async with client.stream(THINGS, {"watch": "true"}, idle_timeout=0.05) as stream:
        with pytest.raises(TimeoutError):
            await stream.batch()


async def test_a_stream_may_last_longer_than_its_idle_timeout(server, client):
    async with client.stream(THINGS, {"watch": "true"}, idle_timeout=0.2) as stream:
        watch = await server.next_watch()
        for _ in range(4):
            await asyncio.sleep(0.1)
            await watch.write(b"line\n")
            assert await stream.batch() == [b"line"]


async def test_a_cut_stream_is_unreachable(server, client):
    async with client.stream(THINGS, {"watch": "true"}, idle_timeout=5) as stream:
        watch = await server.next_watch()
        watch.cut()
        with pytest.raises(ApiUnreachable, match="the watch broke"):
            await stream.batch()


async def test_a_refused_stream_raises_on_opening(server, client):
    server.refuse_watches(refusal(403, "Forbidden"))
    with pytest.raises(ApiError, match="403"):
        async with client.stream(THINGS, {"watch": "true"}, idle_timeout=5):
            pass


async def test_open_streams_leave_room_for_requests(server, client):
    server.lists(page(1))
    async with AsyncExitStack() as streams:
        for _ in range(150):
            await streams.enter_async_context(client.stream(THINGS, {"watch": "true"}, idle_timeout=60))
        await client.request("GET", THINGS, timeout=2)
