"""The watches of ConfigTemplates: shared, replaced one by one, proven fresh in a term (S2-S4, L8)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from controller.config.model import ConfigTemplateSpec, parse_spec
from controller.events import (
    ComponentFailed,
    ConfigInvalid,
    ConfigListComplete,
    ConfigRemoved,
    ConfigValidated,
    IndexDropped,
    IndexSynchronized,
    LeaderBecame,
    LeaderLost,
    ResourceIndexUpdated,
    ResourceSyncComplete,
    ResourceWatchFailed,
    ResourceWatchRecovered,
    ResourceWatchStarted,
    ResourceWatchStopped,
)
from controller.kube.client import KubeClient
from controller.kube.errors import ApiError
from controller.kube.selection import FailureReason, Selection
from controller.kube.watcher import Watcher, selections
from controller.problems import Problem
from controller.testing import FakeClock, settle
from tests.controller.config.specs import MINIMAL
from tests.controller.kube.fake_informer import FakeInformer, failure, faked, stored
from tests.controller.kube.standin import Pulse, PulsingClock, StandIn, page, thing
from tests.controller.support import Stage, running, until


def spec(**watches: dict[str, Any] | str) -> ConfigTemplateSpec:
    """A spec that watches kinds, by name."""
    listed = []
    for name, watch in watches.items():
        settings = {"kind": watch} if isinstance(watch, str) else watch
        listed.append({"name": name, "apiVersion": "v1", **settings})
    return parse_spec({**MINIMAL, "watches": listed}, strict=True)


def validated(
    generation: int = 1, *, template: str = "edge/web", uid: str = "u1", **watches: dict[str, Any] | str
) -> ConfigValidated:
    return ConfigValidated(template=template, uid=uid, generation=generation, spec=spec(**watches))


def invalid(generation: int, *, template: str = "edge/web", uid: str = "u1") -> ConfigInvalid:
    return ConfigInvalid(
        template=template, uid=uid, generation=generation, reason="X", problems=(Problem(message="no"),)
    )


def listed(term: str, **generations: int) -> ConfigListComplete:
    """Names in namespace edge, all with uid u1."""
    return ConfigListComplete(
        term=term, generations=tuple((f"edge/{name}", "u1", number) for name, number in generations.items())
    )


class Post:
    """A watcher whose informers are fakes."""

    def __init__(self, made: list[FakeInformer]) -> None:
        self.informers = made
        """All that were ever made."""
        self.clock = FakeClock()
        self.watcher = Watcher(cast("KubeClient", None), self.clock)
        self.stage: Stage

    async def tell(self, *events: Any) -> None:
        self.stage.publish(*events)
        await self.stage.quiet()
        await settle()

    def informer(self, kind: str) -> FakeInformer:
        """The newest of a kind."""
        return next(made for made in reversed(self.informers) if made.selection.kind == kind)

    def active(self) -> list[str]:
        return [made.selection.kind for made in self.informers if made.running]

    def of(self, kind: type) -> list[Any]:
        return self.stage.recorder.of(kind)

    async def synced(self) -> list[tuple[int, str]]:
        """Generation and term of each `index.synchronized`."""
        await self.stage.quiet()
        return [(event.generation, event.term) for event in self.of(IndexSynchronized)]

    async def prove(self, *kinds: str) -> None:
        """The barrier's LISTs of these kinds are answered."""
        for kind in kinds:
            await until(lambda kind=kind: not self.informer(kind).refreshes[-1].done())  # type: ignore[misc] # bound now
            self.informer(kind).refreshes[-1].set_result(None)
        await settle()


@pytest.fixture
async def post(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Post]:
    post = Post(faked(monkeypatch, "controller.kube.watcher"))
    async with running(post.watcher, clock=post.clock) as stage:
        post.stage = stage
        yield post


# --- selections


def test_by_default_a_watch_sees_its_own_namespace_only() -> None:
    """X2."""
    (selection,) = selections("edge/web", spec(all="ConfigMap")).values()
    assert selection == Selection("v1", "ConfigMap", ("edge",))


def test_all_namespaces_is_none_in_particular() -> None:
    (selection,) = selections("edge/web", spec(a={"kind": "Secret", "allNamespaces": True})).values()
    assert selection.namespaces == ()


def test_the_same_watch_written_differently_is_the_same_selection() -> None:
    one = {"kind": "Pod", "namespaces": ["b", "a"], "ignoreFields": ["spec.x", "spec.a"]}
    other = {"kind": "Pod", "namespaces": ["a", "b"], "ignoreFields": ["spec.a", "spec.x"]}
    assert selections("edge/x", spec(p=one))["p"] == selections("edge/y", spec(q=other))["q"]


def test_selectors_are_part_of_the_selection() -> None:
    watch = {
        "kind": "Pod",
        "labelSelector": {"matchLabels": {"app": "web"}},
        "fieldSelector": "metadata.name!=old",
    }
    (selection,) = selections("edge/web", spec(pods=watch)).values()
    assert (selection.label_selector, selection.field_selector) == ("app=web", "metadata.name!=old")


# --- S4


async def test_config_templates_that_watch_the_same_share_one_watch(post: Post) -> None:
    await post.tell(validated(maps="ConfigMap"), validated(template="edge/two", other="ConfigMap"))
    assert post.active() == ["ConfigMap"]
    started = [(event.template, event.watch) for event in post.of(ResourceWatchStarted)]
    assert started == [("edge/web", "maps"), ("edge/two", "other")]


async def test_a_shared_watch_tells_everyone_who_shares_it(post: Post) -> None:
    await post.tell(validated(a="ConfigMap", b="ConfigMap"), validated(template="edge/two", c="ConfigMap"))
    post.informer("ConfigMap").list(stored("x"), stored("y"))
    await post.stage.quiet()
    told = {(event.template, event.watch): event.objects for event in post.of(ResourceSyncComplete)}
    assert told == {("edge/web", "a"): 2, ("edge/web", "b"): 2, ("edge/two", "c"): 2}
    post.informer("ConfigMap").change(stored("z"))
    await post.stage.quiet()
    updated = {(event.template, event.watch) for event in post.of(ResourceIndexUpdated)}
    assert updated == set(told)


async def test_a_shared_watch_ends_with_its_last_user(post: Post) -> None:
    await post.tell(validated(a="ConfigMap"), validated(template="edge/two", b="ConfigMap"))
    await post.tell(ConfigRemoved(template="edge/web", uid="u1"))
    assert post.active() == ["ConfigMap"]
    await post.tell(ConfigRemoved(template="edge/two", uid="u1"))
    assert post.active() == []


async def test_a_change_starts_and_stops_only_what_differs(post: Post) -> None:
    await post.tell(validated(1, a="ConfigMap", b="Service"))
    await post.tell(validated(2, a="ConfigMap", c="Pod"))
    assert sorted(post.active()) == ["ConfigMap", "Pod"]
    assert [(made.selection.kind, made.runs) for made in post.informers] == [
        ("ConfigMap", 1),
        ("Service", 1),
        ("Pod", 1),
    ]
    assert [event.watch for event in post.of(ResourceWatchStopped)] == ["b"]
    assert [event.watch for event in post.of(ResourceWatchStarted)] == ["a", "b", "c"]


async def test_a_renamed_watch_goes_on(post: Post) -> None:
    """It watches the same: nothing is listed again."""
    await post.tell(validated(1, old="ConfigMap"))
    post.informer("ConfigMap").list(stored("x"))
    await post.tell(validated(2, new="ConfigMap"))
    assert len(post.informers) == 1
    assert post.active() == ["ConfigMap"]
    assert [event.watch for event in post.of(ResourceWatchStopped)] == ["old"]
    assert await post.synced() == [(1, ""), (2, "")]


async def test_a_watch_that_takes_over_a_failing_one_is_told_of_its_failure_last(post: Post) -> None:
    """`resource.watch.stopped` forgets a failure: that of the new selection must come after it."""
    await post.tell(validated(template="edge/two", x="Secret"), validated(1, a="ConfigMap"))
    post.informer("Secret").fail()
    await post.tell(validated(2, a="Secret"))
    retained = post.stage.bus.last(ResourceWatchFailed, ("edge/web", "a"))
    assert retained is not None
    assert retained.kind == "Secret"


async def test_the_same_generation_again_changes_nothing(post: Post) -> None:
    """A reconciliation was asked for, or retained events were queued again."""
    await post.tell(validated(1, a="ConfigMap"))
    post.informer("ConfigMap").list()
    await post.tell(validated(1, a="ConfigMap"))
    assert len(post.of(ResourceWatchStarted)) == 1
    assert await post.synced() == [(1, "")]


async def test_a_removed_one_is_watched_for_no_more(post: Post) -> None:
    await post.tell(validated(a="ConfigMap", b="Service"))
    await post.tell(ConfigRemoved(template="edge/web", uid="u1"))
    assert post.active() == []
    assert {event.watch for event in post.of(ResourceWatchStopped)} == {"a", "b"}
    assert [event.template for event in post.of(IndexDropped)] == ["edge/web"]
    assert post.watcher.snapshot("edge/web", "u1", 1) is None


async def test_the_removal_of_one_that_was_never_in_force_is_no_news(post: Post) -> None:
    await post.tell(ConfigRemoved(template="edge/web", uid="u1"))
    assert post.of(IndexDropped) == []


# --- what happens in the stores


async def test_changes_are_counted_for_who_watches(post: Post) -> None:
    await post.tell(validated(a="ConfigMap"))
    post.informer("ConfigMap").list(stored("x"), stored("y"))
    post.informer("ConfigMap").change(stored("x", 2, data={"k": "v"}), stored("z"), gone=(("edge", "y"),))
    await post.stage.quiet()
    (event,) = post.of(ResourceIndexUpdated)
    assert (event.template, event.watch) == ("edge/web", "a")
    assert (event.created, event.modified, event.deleted) == (1, 1, 1)


async def test_the_first_list_is_told_as_synchronized_not_as_changes(post: Post) -> None:
    await post.tell(validated(a={"kind": "ConfigMap", "namespaces": ["one", "two"]}))
    informer = post.informer("ConfigMap")
    informer.list(stored("x", namespace="one"), namespace="one", rest=1)
    informer.change(stored("y", namespace="one"))
    informer.list(stored("z", namespace="two"), namespace="two")
    await post.stage.quiet()
    assert post.of(ResourceIndexUpdated) == []
    assert [event.objects for event in post.of(IndexSynchronized)] == [(("a", 3),)]


async def test_a_failure_names_kind_reason_and_the_missing_rule(post: Post) -> None:
    await post.tell(validated(a="ConfigMap"))
    post.informer("ConfigMap").fail(namespace="edge")
    (event,) = await _after(post, ResourceWatchFailed)
    assert (event.template, event.watch, event.kind, event.namespace) == (
        "edge/web",
        "a",
        "ConfigMap",
        "edge",
    )
    assert (event.status, event.reason, event.message, event.missing_rule) == (
        403,
        "Forbidden",
        "no",
        "a rule",
    )


async def test_a_recovery_is_told(post: Post) -> None:
    await post.tell(validated(a="ConfigMap"))
    post.informer("ConfigMap").fail()
    post.informer("ConfigMap").recover()
    assert [event.watch for event in await _after(post, ResourceWatchRecovered)] == ["a"]
    assert post.stage.bus.last(ResourceWatchFailed, ("edge/web", "a")) is None


async def test_a_recovery_in_one_namespace_tells_of_the_one_that_still_fails(post: Post) -> None:
    await post.tell(validated(a="ConfigMap"))
    post.informer("ConfigMap").fail(namespace="one")
    post.informer("ConfigMap").recover(still=failure("ConfigMap", FailureReason.UNAVAILABLE, "two"))
    failures = await _after(post, ResourceWatchFailed)
    assert [event.namespace for event in failures] == ["one", "two"]
    assert post.of(ResourceWatchRecovered) == []


async def test_who_joins_a_failing_watch_is_told(post: Post) -> None:
    await post.tell(validated(a="ConfigMap"))
    post.informer("ConfigMap").fail()
    await post.tell(validated(template="edge/two", b="ConfigMap"))
    assert [event.template for event in post.of(ResourceWatchFailed)] == ["edge/web", "edge/two"]


async def test_one_failing_watch_leaves_the_others_alone(post: Post) -> None:
    await post.tell(validated(a="ConfigMap"), validated(template="edge/two", b="Service"))
    post.informer("ConfigMap").fail()
    post.informer("Service").list()
    await post.stage.quiet()
    assert [event.template for event in post.of(IndexSynchronized)] == ["edge/two"]


async def _after(post: Post, kind: type) -> list[Any]:
    await post.stage.quiet()
    return post.of(kind)


# --- snapshots


async def test_a_snapshot_is_of_just_that_generation_sorted(post: Post) -> None:
    await post.tell(validated(3, a={"kind": "ConfigMap", "indexBy": ["metadata.name"]}, b="Service"))
    post.informer("Service").list()
    post.informer("ConfigMap").list(stored("y"), stored("x"), stored("z", namespace="a"))
    first, second = post.watcher.snapshot("edge/web", "u1", 3) or ()
    objects = [obj.raw for obj in (stored("z", namespace="a"), stored("x"), stored("y"))]
    assert (first.name, first.index_by, list(first.objects)) == ("a", ("metadata.name",), objects)
    assert (second.name, second.objects) == ("b", ())
    assert post.watcher.snapshot("edge/web", "u1", 2) is None
    assert post.watcher.snapshot("edge/web", "u2", 3) is None
    assert post.watcher.snapshot("edge/other", "u1", 3) is None


async def test_there_is_no_snapshot_before_everything_is_listed(post: Post) -> None:
    """Never a blank."""
    await post.tell(validated(a="ConfigMap", b="Service"))
    post.informer("ConfigMap").list(stored("x"))
    assert post.watcher.snapshot("edge/web", "u1", 1) is None


# --- index.synchronized


async def test_a_generation_is_synchronized_with_its_last_watch(post: Post) -> None:
    await post.tell(validated(1, a="ConfigMap", b="Service"))
    post.informer("ConfigMap").list(stored("x"))
    assert await post.synced() == []
    post.informer("Service").list()
    await post.stage.quiet()
    (event,) = post.of(IndexSynchronized)
    assert (event.template, event.uid, event.generation, event.term) == ("edge/web", "u1", 1, "")
    assert event.objects == (("a", 1), ("b", 0))


async def test_one_that_watches_nothing_is_synchronized_at_once(post: Post) -> None:
    await post.tell(validated(1))
    assert await post.synced() == [(1, "")]


async def test_a_new_generation_of_the_same_watches_is_synchronized_at_once(post: Post) -> None:
    await post.tell(validated(1, a="ConfigMap"))
    post.informer("ConfigMap").list()
    await post.tell(validated(2, a="ConfigMap"))
    assert await post.synced() == [(1, ""), (2, "")]


# --- L8


async def in_term(post: Post, term: str, **generations: int) -> None:
    """A term begins, and the ConfigTemplates themselves are read in it."""
    await post.tell(LeaderBecame(identity="me", term=term), listed(term, **generations))


async def test_a_term_may_render_when_every_store_was_read_afresh(post: Post) -> None:
    await post.tell(validated(1, a="ConfigMap", b="Service"))
    post.informer("ConfigMap").list()
    post.informer("Service").list()
    await in_term(post, "7", web=1)
    assert await post.synced() == [(1, "")]
    await post.prove("ConfigMap")
    assert await post.synced() == [(1, "")]
    await post.prove("Service")
    assert await post.synced() == [(1, ""), (1, "7")]


async def test_a_term_may_render_nothing_before_the_config_templates_were_read_in_it(post: Post) -> None:
    await post.tell(validated(1, a="ConfigMap"))
    post.informer("ConfigMap").list()
    await post.tell(LeaderBecame(identity="me", term="7"))
    await post.prove("ConfigMap")
    await post.tell(listed("5", web=1))  # an earlier term's: proves nothing
    assert await post.synced() == [(1, "")]
    await post.tell(listed("7", web=1))
    assert await post.synced() == [(1, ""), (1, "7")]


async def test_a_term_may_not_render_a_generation_that_a_newer_one_has_replaced(post: Post) -> None:
    """The list shows generation 2; until it is judged, nobody knows what is in force."""
    await post.tell(validated(1))
    await in_term(post, "7", web=2)
    assert await post.synced() == [(1, "")]
    await post.tell(validated(2))
    assert await post.synced() == [(1, ""), (2, "7")]


async def test_a_newer_generation_that_is_refused_leaves_the_one_in_force_to_be_rendered(post: Post) -> None:
    await post.tell(validated(1))
    await in_term(post, "7", web=2)
    await post.tell(invalid(2))
    assert await post.synced() == [(1, ""), (1, "7")]


async def test_one_whose_successor_is_listed_waits_for_nobody(post: Post) -> None:
    """Its publication is superseded anyway; the successor is told of when it is judged."""
    await post.tell(validated(5, uid="u0"))
    await in_term(post, "7", web=1)
    await post.tell(ConfigRemoved(template="edge/web", uid="u0"), validated(1, uid="u1"))
    assert (await post.synced())[-1] == (1, "7")


async def test_one_created_after_the_list_may_be_rendered(post: Post) -> None:
    await in_term(post, "7")
    await post.tell(validated(1, a="ConfigMap"))
    post.informer("ConfigMap").list()
    assert await post.synced() == [(1, "7")]


async def test_a_watch_begun_in_a_term_needs_no_second_list(post: Post) -> None:
    await in_term(post, "7")
    await post.tell(validated(1, a="ConfigMap"))
    post.informer("ConfigMap").list()
    assert post.informer("ConfigMap").refreshes == []
    assert await post.synced() == [(1, "7")]


async def test_every_term_has_its_own_barrier(post: Post) -> None:
    await post.tell(validated(1, a="ConfigMap"))
    post.informer("ConfigMap").list()
    await in_term(post, "7", web=1)
    await post.prove("ConfigMap")
    await post.tell(LeaderLost(identity="me", term="7", reason="deposed"))
    await in_term(post, "9", web=1)
    assert await post.synced() == [(1, ""), (1, "7")]
    await post.prove("ConfigMap")
    assert await post.synced() == [(1, ""), (1, "7"), (1, "9")]


async def test_a_list_begun_in_an_earlier_term_proves_nothing_for_the_next(post: Post) -> None:
    """Whichever of the two ends first."""
    await post.tell(validated(1, a="ConfigMap"))
    informer = post.informer("ConfigMap")
    informer.list()
    await in_term(post, "7", web=1)
    await post.tell(LeaderLost(identity="me", term="7", reason="deposed"))
    await in_term(post, "9", web=1)
    await until(lambda: len(informer.refreshes) == 2)
    informer.refreshes[0].set_result(None)
    await settle()
    assert await post.synced() == [(1, "")]
    informer.refreshes[1].set_result(None)
    await settle()
    assert await post.synced() == [(1, ""), (1, "9")]


async def test_a_late_list_of_an_earlier_term_takes_nothing_away(post: Post) -> None:
    await post.tell(validated(1, a="ConfigMap"))
    informer = post.informer("ConfigMap")
    informer.list()
    await in_term(post, "7", web=1)
    await post.tell(LeaderLost(identity="me", term="7", reason="deposed"))
    await post.tell(LeaderBecame(identity="me", term="9"))
    await until(lambda: len(informer.refreshes) == 2)
    informer.refreshes[1].set_result(None)
    await settle()
    informer.refreshes[0].set_result(None)
    await settle()
    await post.tell(listed("9", web=1))
    assert await post.synced() == [(1, ""), (1, "9")]


async def test_nothing_is_told_of_a_term_that_is_over(post: Post) -> None:
    await post.tell(validated(1, a="ConfigMap"))
    post.informer("ConfigMap").list()
    await in_term(post, "7", web=1)
    await post.tell(LeaderLost(identity="me", term="7", reason="deposed"))
    post.informer("ConfigMap").refreshes[0].set_result(None)
    await settle()
    assert await post.synced() == [(1, "")]


async def test_a_list_that_fails_is_tried_again_and_holds_up_only_its_users(post: Post) -> None:
    await post.tell(validated(1, a="ConfigMap"), validated(1, template="edge/two", b="Service"))
    for kind in ("ConfigMap", "Service"):
        post.informer(kind).list()
    await in_term(post, "7", web=1, two=1)
    await post.prove("Service")
    informer = post.informer("ConfigMap")
    for number, wait in enumerate([1, 2, 4, 8, 16, 30, 30]):
        await until(lambda number=number: len(informer.refreshes) == number + 1)  # type: ignore[misc] # bound now
        informer.refreshes[-1].set_exception(ApiError(500, "InternalError", "no", None))
        await settle()
        await post.clock.advance(wait - 0.1)
        assert len(informer.refreshes) == number + 1
        await post.clock.advance(0.2)
    in_the_term = [event.template for event in post.of(IndexSynchronized) if event.term == "7"]
    assert in_the_term == ["edge/two"]
    await post.prove("ConfigMap")
    assert await post.synced() == [(1, ""), (1, ""), (1, "7"), (1, "7")]


async def test_a_selection_released_while_its_barrier_waits_is_let_go(post: Post) -> None:
    await post.tell(validated(1, a="ConfigMap"))
    informer = post.informer("ConfigMap")
    informer.list()
    await in_term(post, "7", web=1)
    await until(lambda: informer.refreshes)
    await post.tell(validated(2, b="Service"))
    post.informer("Service").list()
    assert await post.synced() == [(1, ""), (2, "7")]
    await post.clock.advance(100)
    assert len(informer.refreshes) == 1
    assert post.of(ComponentFailed) == []


async def test_a_selection_taken_up_again_is_proven_by_its_own_list(post: Post) -> None:
    """A new informer for it began in the term; the old one's barrier has nothing to say of it."""
    await post.tell(validated(1, a="ConfigMap"))
    post.informer("ConfigMap").list()
    await in_term(post, "7", web=1)
    await until(lambda: post.informer("ConfigMap").refreshes)
    await post.tell(validated(2))
    await post.tell(validated(3, a="ConfigMap"))
    assert len(post.informers) == 2
    assert (await post.synced())[-1] == (2, "7")
    post.informer("ConfigMap").list()
    assert (await post.synced())[-1] == (3, "7")


# --- C2: restart


async def test_after_the_death_of_a_watch_the_stores_are_kept_and_followed_again(post: Post) -> None:
    await post.tell(validated(1, a="ConfigMap", b="Service"))
    for kind in ("ConfigMap", "Service"):
        post.informer(kind).list(stored("x"))
    post.informer("ConfigMap").die()
    await post.stage.recorder.wait_for(ComponentFailed)
    await settle()
    assert post.active() == []
    assert post.watcher.snapshot("edge/web", "u1", 1) is not None
    await post.clock.advance(1)
    assert sorted(post.active()) == ["ConfigMap", "Service"]
    assert [made.runs for made in post.informers] == [2, 2]
    post.informer("ConfigMap").list(stored("x"), stored("y"))
    assert [event.created for event in await _after(post, ResourceIndexUpdated)] == [1]
    assert await post.synced() == [(1, "")]


async def test_a_barrier_that_a_restart_interrupted_is_begun_again(post: Post) -> None:
    """Else nothing would be rendered for the rest of the term."""
    await post.tell(validated(1, a="ConfigMap", b="Service"))
    for kind in ("ConfigMap", "Service"):
        post.informer(kind).list()
    await in_term(post, "7", web=1)
    await post.prove("Service")
    post.informer("ConfigMap").die()
    await post.stage.recorder.wait_for(ComponentFailed)
    await post.clock.advance(1)
    await settle()
    assert [len(post.informer(kind).refreshes) for kind in ("ConfigMap", "Service")] == [2, 1]
    await post.prove("ConfigMap")
    assert await post.synced() == [(1, ""), (1, "7")]


async def test_what_came_during_a_restart_is_handled_after_it(post: Post) -> None:
    await post.tell(validated(1, a="ConfigMap"))
    post.informer("ConfigMap").die()
    await post.stage.recorder.wait_for(ComponentFailed)
    await settle()
    post.stage.publish(validated(2, b="Service"))
    await settle()
    await post.clock.advance(1)
    await post.stage.quiet()
    await settle()
    assert post.active() == ["Service"]


# --- L1, X4: warm and ready


async def test_it_is_warm_when_all_that_was_listed_was_judged_and_tried(post: Post) -> None:
    looks = [post.watcher.warm]
    await post.tell(listed("", web=2, broken=1))
    looks.append(post.watcher.warm)
    await post.tell(validated(1, a="ConfigMap"), invalid(1, template="edge/broken"))
    post.informer("ConfigMap").list()
    looks.append(post.watcher.warm)  # generation 2 has not been judged
    await post.tell(validated(2, a="ConfigMap", b="Secret"))
    looks.append(post.watcher.warm)
    post.informer("Secret").fail()  # tried, with whatever result
    looks.append(post.watcher.warm)
    assert looks == [False, False, False, False, True]


async def test_one_that_was_deleted_before_it_was_judged_is_not_waited_for(post: Post) -> None:
    await post.tell(listed("", web=1), ConfigRemoved(template="edge/web", uid="u1"))
    assert post.watcher.warm


async def test_a_forbidden_kind_counts_as_tried(post: Post) -> None:
    looks = []
    await post.tell(validated(a="Secret"))
    looks.append(post.watcher.tried)
    post.informer("Secret").fail()
    looks.append(post.watcher.tried)
    assert looks == [False, True]


# --- with an informer in earnest


async def test_a_term_is_proven_by_reading_from_the_server(
    server: StandIn, client: KubeClient, pulse: Pulse
) -> None:
    """A store that a silent watch has left behind is brought up to date before anything is rendered."""
    things = "/apis/example.org/v1/namespaces/edge/things"
    server.lists(page(10, thing("a", 9, namespace="edge")), path=things)
    async with running(Watcher(client, clock := PulsingClock(pulse)), clock=clock) as stage:
        stage.publish(validated(1, things={"kind": "Thing", "apiVersion": "example.org/v1"}))
        await stage.recorder.wait_for(IndexSynchronized)
        fresh = page(20, thing("a", 9, namespace="edge"), thing("b", 15, namespace="edge"))
        server.lists(fresh, path=things)
        stage.publish(LeaderBecame(identity="me", term="18"), listed("18", web=1))
        proven = await stage.recorder.wait_for(IndexSynchronized, lambda event: event.term == "18")
        assert proven.objects == (("things", 2),)
        assert all("resourceVersion" not in query for query in server.asked(things))
