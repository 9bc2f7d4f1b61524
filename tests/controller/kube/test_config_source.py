"""The ConfigTemplates' informer: differences, barriers, and what it knows to tell (L8, section 6)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from controller.events import (
    ComponentFailed,
    ConfigListComplete,
    ConfigResourceChanged,
    LeaderBecame,
    LeaderLost,
)
from controller.kube.client import KubeClient
from controller.kube.config_source import ConfigSource, Standing
from controller.kube.errors import ApiError
from controller.kube.selection import FailureReason
from controller.testing import FakeClock, settle
from tests.controller.kube.fake_informer import FakeInformer, faked, stored
from tests.controller.kube.standin import Answer, Pulse, PulsingClock, StandIn
from tests.controller.support import Stage, running, until


class Post:
    """A source whose informer is a fake."""

    def __init__(self, made: list[FakeInformer]) -> None:
        self.clock = FakeClock()
        self.source = ConfigSource(cast("KubeClient", None), self.clock, ())
        (self.informer,) = made
        self.stage: Stage

    async def quiet(self) -> None:
        await self.stage.quiet()
        await settle()
        await self.stage.quiet()

    async def tell(self, *events: Any) -> None:
        self.stage.publish(*events)
        await self.quiet()

    async def told(self) -> list[tuple[str, str]]:
        """What changed, in order: ConfigTemplate and resourceVersion, or `deleted`."""
        await self.quiet()
        events = self.stage.recorder.of(ConfigResourceChanged)
        return [(event.template, "deleted" if event.deleted else event.resource_version) for event in events]

    async def lists(self) -> list[tuple[str, list[str]]]:
        """Each complete list: its term, and whom it named."""
        await self.quiet()
        events = self.stage.recorder.of(ConfigListComplete)
        return [(event.term, [template for template, _, _ in event.generations]) for event in events]


@pytest.fixture
async def post(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Post]:
    post = Post(faked(monkeypatch, "controller.kube.config_source"))
    async with running(post.source, clock=post.clock) as stage:
        post.stage = stage
        await settle()
        yield post


def began(term: str) -> LeaderBecame:
    return LeaderBecame(identity="me", term=term)


def ended(term: str) -> LeaderLost:
    return LeaderLost(identity="me", term=term, reason="deposed")


async def die_and_restart(post: Post) -> None:
    post.informer.die()
    await post.stage.recorder.wait_for(ComponentFailed)
    await settle()
    await post.clock.advance(1)


# --- what changes


async def test_what_is_listed_is_told_with_its_version_and_body(post: Post) -> None:
    post.informer.list(stored("web", 5, generation=2, spec={"outputs": []}))
    assert await post.told() == [("edge/web", "5")]
    (event,) = post.stage.recorder.of(ConfigResourceChanged)
    assert event.source == "informer"
    assert event.body["metadata"]["resourceVersion"] == "5"
    assert event.body["metadata"]["generation"] == 2
    assert event.body["spec"] == {"outputs": []}


async def test_only_what_differs_is_told(post: Post) -> None:
    post.informer.list(stored("a", 1), stored("b", 2))
    post.informer.change(stored("b", 3, spec={"suspend": True}))
    assert await post.told() == [("edge/a", "1"), ("edge/b", "2"), ("edge/b", "3")]


async def test_a_status_write_wakes_nobody(post: Post) -> None:
    """Status is not stored; a new resourceVersion alone is no change."""
    post.informer.list(stored("a", 1))
    post.informer.change(stored("a", 2))
    assert await post.told() == [("edge/a", "1")]


async def test_a_deletion_is_told_and_so_is_one_that_a_relist_finds(post: Post) -> None:
    post.informer.list(stored("a", 1), stored("b", 2))
    post.informer.change(gone=(("edge", "a"),))
    post.informer.list()
    assert (await post.told())[2:] == [("edge/a", "deleted"), ("edge/b", "deleted")]


async def test_a_successor_with_the_same_content_is_told(post: Post) -> None:
    post.informer.list(stored("a", 1))
    post.informer.change(stored("a", 5, uid="another"))
    assert await post.told() == [("edge/a", "1"), ("edge/a", "5")]


async def test_with_several_namespaces_each_is_told_when_it_is_listed(post: Post) -> None:
    post.informer.list(stored("a", 1, namespace="one"), namespace="one", rest=1)
    assert await post.told() == [("one/a", "1")]
    assert await post.lists() == []
    post.informer.list(stored("b", 2, namespace="two"), namespace="two")
    assert await post.told() == [("one/a", "1"), ("two/b", "2")]
    assert await post.lists() == [("", ["one/a", "two/b"])]


# --- the first list


async def test_the_first_list_is_told_after_everything_in_it(post: Post) -> None:
    post.informer.list(stored("a", 1, generation=3), stored("b", 2))
    await post.quiet()
    kinds = [type(event) for event in post.stage.recorder.events]
    assert kinds == [ConfigResourceChanged, ConfigResourceChanged, ConfigListComplete]
    (event,) = post.stage.recorder.of(ConfigListComplete)
    assert event.term == ""
    assert event.generations == (("edge/a", "uid-of-a", 3), ("edge/b", "uid-of-b", 1))


async def test_an_empty_first_list_is_told_as_well(post: Post) -> None:
    waiting = asyncio.create_task(post.source.wait_listed())
    await settle()
    looks = [waiting.done(), post.source.listed]
    post.informer.list()
    await settle()
    looks += [waiting.done(), post.source.listed]
    assert looks == [False, False, True, True]
    assert await post.lists() == [("", [])]


async def test_one_that_is_being_deleted_is_not_listed(post: Post) -> None:
    """Nobody will judge it, so nobody may wait for that."""
    going = stored("going", 2, metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    post.informer.list(stored("a", 1), going)
    assert await post.lists() == [("", ["edge/a"])]


# --- L8


async def test_a_term_begins_with_a_fresh_list(post: Post) -> None:
    post.informer.list(stored("a", 1))
    await post.tell(began("7"))
    assert await post.lists() == [("", ["edge/a"])]
    post.informer.change(stored("b", 2))
    post.informer.refreshes[0].set_result(None)
    assert (await post.lists())[1:] == [("7", ["edge/a", "edge/b"])]


async def test_what_a_terms_list_names_was_told_before_it(post: Post) -> None:
    """Even what the store has just taken in, and has not called back for yet."""
    post.informer.list()
    await post.tell(began("7"))
    post.informer.store.apply(stored("a", 2))
    post.informer.refreshes[0].set_result(None)
    await post.quiet()
    kinds = [type(event) for event in post.stage.recorder.events]
    assert kinds == [ConfigListComplete, LeaderBecame, ConfigResourceChanged, ConfigListComplete]


async def test_a_list_that_fails_is_tried_again_while_the_term_lasts(post: Post) -> None:
    post.informer.list()
    await post.tell(began("7"))
    for number in range(3):
        assert len(post.informer.refreshes) == number + 1
        post.informer.refreshes[number].set_exception(ApiError(500, "InternalError", "no", None))
        await settle()
        await post.clock.advance(1.1)
    await post.tell(ended("7"))
    post.informer.refreshes[3].set_exception(ApiError(500, "InternalError", "no", None))
    await settle()
    await post.clock.advance(10)
    assert len(post.informer.refreshes) == 4
    assert await post.lists() == [("", [])]


async def test_each_term_has_a_list_of_its_own(post: Post) -> None:
    post.informer.list()
    await post.tell(began("7"))
    post.informer.refreshes[0].set_result(None)
    await post.tell(ended("7"), began("9"))
    await until(lambda: len(post.informer.refreshes) == 2)
    assert [term for term, _ in await post.lists()] == ["", "7"]
    post.informer.refreshes[1].set_result(None)
    assert [term for term, _ in await post.lists()] == ["", "7", "9"]


async def test_terms_that_follow_each_other_at_once_are_not_mixed_up(post: Post) -> None:
    post.informer.list()
    await post.tell(began("7"), ended("7"), began("9"))
    for refresh in post.informer.refreshes:
        refresh.set_result(None)
    assert [term for term, _ in await post.lists()].count("9") == 1


# --- C2: restart


async def test_a_restart_keeps_what_is_known(post: Post) -> None:
    """A publication that asks meanwhile must not be told that its ConfigTemplate is gone."""
    post.informer.list(stored("a", 1))
    await die_and_restart(post)
    assert post.informer.runs == 2
    assert post.source.standing("edge/a") is not None
    assert post.source.listed
    assert await post.told() == [("edge/a", "1")]


async def test_after_a_restart_nothing_is_told_deleted_because_of_another_namespace(post: Post) -> None:
    post.informer.list(stored("a", 1, namespace="one"), namespace="one", rest=1)
    post.informer.list(stored("b", 2, namespace="two"), namespace="two")
    await die_and_restart(post)
    post.informer.list(stored("a", 3, namespace="one", spec={}), namespace="one", rest=1)
    assert (await post.told())[2:] == [("one/a", "3")]


async def test_what_was_deleted_during_a_restart_is_told_even_if_nothing_is_left(post: Post) -> None:
    post.informer.list(stored("a", 1))
    await die_and_restart(post)
    post.informer.list()
    assert await post.told() == [("edge/a", "1"), ("edge/a", "deleted")]


async def test_a_barrier_that_a_restart_interrupted_is_begun_again(post: Post) -> None:
    """Else nothing would be rendered for the rest of the term."""
    post.informer.list(stored("a", 1))
    await post.tell(began("7"))
    await die_and_restart(post)
    await until(lambda: len(post.informer.refreshes) == 2)
    post.informer.refreshes[1].set_result(None)
    assert (await post.lists())[1:] == [("7", ["edge/a"])]


async def test_a_barrier_that_is_done_is_not_repeated_after_a_restart(post: Post) -> None:
    post.informer.list(stored("a", 1))
    await post.tell(began("7"))
    post.informer.refreshes[0].set_result(None)
    await settle()
    await die_and_restart(post)
    assert len(post.informer.refreshes) == 1


# --- what it knows


async def test_its_listing_tells_how_far_each_namespace_has_been_seen(post: Post) -> None:
    """What is deleted does not set it back."""
    post.informer.list(stored("a", 9), stored("b", 30, namespace="core"), stored("c", 10))
    post.informer.change(gone=(("edge", "c"),))
    seen, bodies = post.source.listing()
    assert seen == {"edge": 10, "core": 30}
    assert [body["metadata"]["name"] for body in bodies] == ["b", "a"]


@pytest.mark.parametrize(
    ("more", "standing"),
    [
        ({}, Standing("uid-of-a", 4, deleting=False, suspended=False)),
        ({"spec": {"suspend": True}}, Standing("uid-of-a", 4, deleting=False, suspended=True)),
        (
            {"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}},
            Standing("uid-of-a", 4, deleting=True, suspended=False),
        ),
    ],
)
async def test_standing_is_what_the_store_says(post: Post, more: dict[str, Any], standing: Standing) -> None:
    post.informer.list(stored("a", 9, generation=4, **more))
    assert post.source.standing("edge/a") == standing
    assert post.source.standing("edge/b") is None


async def test_its_failure_can_be_asked_for(post: Post) -> None:
    looks: list[object] = [post.source.failure]
    post.informer.fail(FailureReason.FORBIDDEN)
    looks.append(post.source.failure is not None and post.source.failure.reason)
    post.informer.recover()
    looks.append(post.source.failure)
    assert looks == [None, FailureReason.FORBIDDEN, None]


# --- with an informer in earnest


@pytest.fixture
def clock(pulse: Pulse) -> PulsingClock:
    return PulsingClock(pulse)


def template(version: int, generation: int, **more: Any) -> dict[str, Any]:
    metadata = {"namespace": "edge", "name": "web", "uid": "u1", "generation": generation}
    return {"metadata": {**metadata, "resourceVersion": str(version)}, "spec": {"outputs": []}, **more}


async def test_it_lists_and_watches_the_namespaces_it_is_told(
    server: StandIn, client: KubeClient, clock: PulsingClock
) -> None:
    path = "/apis/kopfbus.dev/v1alpha1/namespaces/edge/configtemplates"
    kinds = [{"kind": "ConfigTemplate", "name": "configtemplates", "namespaced": True}]
    server.answer("/apis/kopfbus.dev/v1alpha1", Answer(body={"resources": kinds}))
    items = [template(5, 1)]
    server.lists(Answer(body={"metadata": {"resourceVersion": "10"}, "items": items}), path=path)
    source = ConfigSource(client, clock, ("edge",))
    async with running(source, clock=clock) as stage:
        watch = await server.next_watch()
        await watch.send("MODIFIED", template(11, 1, status={"observedGeneration": 1}))
        await watch.send("MODIFIED", template(12, 2))
        await stage.recorder.wait_for(ConfigResourceChanged, lambda event: event.resource_version == "12")
        changes = stage.recorder.of(ConfigResourceChanged)
    assert [(event.resource_version, event.body["metadata"]["generation"]) for event in changes] == [
        ("5", 1),
        ("12", 2),
    ]
    assert "status" not in changes[0].body
    assert watch.path == path
