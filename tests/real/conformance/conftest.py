"""Every test here runs against the sandbox and against a real API server, so that the two cannot drift.

What is held is what the operator, kopf and kubectl rely on, and no more.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import pytest

from controller.sandbox.server import Sandbox
from tests.support.apiclient import ApiClient
from tests.support.apiserver import ApiServer

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NAMESPACES = "/api/v1/namespaces"
GROUP = "conformance.kopfbus.dev"
SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["size"],
            "properties": {
                "size": {"type": "integer", "minimum": 1, "maximum": 10},
                "ratio": {"type": "number", "minimum": 0, "exclusiveMinimum": True},
                "mode": {"type": "string", "enum": ["fast", "slow"], "default": "fast"},
                "name": {"type": "string", "minLength": 2, "maxLength": 5, "pattern": "^[a-z0-9]+$"},
                "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "labels": {
                    "type": "object",
                    "additionalProperties": {"type": "string"},
                    "maxProperties": 2,
                },
                "pace": {
                    "type": "object",
                    "default": {},
                    "properties": {"interval": {"type": "string", "default": "2s"}},
                },
                "note": {"type": "string", "nullable": True},
                "port": {"x-kubernetes-int-or-string": True},
                "since": {"type": "string", "format": "date-time"},
                "parts": {
                    "type": "array",
                    "minItems": 1,
                    "maxItems": 3,
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["name"],
                    "items": {
                        "type": "object",
                        "required": ["name"],
                        "properties": {
                            "name": {"type": "string"},
                            "weight": {"type": "integer", "default": 1},
                        },
                    },
                },
                "tags": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            },
        },
        "status": {"type": "object", "properties": {"phase": {"type": "string"}}},
    },
}


def definition(plural: str, kind: str) -> dict[str, Any]:
    """A CustomResourceDefinition with the schema above."""
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": SCHEMA},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"}],
    }
    names = {"plural": plural, "kind": kind}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {"group": GROUP, "scope": "Namespaced", "names": names, "versions": [version]},
    }


class Server(ApiClient):
    """One server under test, with a namespace of the test's own."""

    def __init__(
        self, session: aiohttp.ClientSession, sandbox: Sandbox | None, real: ApiServer | None
    ) -> None:
        super().__init__(session)
        self.namespace = f"test-{uuid.uuid4().hex[:10]}"
        self.configmaps = f"{NAMESPACES}/{self.namespace}/configmaps"
        self.secrets = f"{NAMESPACES}/{self.namespace}/secrets"
        self.leases = f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases"
        self.widgets = f"/apis/{GROUP}/v1/namespaces/{self.namespace}/widgets"
        self._sandbox = sandbox
        self._real = real

    async def forget_history(self) -> None:
        """Make every resourceVersion up to now too old to resume from."""
        if self._sandbox is not None:
            self._sandbox.compact()
        if self._real is not None:
            await self._real.compact()
            await self._real.restart()

    async def start_controllers(self) -> None:
        """Have garbage collected and namespaces emptied; in the sandbox that is always so."""
        if self._real is not None:
            await self._real.start_controllers()

    async def wait_until(self, path: str, condition: Callable[[int, dict[str, Any]], bool]) -> None:
        """Poll until status code and body are as wanted: both servers act in their own time."""
        async with asyncio.timeout(60):
            while True:
                reply = await self.get(path)
                if condition(reply.code, reply.body):
                    return
                await asyncio.sleep(0.02)


@pytest.fixture(params=["sandbox", "real"])
def real_server(request: pytest.FixtureRequest) -> ApiServer | None:
    """The real server, or None where the sandbox is to be tested."""
    return request.getfixturevalue("apiserver") if request.param == "real" else None


@pytest.fixture
async def server(real_server: ApiServer | None) -> AsyncIterator[Server]:
    """Either server, with an empty namespace."""
    async with AsyncExitStack() as stack:
        sandbox = None
        if real_server is None:
            sandbox = Sandbox()
            stack.push_async_callback(sandbox.stop)
            await sandbox.start()
            session = aiohttp.ClientSession(sandbox.url)
        else:
            session = real_server.session()
        await stack.enter_async_context(session)
        server = Server(session, sandbox, real_server)
        assert (await server.post(NAMESPACES, {"metadata": {"name": server.namespace}})).code == 201
        yield server


@pytest.fixture
async def widgets(server: Server) -> str:
    """The path of a custom resource's collection, once it is served."""
    reply = await server.post(DEFINITIONS, definition("widgets", "Widget"))
    assert reply.code in {201, 409}, reply.body
    await server.wait_until(server.widgets, lambda code, _: code == 200)
    return server.widgets
