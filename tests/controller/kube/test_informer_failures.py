"""The informer's promise S3: failures are named, tried again in their own time, and end by themselves."""

from __future__ import annotations

from controller.kube.selection import Selection
from tests.controller.kube.standin import EXPIRED, Answer, Watch, names, nap, page, refusal, thing


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


async def test_a_kind_that_disappears_and_returns_is_looked_up_again(
    server, client, start, audience, clock, until
):
    server.lists(page(10), refusal(404, "NotFound"))
    start()
    await (await server.next_watch()).send("ERROR", EXPIRED)
    await nap(clock, until)
    await until(lambda: audience.failures)
    assert audience.failures[0].reason == "KindNotFound"
    moved = [{"kind": "Thing", "name": "thingies", "namespaced": True}]
    server.answer("/apis/example.org/v1", Answer(body={"resources": moved}))
    server.lists(page(20), path="/apis/example.org/v1/thingies")
    client._kinds.clear()  # it would forget by itself after DISCOVERY_LIFETIME
    await nap(clock, until, 2)
    await until(lambda: audience.recovered)


async def test_what_has_recovered_is_retried_soon_when_it_fails_again(server, start, clock, until):
    denied = refusal(403, "Forbidden")
    server.lists(denied, denied, denied, page(10), denied)
    start()
    for count in (1, 2, 3):
        await nap(clock, until, count)
    await (await server.next_watch()).send("ERROR", EXPIRED)
    await nap(clock, until, 4)
    assert await nap(clock, until, 5) <= 5


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
