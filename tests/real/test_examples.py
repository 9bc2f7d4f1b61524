"""The examples on a real API server: it publishes what `kopfbus render` prints."""

from __future__ import annotations

import asyncio

import pytest

from tests.examples.support import NAMES, published, rendered
from tests.support.apiserver import ApiServer


@pytest.mark.parametrize("name", NAMES)
def test_it_publishes_what_is_rendered_offline(name, apiserver: ApiServer) -> None:
    data = asyncio.run(published(apiserver.kubeconfig, name))
    assert data == {key: rendered(name, key) for key in data}
