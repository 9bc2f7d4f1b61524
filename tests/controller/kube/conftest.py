"""Fixtures: a scripted API server, and a client that found it through a kubeconfig."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from controller.kube.client import KubeClient
from tests.controller.kube.standin import Pulse, StandIn


def kubeconfig(folder: Path, server: str, user: Mapping[str, object] | None = None) -> str:
    """Write a kubeconfig with one context and return its path."""
    path = folder / "kubeconfig"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "here", "cluster": {"server": server}}],
        "users": [{"name": "me", "user": user or {"token": "first"}}],
        "contexts": [{"name": "mine", "context": {"cluster": "here", "user": "me", "namespace": "edge"}}],
        "current-context": "mine",
    }
    path.write_text(json.dumps(document))
    return str(path)


@pytest.fixture
def pulse() -> Pulse:
    return Pulse()


@pytest.fixture
async def server(pulse: Pulse) -> AsyncIterator[StandIn]:
    standin = StandIn(pulse)
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", standin.handle)
    runner = TestServer(application)
    await runner.start_server()
    standin.url = str(runner.make_url("/")).rstrip("/")
    yield standin
    standin.end_watches()
    await runner.close()


@pytest.fixture
async def client(server: StandIn, tmp_path: Path) -> AsyncIterator[KubeClient]:
    connected = await KubeClient.connect(kubeconfig(tmp_path, server.url))
    yield connected
    await connected.close()
