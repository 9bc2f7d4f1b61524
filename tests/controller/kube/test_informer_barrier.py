"""The barrier L8: after refresh() the store is at least as new as a LIST begun after the call."""

from __future__ import annotations

import asyncio

import pytest

from controller.kube.errors import ApiError, ApiUnreachable
from controller.kube.store import Changes
from tests.controller.kube.standin import SELECTION, Answer, names, nap, page, refusal, thing


async def test_a_store_that_has_reached_the_server_is_spared_a_list(server, start):
    server.lists(page(10, thing("a", 1)), page(10, thing("a", 1), following="never followed"))
    informer = start()
    await server.next_watch()
    await informer.refresh()
    assert [query["limit"] for query in server.asked()] == ["500", "1"]
    assert "resourceVersion" not in server.asked()[1]


async def test_a_store_that_reaches_the_server_while_waiting_is_spared_a_list(server, start, until):
    server.lists(page(10), page(12))
    informer = start()
    watch = await server.next_watch()
    barrier = asyncio.create_task(informer.refresh())
    await until(lambda: server.asked(limit="1"))
    await watch.send("ADDED", thing("a", 12))
    await barrier
    assert names(informer) == ["a"]
    assert len(server.asked(limit="500")) == 1


async def test_a_stale_store_is_listed_again_before_refresh_returns(server, start, audience):
    server.lists(page(10, thing("old", 1)), page(20), page(21, thing("new", 15)))
    informer = start()
    await server.next_watch()  # half-open: delivers nothing
    await informer.refresh()
    assert names(informer) == ["new"]
    assert audience.changes[-1] == Changes(1, 0, 1, (("default", "old"), ("default", "new")))
    assert (await server.next_watch()).query["resourceVersion"] == "21"


async def test_versions_that_are_no_numbers_are_not_compared(server, start):
    opaque = [{"metadata": {"resourceVersion": version}, "items": []} for version in ("xyz", "abc", "abc")]
    server.lists(*(Answer(body=body) for body in opaque))
    informer = start()
    await server.next_watch()
    await informer.refresh()
    assert len(server.asked(limit="500")) == 2


async def test_a_server_behind_the_store_was_restored_and_is_listed_again(server, start):
    server.lists(page(1000, thing("lost", 900)), page(500), page(500))
    informer = start()
    await server.next_watch()
    await informer.refresh()
    assert names(informer) == []


async def test_refresh_raises_what_the_list_raised(server, start):
    server.lists(page(10), refusal(403, "Forbidden"))
    informer = start()
    await server.next_watch()
    with pytest.raises(ApiError, match="Forbidden"):
        await informer.refresh()


async def test_refresh_raises_when_the_full_list_fails_and_the_watch_goes_on(server, start, clock, until):
    server.lists(page(10), page(20), refusal(500, "InternalError"))
    informer = start()
    await server.next_watch()
    with pytest.raises(ApiError, match="InternalError"):
        await informer.refresh()
    await nap(clock, until)
    assert (await server.next_watch()).query["resourceVersion"] == "10"


async def test_a_list_under_way_is_too_old_for_the_barrier(server, start, until):
    gate = asyncio.Event()
    server.lists(gate, page(10, thing("old", 1)), page(20), page(20, thing("new", 15)))
    informer = start()
    await until(lambda: server.asked(limit="500"))
    server_had_begun = len(server.asked(limit="500"))
    barrier = asyncio.create_task(informer.refresh())
    await until(lambda: server.asked(limit="1"))
    gate.set()
    await barrier
    assert names(informer) == ["new"]
    assert len(server.asked(limit="500")) == server_had_begun + 1


async def test_refresh_does_not_wait_for_a_back_off(server, start, clock, audience, until):
    server.lists(refusal(500, "InternalError"), page(20), page(20, thing("a", 15)))
    informer = start()
    await until(lambda: clock.sleepers)
    await informer.refresh()
    assert names(informer) == ["a"]


async def test_refresh_without_a_running_watch_is_an_error(server, make):
    server.lists(page(10))
    with pytest.raises(ApiUnreachable, match="does not run"):
        await make(SELECTION).refresh()


async def test_an_informer_that_is_stopped_lets_nobody_wait(server, make, until):
    gate = asyncio.Event()
    server.lists(page(10), page(20), gate, page(20))
    informer = make(SELECTION)
    running = asyncio.create_task(informer.run())
    await server.next_watch()
    barrier = asyncio.create_task(informer.refresh())
    await until(lambda: len(server.asked(limit="500")) == 2)
    running.cancel()
    with pytest.raises(ApiUnreachable, match="was stopped"):
        await barrier
    gate.set()
