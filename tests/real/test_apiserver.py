"""The harness itself: what the other tests against the real server rely on."""

from __future__ import annotations

import asyncio
import os
import select
import subprocess
import sys
from typing import Any

import aiohttp
import pytest

from tests.support.apiserver import ApiServer


async def create(api: aiohttp.ClientSession, namespace: str, name: str) -> dict[str, Any]:
    async with api.post(
        f"/api/v1/namespaces/{namespace}/configmaps", json={"metadata": {"name": name}}
    ) as response:
        assert response.status == 201, await response.text()
        return dict(await response.json())


async def test_stored_objects_survive_a_restart_of_the_api_server(apiserver, api, namespace):
    await create(api, namespace, "kept")
    await apiserver.stop_apiserver()
    with pytest.raises(aiohttp.ClientConnectionError):
        await api.get("/readyz")
    await apiserver.start_apiserver()
    async with api.get(f"/api/v1/namespaces/{namespace}/configmaps/kept") as response:
        assert response.status == 200


async def test_a_restricted_user_may_do_nothing_until_granted(apiserver, namespace):
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    async with apiserver.session("user9") as session, session.get(path) as response:
        assert response.status == 403
        assert 'User "user9" cannot list' in (await response.json())["message"]


async def test_compaction_and_restart_make_old_resource_versions_too_old(apiserver, api, namespace):
    first = await create(api, namespace, "first")
    await create(api, namespace, "second")
    await apiserver.compact()
    await apiserver.restart()
    query = {"watch": "1", "resourceVersion": first["metadata"]["resourceVersion"], "timeoutSeconds": "5"}
    async with api.get(f"/api/v1/namespaces/{namespace}/configmaps", params=query) as response:
        event = await asyncio.wait_for(response.content.readline(), 10)
        assert response.status == 200
        assert b'"ERROR"' in event
        assert b'"code":410' in event


async def test_controllers_collect_the_dependents_of_a_deleted_owner(controllers, api, namespace):
    owner = await create(api, namespace, "owner")
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["metadata"]["uid"]}
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    dependent = {"metadata": {"name": "dependent", "ownerReferences": [reference]}}
    async with api.post(path, json=dependent) as response:
        version = (await response.json())["metadata"]["resourceVersion"]
    query = {"watch": "1", "resourceVersion": version, "fieldSelector": "metadata.name=dependent"}
    async with api.get(path, params=query) as events:
        (await api.delete(f"{path}/owner")).release()
        event = await asyncio.wait_for(events.content.readline(), 60)
    assert b'"DELETED"' in event


def test_the_server_dies_with_the_process_that_started_it():
    code = (
        "import os, subprocess, sys; from tests.support import tethered\n"
        "command = [sys.executable, tethered.__file__, str(os.getpid()), '/bin/cat']\n"
        "print(subprocess.Popen(command).pid, flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        child = os.pidfd_open(int(parent.stdout.readline()))
        parent.kill()
        ended, _, _ = select.select([child], [], [], 10)
        os.close(child)
    assert ended


def test_an_unknown_user_is_refused(apiserver: ApiServer):
    with pytest.raises(ValueError, match="user1"):
        apiserver.kubeconfig_for("nobody")
