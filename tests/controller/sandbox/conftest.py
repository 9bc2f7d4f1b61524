"""A running sandbox and a client for it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import aiohttp
import pytest

from controller.sandbox.server import Sandbox
from tests.support.apiclient import ApiClient


@pytest.fixture
async def sandbox() -> AsyncIterator[Sandbox]:
    """A sandbox of the test's own."""
    sandbox = Sandbox()
    await sandbox.start()
    yield sandbox
    await sandbox.stop()


@pytest.fixture
async def client(sandbox: Sandbox) -> AsyncIterator[ApiClient]:
    """Speaks with the sandbox."""
    async with aiohttp.ClientSession(sandbox.url) as session:
        yield ApiClient(session)
