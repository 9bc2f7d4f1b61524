"""A kopf operator against the sandbox: it lists, watches, and writes finalizers, annotations and status."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from contextlib import asynccontextmanager

from tests.controller.sandbox.test_kubectl import DEFINITION, WIDGET
from tests.support.apiclient import ApiClient, Reply

WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"
OPERATOR = """
import kopf

@kopf.on.create("example.com", "v1", "widgets")
def made(spec, patch, **_):
    patch.status["doubled"] = 2 * spec["size"]

@kopf.on.delete("example.com", "v1", "widgets")
def ended(**_):
    pass
"""


@asynccontextmanager
async def operator(folder, kubeconfig):
    """Runs kopf as its users do."""
    (folder / "kubeconfig").write_text(kubeconfig)
    (folder / "operator.py").write_text(OPERATOR)
    arguments = ("-m", "kopf", "run", "--standalone", "--namespace=default", str(folder / "operator.py"))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        env={"KUBECONFIG": str(folder / "kubeconfig"), "HOME": str(folder)},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.kill()
        await process.wait()


async def until(client: ApiClient, condition: Callable[[Reply], object]) -> Reply:
    async with asyncio.timeout(20):
        while True:
            reply = await client.get(f"{WIDGETS}/a")
            if condition(reply):
                return reply
            await asyncio.sleep(0.02)


async def test_kopf_handles_creation_and_deletion(sandbox, client, tmp_path):
    await client.post("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", DEFINITION)
    await until(client, lambda reply: reply.reason == "NotFound" and '"a" not found' in reply.body["message"])
    async with operator(tmp_path, sandbox.kubeconfig()):
        await client.post(WIDGETS, WIDGET)
        reply = await until(client, lambda reply: reply.body.get("status", {}).get("doubled"))
        assert reply.body["status"]["doubled"] == 6
        assert reply.body["metadata"]["finalizers"] == ["kopf.zalando.org/KopfFinalizerMarker"]
        assert "deletionTimestamp" in (await client.delete(f"{WIDGETS}/a")).body["metadata"]
        await until(client, lambda reply: reply.code == 404)
