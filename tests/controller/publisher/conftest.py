"""A cluster, a clock and a term for components that write."""

from __future__ import annotations

import pytest

from controller.testing import FakeClock
from tests.controller.publisher.stand_in import Cluster, Office


@pytest.fixture
async def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def cluster() -> Cluster:
    return Cluster()


@pytest.fixture
async def office(cluster: Cluster, clock: FakeClock) -> Office:
    return Office(cluster, clock)
