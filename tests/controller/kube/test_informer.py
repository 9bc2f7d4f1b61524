"""The informer's promises S1 to S5 and L8, each against a scripted server."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial

import pytest

from controller.kube.client import KubeClient
from controller.kube.errors import ApiError, ApiUnreachable
from controller.kube.informer import Informer
from controller.kube.selection import Selection
from controller.kube.store import Changes
from tests.controller.kube.standin import (
    Answer,
    Audience,
    Pulse,
    PulsingClock,
    StandIn,
    Watch,
    page,
    refusal,
    thing,
)

SELECTION = Selection("example.org/v1", "Thing")
EXPIRED = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
Make = Callable[..., Informer]


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


async def nap(clock: PulsingClock, until, count: int = 1) -> float:
    """Wait for the informer's count-th sleep, let it pass, and return how long it was."""
    await until(lambda: len(clock.naps) >= count and clock.sleepers)
    seconds = clock.naps[count - 1]
    await clock.advance(seconds)
    return seconds


def names(informer: Informer) -> list[str]:
    return [obj.name for obj in informer.store.snapshot()]


# --- S1, S2: list and watch


async def test_an_empty_list_is_synced(server: StandIn, start: Make, audience, until):
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


# --- S3: failures


async def test_a_forbidden_kind_names_the_missing_rule_and_recovers_when_granted(
    server, start, audience, clock, until
):
    server.lists(refusal(403, "Forbidden", 'User "x" cannot list'), page(10, thing("a", 1)))
    informer = start()
    await until(lambda: audience.failures)
    failure = audience.failures[0]
    assert (failure.kind, failure.namespace, failure.status, failure.reason) == (
        "Thing",
        "",
        403,
        "Forbidden",
    )
    assert failure.missing_rule == (
        'apiGroups: ["example.org"], resources: ["things"], verbs: ["list", "watch"] (in a ClusterRole)'
    )
    assert informer.failure == failure
    assert informer.tried
    assert not informer.synced
    assert 2.5 <= await nap(clock, until) <= 5
    await until(lambda: audience.recovered)
    assert audience.recovered == [failure]
    assert informer.failure is None
    assert names(informer) == ["a"]


async def test_a_kind_that_appears_later_is_found(server, start, audience, clock, until):
    server.serve_kinds("Room")
    server.lists(page(10, thing("a", 1)))
    informer = start()
    await until(lambda: audience.failures)
    assert (audience.failures[0].reason, audience.failures[0].status) == ("KindNotFound", 404)
    server.serve_kinds("Thing")
    await nap(clock, until)
    await until(lambda: audience.recovered)
    assert informer.synced


async def test_a_kind_that_disappears_and_returns_is_looked_up_again(server, start, audience, clock, until):
    server.lists(page(10), refusal(404, "NotFound"), page(20))
    start()
    await (await server.next_watch()).send("ERROR", EXPIRED)
    await nap(clock, until)
    await until(lambda: audience.failures)
    assert audience.failures[0].reason == "KindNotFound"
    await nap(clock, until, 2)
    await until(lambda: audience.recovered)


async def test_a_bad_selector_is_told_apart(server, start, audience, until):
    server.lists(refusal(400, "BadRequest", "field label not supported: spec.nonsense"))
    start(Selection("example.org/v1", "Thing", field_selector="spec.nonsense=1"))
    await until(lambda: audience.failures)
    assert audience.failures[0].reason == "BadSelector"
    assert "field label not supported" in audience.failures[0].message


async def test_namespaces_of_a_cluster_scoped_kind_are_refused_not_ignored(server, start, audience, until):
    server.lists(page(10), path="/apis/example.org/v1/rooms")
    start(Selection("example.org/v1", "Room", ("edge",)))
    await until(lambda: audience.failures)
    assert audience.failures[0].reason == "BadSelector"
    assert "cluster-scoped" in audience.failures[0].message
    assert server.asked("/apis/example.org/v1/rooms") == []


async def test_the_same_failure_is_reported_once_and_another_one_again(server, start, audience, clock, until):
    server.lists(
        refusal(503, "ServiceUnavailable"), refusal(503, "ServiceUnavailable"), refusal(403, "Forbidden")
    )
    start()
    await nap(clock, until, 1)
    await nap(clock, until, 2)
    await until(lambda: len(audience.failures) == 2)
    assert [failure.reason for failure in audience.failures] == ["Unavailable", "Forbidden"]
    assert len(server.asked()) == 3


async def test_tries_become_rarer_until_a_stream_delivers(server, start, clock, until):
    trouble = [refusal(500, "InternalError")] * 4
    server.lists(*trouble, page(10, thing("a", 1)))
    start()
    naps = [await nap(clock, until, count) for count in range(1, 5)]
    for delay, limit in zip(naps, (0.8, 1.6, 3.2, 6.4), strict=True):
        assert limit / 2 <= delay <= limit
    watch = await server.next_watch()
    await watch.send("ADDED", thing("b", 11))
    server.refuse_watches(refusal(500, "InternalError"))
    watch.end()
    assert await nap(clock, until, 5) <= 0.8


async def test_429_is_waited_for_as_long_as_it_says(server, start, clock, until):
    server.lists(refusal(429, "TooManyRequests", "slow down", Retry_After="17"), page(10))
    informer = start()
    assert await nap(clock, until) == 17
    await until(lambda: informer.synced)


async def test_an_error_in_the_stream_other_than_410_is_a_failure_and_leads_to_a_list(
    server, start, audience, clock, until
):
    server.lists(page(10), page(20))
    start()
    status = {"kind": "Status", "code": 500, "reason": "InternalError", "message": "etcd"}
    await (await server.next_watch()).send("ERROR", status)
    await nap(clock, until)
    assert (await server.next_watch()).query["resourceVersion"] == "20"
    await until(lambda: audience.recovered)
    assert audience.recovered[0].message == "500 InternalError: etcd"


async def test_one_namespace_may_fail_while_others_go_on(server, start, audience, until):
    good, bad = (f"/apis/example.org/v1/namespaces/{name}/things" for name in ("good", "bad"))
    server.lists(page(10, thing("a", 1, namespace="good")), path=good)
    server.lists(refusal(403, "Forbidden"), path=bad)
    informer = start(Selection("example.org/v1", "Thing", ("good", "bad")))
    watch = await server.next_watch()
    await until(lambda: audience.failures)
    assert "in a Role of namespace bad" in audience.failures[0].missing_rule
    assert informer.tried
    assert not informer.synced
    assert watch.path == good
    await watch.send("ADDED", thing("b", 11, namespace="good"))
    await until(lambda: len(informer.store) == 2)
    assert audience.synced == 0


async def test_a_namespaces_relist_leaves_the_others_objects(server, start, audience, clock, until):
    one, two = (f"/apis/example.org/v1/namespaces/{name}/things" for name in ("one", "two"))
    server.lists(page(10, thing("a", 1, namespace="one")), page(20), path=one)
    server.lists(page(10, thing("b", 2, namespace="two")), path=two)
    informer = start(Selection("example.org/v1", "Thing", ("one", "two")))
    watches: dict[str, Watch] = {}
    for _ in range(2):
        watch = await server.next_watch()
        watches[watch.path] = watch
    assert audience.synced == 1
    await watches[one].send("ERROR", EXPIRED)
    await nap(clock, until)
    await until(lambda: len(informer.store) == 1)
    assert names(informer) == ["b"]


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


# --- L8: the barrier


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
