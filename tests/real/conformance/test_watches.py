"""WATCH: resuming, selections, bookmarks, and what happens when the history is gone."""

from __future__ import annotations

import pytest

from tests.real.conformance.conftest import Server
from tests.support.apiclient import Reply


async def made(server: Server, name: str, **labels: str) -> Reply:
    reply = await server.post(server.configmaps, {"metadata": {"name": name, "labels": labels}})
    assert reply.code == 201, reply.body
    return reply


async def test_a_watch_resumes_after_the_version_it_names(server):
    first = await made(server, "a")
    await made(server, "b")
    await server.patch(f"{server.configmaps}/a", {"data": {"k": "v"}})
    await server.delete(f"{server.configmaps}/b")
    async with server.watch(server.configmaps, resourceVersion=first.version) as watch:
        assert await watch.take(3) == [("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "b")]
        await made(server, "c")
        assert await watch.take(1) == [("ADDED", "c")]


async def test_a_watch_without_version_begins_with_the_present_state(server):
    await made(server, "b")
    await made(server, "a")
    async with server.watch(server.configmaps) as watch:
        assert await watch.take(2) == [("ADDED", "a"), ("ADDED", "b")]
        await made(server, "c")
        assert await watch.take(1) == [("ADDED", "c")]


async def test_watched_objects_carry_their_type_and_version(server):
    start = (await server.get(server.configmaps)).version
    made_as = await made(server, "a")
    async with server.watch(server.configmaps, resourceVersion=start) as watch:
        event = await watch.next()
    assert (event["object"]["apiVersion"], event["object"]["kind"]) == ("v1", "ConfigMap")
    assert event["object"]["metadata"]["resourceVersion"] == made_as.version


async def test_a_deletion_carries_the_last_state_and_a_version_of_its_own(server):
    created = await made(server, "a", colour="red")
    await server.delete(f"{server.configmaps}/a")
    async with server.watch(server.configmaps, resourceVersion=created.version) as watch:
        event = await watch.next()
    assert event["type"] == "DELETED"
    assert event["object"]["metadata"]["labels"] == {"colour": "red"}
    assert int(event["object"]["metadata"]["resourceVersion"]) > int(created.version)


async def test_objects_come_into_a_selection_and_leave_it(server):
    start = (await made(server, "a", colour="blue")).version
    path = f"{server.configmaps}/a"
    async with server.watch(server.configmaps, resourceVersion=start, labelSelector="colour=red") as watch:
        for labels in ({"colour": "red"}, {"size": "1"}, {"colour": "blue"}):
            await server.patch(path, {"metadata": {"labels": labels}})
        added, modified, deleted = [await watch.next() for _ in range(3)]
    assert [event["type"] for event in (added, modified, deleted)] == ["ADDED", "MODIFIED", "DELETED"]
    assert deleted["object"]["metadata"]["labels"] == {"colour": "red", "size": "1"}
    assert int(deleted["object"]["metadata"]["resourceVersion"]) > int(
        modified["object"]["metadata"]["resourceVersion"]
    )


async def test_a_watch_sees_one_object_by_name(server):
    start = (await server.get(server.configmaps)).version
    async with server.watch(
        server.configmaps, resourceVersion=start, fieldSelector="metadata.name=b"
    ) as watch:
        await made(server, "a")
        await made(server, "b")
        assert await watch.take(1) == [("ADDED", "b")]


async def test_an_update_that_changes_nothing_wakes_nobody(server):
    start = (await made(server, "a", colour="red")).version
    async with server.watch(server.configmaps, resourceVersion=start) as watch:
        await server.patch(f"{server.configmaps}/a", {"metadata": {"labels": {"colour": "red"}}})
        await made(server, "b")
        assert await watch.take(1) == [("ADDED", "b")]


async def test_the_end_of_the_time_ends_a_watch_cleanly(server):
    await made(server, "a")
    async with server.watch(server.configmaps, timeoutSeconds="1") as watch:
        assert [event["type"] for event in await watch.rest()] == ["ADDED"]


async def test_bookmarks_tell_how_far_a_quiet_watch_has_come(server):
    start = (await server.get(server.configmaps)).version
    elsewhere = "/api/v1/namespaces/default/configmaps"
    async with server.watch(
        server.configmaps, resourceVersion=start, allowWatchBookmarks="true", timeoutSeconds="3"
    ) as watch:
        await server.call("DELETE", f"{elsewhere}/bookmarked")
        other = await server.post(elsewhere, {"metadata": {"name": "bookmarked"}})
        event = await watch.next()
    assert event["type"] == "BOOKMARK"
    assert event["object"]["kind"] == "ConfigMap"
    assert int(event["object"]["metadata"]["resourceVersion"]) >= int(other.version)


async def test_a_watch_from_before_a_compaction_gets_410_in_its_stream(server):
    first = await made(server, "a")
    await made(server, "b")
    await server.forget_history()
    async with server.watch(server.configmaps, resourceVersion=first.version, timeoutSeconds="5") as watch:
        (event,) = await watch.rest()
    assert event["type"] == "ERROR"
    assert (event["object"]["code"], event["object"]["reason"]) == (410, "Expired")


async def test_a_watch_from_the_future_stays_silent(server):
    ahead = str(int((await server.get(server.configmaps)).version) + 100_000)
    async with server.watch(
        server.configmaps, resourceVersion=ahead, allowWatchBookmarks="true", timeoutSeconds="1"
    ) as watch:
        await made(server, "a")
        assert await watch.rest() == []


async def test_a_streamed_list_ends_with_a_marked_bookmark(server):
    await made(server, "a")
    async with server.watch(
        server.configmaps,
        sendInitialEvents="true",
        resourceVersionMatch="NotOlderThan",
        allowWatchBookmarks="true",
    ) as watch:
        assert await watch.take(1) == [("ADDED", "a")]
        event = await watch.next()
    assert event["type"] == "BOOKMARK"
    assert event["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"labelSelector": "a b"}, 400),
        ({"fieldSelector": "data.k=v"}, 400),
        ({"sendInitialEvents": "true"}, 422),
    ],
)
async def test_a_bad_query_is_refused_before_the_stream_begins(server, query, code):
    assert (await server.get(server.configmaps, watch="1", timeoutSeconds="1", **query)).code == code
