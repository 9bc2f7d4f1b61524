"""The kopf handlers: they only publish, and only news."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Awaitable, Callable
from typing import Any, cast

import kopf
import pytest

from controller.events import ConfigResourceChanged
from controller.handlers import register
from events import Event

Deliver = Callable[[dict[str, Any]], Awaitable[object]]

OBJECT: dict[str, Any] = {
    "apiVersion": "kopfbus.dev/v1alpha1",
    "kind": "ConfigTemplate",
    "metadata": {
        "namespace": "edge",
        "name": "web",
        "uid": "u1",
        "resourceVersion": "5",
        "generation": 1,
    },
    "spec": {"outputs": []},
    "status": {"observedGeneration": 1},
}


@pytest.fixture
def published() -> list[Event]:
    return []


@pytest.fixture
def deliver(published: list[Event]) -> Deliver:
    """Hands a watch event to the handler as kopf would; its result."""
    registry = kopf.OperatorRegistry()
    register(registry, published.append)
    (handler,) = registry._watching.get_all_handlers()

    async def call(event: dict[str, Any]) -> object:
        return await cast("Callable[..., Awaitable[object]]", handler.fn)(event=event)

    return call


def seen(kind: str | None = "MODIFIED", **metadata: Any) -> dict[str, Any]:
    obj = copy.deepcopy(OBJECT)
    obj["metadata"].update(metadata)
    return {"type": kind, "object": obj}


async def test_a_config_template_is_published_without_its_status(deliver, published) -> None:
    await deliver(seen(None))
    (event,) = published
    assert isinstance(event, ConfigResourceChanged)
    assert (event.template, event.source, event.resource_version) == ("edge/web", "kopf", "5")
    assert not event.deleted
    assert event.body == {name: value for name, value in OBJECT.items() if name != "status"}


async def test_it_returns_nothing_for_kopf_to_write(deliver) -> None:
    """Anything else would make kopf patch the object, on standbys too."""
    assert await deliver(seen()) is None


async def test_a_status_write_wakes_nobody(deliver, published) -> None:
    await deliver(seen("ADDED"))
    await deliver(seen(resourceVersion="6"))
    assert len(published) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"generation": 2},
        {"uid": "u2"},
        {"deletionTimestamp": "2026-01-01T00:00:00Z"},
        {"annotations": {"kopfbus.dev/reconcile-requested-at": "noon"}},
    ],
    ids=lambda change: next(iter(change)),
)
async def test_what_concerns_the_operator_is_news_once(deliver, published, change) -> None:
    await deliver(seen())
    await deliver(seen(resourceVersion="6", **change))
    await deliver(seen(resourceVersion="7", **change))
    assert [event.resource_version for event in published] == ["5", "6"]


async def test_a_deletion_is_not_told_but_its_successor_is(deliver, published) -> None:
    """Kopf misses deletions during a relist, so nobody may rely on those that it sees."""
    await deliver(seen())
    await deliver(seen("DELETED"))
    assert len(published) == 1
    await deliver(seen("ADDED"))
    assert len(published) == 2


async def test_namesakes_in_other_namespaces_are_told_apart(deliver, published) -> None:
    await deliver(seen())
    await deliver(seen(namespace="core"))
    assert [event.template for event in published] == ["edge/web", "core/web"]


def test_it_is_kopfs_only_handler_and_its_id_is_explicit() -> None:
    """An id out of a qualified name would change with the code; other kinds of handlers would write."""
    registry = kopf.OperatorRegistry()
    register(registry, lambda _: None)
    (handler,) = registry._watching.get_all_handlers()
    assert handler.id == "config-template"
    others = (registry._changing, registry._spawning, registry._indexing, registry._webhooks)
    assert [list(other.get_all_handlers()) for other in others] == [[], [], [], []]


def test_it_is_a_coroutine_for_kopfs_loop() -> None:
    """A synchronous one would run in a thread of kopf's and go on after a stop."""
    registry = kopf.OperatorRegistry()
    register(registry, lambda _: None)
    (handler,) = registry._watching.get_all_handlers()
    assert asyncio.iscoroutinefunction(handler.fn)
