"""A cluster in which only the test lets time pass."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.controller.leadership.stand_in import Cluster


@pytest.fixture
async def cluster() -> AsyncIterator[Cluster]:
    """An empty cluster; its replicas are stopped at the end."""
    cluster = Cluster()
    yield cluster
    await cluster.close()
    assert cluster.open_fences <= 1
