"""The sandbox as a server: starting and stopping it, and what it says about what it leaves out."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import yaml

from controller.sandbox.server import NAMESPACES, Sandbox

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
VERSION = {
    "name": "v1",
    "served": True,
    "storage": True,
    "schema": {"openAPIV3Schema": {"type": "object"}},
}
DEFINITION: dict[str, dict[str, Any]] = {
    "metadata": {"name": "things.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "things", "kind": "Thing"},
        "versions": [VERSION],
    },
}


async def test_two_namespaces_exist_from_the_start(client):
    assert (await client.get("/api/v1/namespaces")).names == sorted(NAMESPACES)


async def test_the_kubeconfig_leads_to_the_server(sandbox):
    config = yaml.safe_load(sandbox.kubeconfig())
    assert config["clusters"][0]["cluster"]["server"] == sandbox.url
    assert config["current-context"] == config["contexts"][0]["name"]


async def test_a_taken_port_is_an_error(sandbox):
    port = int(sandbox.url.rpartition(":")[2])
    second = Sandbox()
    with pytest.raises(OSError, match="address already in use"):
        await second.start(port=port)
    await second.stop()


async def test_stopping_ends_open_watches(sandbox, client):
    async with client.watch(CONFIGMAPS) as watch:
        reading = asyncio.create_task(watch.rest())
        await asyncio.sleep(0)
        await asyncio.wait_for(sandbox.stop(), 2)
        with pytest.raises(Exception, match=r"(?i)payload|connection"):
            await asyncio.wait_for(reading, 2)


async def test_a_sandbox_never_started_can_be_stopped():
    await Sandbox().stop()


async def test_the_watches_of_a_kind_end_with_its_definition(client):
    await client.post(DEFINITIONS, DEFINITION)
    path = "/apis/example.com/v1/namespaces/default/things"
    async with asyncio.timeout(2):
        while (await client.get(path)).code != 200:
            await asyncio.sleep(0)
        async with client.watch(path) as watch:
            await client.delete(f"{DEFINITIONS}/things.example.com")
            assert await watch.rest() == []


@pytest.mark.parametrize(
    ("method", "path", "body", "content_type", "code"),
    [
        ("GET", "/apis/batch/v1/jobs", None, "application/json", 404),
        ("GET", "/metrics", None, "application/json", 404),
        ("POST", "/metrics", {}, "application/json", 405),
        ("GET", "/api/v1/namespaces/default/pods/a/log", None, "application/json", 404),
        ("POST", f"{CONFIGMAPS}?dryRun=All", {"metadata": {"name": "a"}}, "application/json", 405),
        ("POST", CONFIGMAPS, b"metadata: {name: a}", "application/yaml", 415),
        ("POST", CONFIGMAPS, b"k8s\0", "application/vnd.kubernetes.protobuf", 415),
        ("PATCH", f"{CONFIGMAPS}/a", {}, "application/apply-patch+yaml", 415),
        ("PATCH", f"{CONFIGMAPS}/a", {"a": [1]}, "application/strategic-merge-patch+json", 415),
        ("DELETE", f"{CONFIGMAPS}/kept", {"propagationPolicy": "Orphan"}, "application/json", 405),
        ("DELETE", f"{CONFIGMAPS}/kept?propagationPolicy=Foreground", None, "application/json", 405),
        ("DELETE", "/api/v1/namespaces", None, "application/json", 405),
    ],
)
async def test_what_is_left_out_is_refused_in_so_many_words(client, method, path, body, content_type, code):
    await client.post(CONFIGMAPS, {"metadata": {"name": "kept"}})
    reply = await client.call(method, path, body, content_type=content_type)
    assert reply.code == code
    assert reply.body["message"].endswith("not supported by the sandbox")
    assert (await client.get(f"{CONFIGMAPS}/kept")).code == 200


async def test_a_definition_with_two_versions_is_refused(client):
    spec = DEFINITION["spec"] | {"versions": [VERSION, VERSION | {"name": "v2", "storage": False}]}
    reply = await client.post(DEFINITIONS, DEFINITION | {"spec": spec})
    assert reply.code == 422
    assert "exactly one version" in reply.body["message"]


async def test_a_strategic_patch_that_is_plain_passes_for_built_in_kinds(client):
    await client.post(CONFIGMAPS, {"metadata": {"name": "a"}, "data": {"k": "v"}})
    reply = await client.patch(
        f"{CONFIGMAPS}/a", {"data": {"k": "w"}}, "application/strategic-merge-patch+json"
    )
    assert reply.body["data"] == {"k": "w"}


async def test_a_bug_is_an_internal_error_and_the_server_lives_on(sandbox, client, monkeypatch, caplog):
    monkeypatch.setattr(sandbox._registry, "get", lambda target: 1 / 0)
    reply = await client.get(f"{CONFIGMAPS}/a")
    assert (reply.code, reply.reason) == (500, "InternalError")
    assert "ZeroDivisionError" in caplog.text
    assert (await client.get(CONFIGMAPS)).code == 200
