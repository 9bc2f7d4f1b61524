"""Fixtures for tests against a real kube-apiserver: one server per run, a fresh namespace per test."""

from __future__ import annotations

import asyncio
import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator

import aiohttp
import pytest

from tests.support.apiserver import ApiServer
from tools import envtest


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build the programs now if a selected test needs them: it takes longer than any test may."""
    fixtures = {name for item in session.items for name in getattr(item, "fixturenames", ())}
    if fixtures & {"apiserver", "real_server"} and not session.config.option.collectonly:
        try:
            envtest.find_assets(build=True)
        except (FileNotFoundError, subprocess.CalledProcessError) as error:
            raise pytest.UsageError(f"no API server for tests/real: {error}") from error


@pytest.fixture(scope="session")
def apiserver() -> Iterator[ApiServer]:
    """A running control plane, shared by the whole session: a test that stops it starts it again."""
    assets = envtest.find_assets(build=False)
    if assets is None:
        pytest.skip(envtest.HOW_TO_GET)
    server = ApiServer(assets)
    try:
        asyncio.run(server.start())
        yield server
    finally:
        asyncio.run(server.stop())


@pytest.fixture
async def api(apiserver: ApiServer) -> AsyncIterator[aiohttp.ClientSession]:
    """A raw client with the rights of `admin`; paths are relative to the server (`/api/v1/...`)."""
    async with apiserver.session() as session:
        yield session


@pytest.fixture
async def namespace(api: aiohttp.ClientSession) -> str:
    """The name of a namespace of the test's own; it stays, the whole server is thrown away."""
    name = f"test-{uuid.uuid4().hex[:10]}"
    manifest = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    async with api.post("/api/v1/namespaces", json=manifest) as response:
        assert response.status == 201, await response.text()
    return name


@pytest.fixture
async def controllers(apiserver: ApiServer) -> None:
    """Garbage collection and namespace deletion run; skips where there is no kube-controller-manager."""
    try:
        await apiserver.start_controllers()
    except FileNotFoundError as error:
        pytest.skip(str(error))
