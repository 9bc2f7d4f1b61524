"""The informer's promises S1, S2 and S5: the store is what the server has, each change told once."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

import pytest

from controller.kube.selection import Selection
from controller.kube.store import Changes
from tests.controller.kube.standin import EXPIRED, SELECTION, Answer, names, nap, page, thing

# --- S1, S2: list and watch


async def test_an_empty_list_is_synced(server, start, audience, until):
    server.lists(page(7))
    informer = start()
    await until(lambda: audience.synced)
    assert informer.synced
    assert len(informer.store) == 0
    assert audience.changes == []


async def test_a_list_is_read_page_by_page_and_watched_from_its_first_page(server, start, audience):
    server.lists(
        page(10, thing("a", 1), following="more"), page(12, thing("b", 2), following="last"), page(14)
    )
    informer = start()
    watch = await server.next_watch()
    assert names(informer) == ["a", "b"]
    assert watch.query["resourceVersion"] == "10"
    assert [query.get("continue") for query in server.asked(limit="500")] == [None, "more", "last"]
    assert audience.changes == [Changes(created=2, keys=(("default", "a"), ("default", "b")))]


async def test_nothing_is_in_the_store_before_the_last_page_is(server, start, until):
    gate = asyncio.Event()
    server.lists(page(10, thing("a", 1), following="more"), gate, page(10, thing("b", 2)))
    informer = start()
    await until(lambda: len(server.asked()) == 2)
    assert not informer.synced
    assert len(informer.store) == 0
    gate.set()
    await until(lambda: informer.synced)
    assert len(informer.store) == 2


async def test_a_watch_asks_for_bookmarks_and_ends_after_five_to_ten_minutes(server, start):
    server.lists(page(7))
    start()
    query = (await server.next_watch()).query
    assert query["allowWatchBookmarks"] == "true"
    assert 300 <= int(query["timeoutSeconds"]) <= 600


async def test_selectors_are_sent_with_every_page_and_with_the_watch(server, start):
    server.lists(page(10, following="more"), page(10))
    start(Selection("example.org/v1", "Thing", (), "app in (a,b)", "metadata.name!=c"))
    watch = await server.next_watch()
    for query in [*server.asked(), watch.query]:
        assert query["labelSelector"] == "app in (a,b)"
        assert query["fieldSelector"] == "metadata.name!=c"


async def test_events_change_the_store_and_are_reported_as_one_batch(server, start, audience, until):
    server.lists(page(10, thing("a", 1), thing("b", 2)))
    informer = start()
    watch = await server.next_watch()
    events = [
        ("ADDED", thing("c", 11)),
        ("MODIFIED", thing("a", 12, host="x")),
        ("DELETED", thing("b", 13)),
    ]
    lines = [json.dumps({"type": kind, "object": obj}).encode() for kind, obj in events]
    await watch.write(b"\n".join(lines) + b"\n")
    await until(lambda: len(audience.changes) == 2)
    assert names(informer) == ["a", "c"]
    assert audience.changes[1] == Changes(1, 1, 1, (("default", "c"), ("default", "a"), ("default", "b")))


async def test_a_clean_end_is_resumed_at_once_from_the_last_event(server, start, clock, until, audience):
    server.lists(page(10))
    start()
    watch = await server.next_watch()
    await watch.send("ADDED", thing("a", 11))
    watch.end()
    assert (await server.next_watch()).query["resourceVersion"] == "11"
    assert clock.naps == []
    assert audience.failures == []


async def test_a_broken_connection_is_resumed_at_once_without_a_list(server, start, clock, audience, until):
    server.lists(page(10))
    start()
    watch = await server.next_watch()
    await watch.send("ADDED", thing("a", 11))
    await until(lambda: audience.changes)
    watch.cut()
    assert (await server.next_watch()).query["resourceVersion"] == "11"
    assert len(server.asked()) == 1
    assert clock.naps == []
    assert audience.failures == []


async def test_a_bookmark_moves_the_place_to_resume_from(server, start):
    server.lists(page(10))
    start()
    watch = await server.next_watch()
    await watch.bookmark(500)
    watch.end()
    assert (await server.next_watch()).query["resourceVersion"] == "500"


@pytest.mark.parametrize("shape", ["event", "answer"])
async def test_after_410_a_new_list_makes_the_store_equal_to_the_server(
    server, start, audience, clock, until, shape
):
    server.lists(
        page(10, thing("kept", 1), thing("gone", 2), thing("changed", 3)),
        page(20, thing("kept", 1), thing("changed", 15, host="x"), thing("new", 16)),
    )
    informer = start()
    watch = await server.next_watch()
    if shape == "event":
        await watch.send("ERROR", EXPIRED)
    else:
        server.refuse_watches(Answer(410, EXPIRED))
        await watch.bookmark(11)
        watch.end()
    assert 0.4 <= await nap(clock, until) <= 0.8
    assert (await server.next_watch()).query["resourceVersion"] == "20"
    assert names(informer) == ["changed", "kept", "new"]
    assert audience.changes[1] == Changes(
        created=1,
        modified=1,
        deleted=1,
        keys=(("default", "gone"), ("default", "changed"), ("default", "new")),
    )
    assert audience.failures == []


async def test_an_expired_continue_token_begins_the_list_again(server, start, clock, audience, until):
    expired = Answer(410, {**EXPIRED, "metadata": {"continue": "inconsistent"}})
    server.lists(page(10, thing("a", 1), following="more"), expired, page(20, thing("b", 2)))
    informer = start()
    await nap(clock, until)
    assert (await server.next_watch()).query["resourceVersion"] == "20"
    assert names(informer) == ["b"]
    assert [query.get("continue") for query in server.asked()] == [None, "more", None]
    assert audience.failures == []


async def test_an_object_recreated_under_its_name_is_modified_even_with_equal_contents(
    server, start, audience, clock, until
):
    fields = ("metadata.uid",)
    server.lists(page(10, thing("a", 1, uid="first")), page(20, thing("a", 15, uid="second")))
    informer = start(Selection("example.org/v1", "Thing", ignore_fields=fields))
    await (await server.next_watch()).send("ERROR", EXPIRED)
    await nap(clock, until)
    await until(lambda: len(audience.changes) == 2)
    assert audience.changes[1].modified == 1
    assert informer.store.get("default", "a").uid == "second"


async def test_a_watch_that_ends_without_a_word_is_not_believed(server, start, clock, until):
    server.lists(page(1000, thing("a", 1)), page(500))
    informer = start()
    (await server.next_watch()).end()
    await nap(clock, until)
    assert (await server.next_watch()).query["resourceVersion"] == "500"
    assert names(informer) == []


async def test_a_silent_watch_is_not_believed_either(server, start, clock, until):
    server.lists(page(1000, thing("a", 1)), page(500))
    informer = start(idle_timeout=0.05)
    await server.next_watch()
    await nap(clock, until)
    await until(lambda: not len(informer.store))
    assert len(server.asked()) == 2


async def test_a_watch_that_falls_silent_is_listed_again_at_once(server, start, clock, until):
    server.lists(page(10, thing("a", 1)), page(500))
    informer = start(idle_timeout=0.1)
    await (await server.next_watch()).bookmark(11)
    await until(lambda: not len(informer.store))
    assert clock.naps == []


# --- S5 and bad objects


async def test_an_update_that_changes_nothing_but_bookkeeping_is_silent(server, start, audience, until):
    server.lists(page(10, thing("a", 1)))
    informer = start()
    watch = await server.next_watch()
    await watch.send("MODIFIED", {"apiVersion": "example.org/v1", "kind": "Thing", **thing("a", 11)})
    await watch.send("ADDED", thing("b", 12))
    await until(lambda: len(audience.changes) == 2)
    assert audience.changes[1].modified == 0
    assert informer.store.get("default", "a").resource_version == "11"


async def test_a_change_of_ignored_fields_only_is_silent(server, start, audience, until):
    server.lists(page(10, thing("a", 1, noise=1, host="x")))
    informer = start(Selection("example.org/v1", "Thing", ignore_fields=("spec.noise",)))
    watch = await server.next_watch()
    await watch.send("MODIFIED", thing("a", 11, noise=2, host="x"))
    await watch.send("MODIFIED", thing("a", 12, noise=3, host="y"))
    await until(lambda: sum(changes.modified for changes in audience.changes))
    assert sum(changes.modified for changes in audience.changes) == 1
    assert json.loads(informer.store.get("default", "a").raw)["spec"] == {"host": "y"}


@pytest.mark.parametrize(
    "line",
    [
        b'{"type": "ADDED", "object": {"metadata": {}}}\n',
        b'{"type": "ADDED", "object": null}\n',
        b'{"type": "BOOKMARK", "object": 3}\n',
        b'{"type": "ADDED"',
        b"\xff\xfe\n",
    ],
)
async def test_what_cannot_be_decoded_is_skipped(server, start, line, until):
    server.lists(page(10, {"spec": {}}, thing("a", 1)))
    informer = start()
    watch = await server.next_watch()
    assert names(informer) == ["a"]
    await watch.write(line.removesuffix(b"\n") + b"\n")
    await watch.send("ADDED", thing("b", 11))
    await until(lambda: len(informer.store) == 2)


async def test_an_answer_that_is_no_list_is_a_failure(server, start, audience, until):
    server.lists(Answer(body="<html>welcome</html>"))
    start()
    await until(lambda: audience.failures)
    assert audience.failures[0].reason == "Unavailable"
    assert "is no list" in audience.failures[0].message


async def test_run_again_lists_again_and_reports_the_difference(server, make, audience, until):
    server.lists(page(10, thing("a", 1), thing("b", 2)), page(20, thing("b", 2)))
    informer = make(SELECTION)
    running = asyncio.create_task(informer.run())
    await server.next_watch()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    running = asyncio.create_task(informer.run())
    assert (await server.next_watch()).query["resourceVersion"] == "20"
    assert audience.changes[1:] == [Changes(deleted=1, keys=(("default", "a"),))]
    assert audience.synced == 1
    running.cancel()
