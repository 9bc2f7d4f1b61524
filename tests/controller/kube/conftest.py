"""Fixtures: a scripted API server, and a client that found it through a kubeconfig."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from controller.kube.client import KubeClient
from controller.kube.informer import Informer
from controller.kube.selection import Selection
from tests.controller.kube.standin import SELECTION, Audience, Pulse, PulsingClock, StandIn

Make = Callable[..., Informer]


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


@pytest.fixture
def clock(pulse):
    return PulsingClock(pulse)


@pytest.fixture
def audience(pulse):
    return Audience(pulse)


@pytest.fixture
def make(client: KubeClient, clock: PulsingClock, audience: Audience) -> Make:
    """Makes informers whose callbacks the audience takes."""
    return partial(
        Informer,
        client,
        clock=clock,
        on_change=audience.on_change,
        on_synced=audience.on_synced,
        on_failed=audience.on_failed,
        on_recovered=audience.on_recovered,
    )


@pytest.fixture
async def start(make: Make) -> AsyncIterator[Make]:
    """Starts informers, and stops them in the end."""
    tasks = []

    def begin(selection: Selection = SELECTION, **settings: float) -> Informer:
        informer = make(selection, **settings)
        tasks.append(asyncio.create_task(informer.run()))
        return informer

    yield begin
    for task in tasks:
        task.cancel()
    for task in tasks:
        with suppress(asyncio.CancelledError):
            await task


@pytest.fixture
def until(pulse: Pulse) -> Callable[[Callable[[], object]], Awaitable[None]]:
    return pulse.until
