"""From hints to one parsed generation each: order, identity, deletions, resync."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.config import loader as loader_module
from controller.config.loader import REQUESTED_AT, Loader
from controller.events import ConfigDeleted, ConfigParsed, ConfigParseFailed, ConfigResourceChanged
from events import Event
from tests.controller.config.specs import MINIMAL
from tests.controller.support import Stage, running

Document = dict[str, Any]


def body(
    version: int | str, generation: int = 1, *, uid: str = "u1", name: str = "web", **more: Any
) -> Document:
    metadata = {
        "namespace": "edge",
        "name": name,
        "uid": uid,
        "resourceVersion": str(version),
        "generation": generation,
        **more.pop("metadata", {}),
    }
    return {"metadata": metadata, "spec": more.pop("spec", MINIMAL)}


def requested(at: str) -> Document:
    return {"annotations": {REQUESTED_AT: at}}


def changed(document: Document, *, deleted: bool = False, source: str = "informer") -> ConfigResourceChanged:
    metadata = document["metadata"]
    return ConfigResourceChanged(
        template=f"{metadata['namespace']}/{metadata['name']}",
        source=source,
        resource_version=metadata["resourceVersion"],
        body=document,
        deleted=deleted,
    )


class Desk:
    """A loader, with the informer's store as the test fills it."""

    def __init__(self) -> None:
        self.seen: dict[str, int] = {}
        self.store: list[Document] = []
        self.loader = Loader(lambda: (self.seen, self.store))
        self.stage: Stage

    async def take(self, *events: Event) -> None:
        self.stage.publish(*events)
        await self.stage.quiet()

    @property
    def told(self) -> list[tuple[str, Any]]:
        """What was published: parsed and failed with their generation, deletions with their uid."""
        return [
            ("deleted", one.uid)
            if isinstance(one, ConfigDeleted)
            else ("parsed" if isinstance(one, ConfigParsed) else "failed", one.generation)
            for one in self.stage.recorder.events
            if isinstance(one, ConfigParsed | ConfigParseFailed | ConfigDeleted)
        ]


@asynccontextmanager
async def open_desk() -> AsyncIterator[Desk]:
    desk = Desk()
    async with running(desk.loader) as stage:
        desk.stage = stage
        yield desk


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    async with open_desk() as made:
        yield made


async def test_a_new_one_is_parsed(desk: Desk) -> None:
    await desk.take(changed(body(5, 2, metadata=requested("noon"))))
    (event,) = desk.stage.recorder.of(ConfigParsed)
    assert (event.template, event.uid, event.generation, event.requested_at) == ("edge/web", "u1", 2, "noon")
    assert event.spec.outputs[0].name == "hello"


async def test_what_does_not_follow_the_model_is_told_with_every_problem(desk: Desk) -> None:
    await desk.take(changed(body(5, 2, spec={"outputs": [{"name": "a b"}]})))
    (event,) = desk.stage.recorder.of(ConfigParseFailed)
    assert (event.uid, event.generation) == ("u1", 2)
    assert len(event.problems) > 1


async def test_two_sources_tell_the_same_generation_once(desk: Desk) -> None:
    await desk.take(changed(body(5, 2), source="kopf"), changed(body(5, 2)))
    assert desk.told == [("parsed", 2)]


async def test_a_status_write_is_no_news(desk: Desk) -> None:
    await desk.take(changed(body(5, 2)), changed(body(6, 2)))
    assert desk.told == [("parsed", 2)]


async def test_a_request_to_reconcile_is_news_of_the_same_generation(desk: Desk) -> None:
    await desk.take(changed(body(5, 2)), changed(body(6, 2, metadata=requested("noon"))))
    assert [event.requested_at for event in desk.stage.recorder.of(ConfigParsed)] == ["", "noon"]


async def test_an_older_resource_version_is_never_taken_after_a_newer(desk: Desk) -> None:
    """As text 9 is newer than 10: they are compared as numbers."""
    await desk.take(changed(body(10, 3), source="kopf"), changed(body(9, 2)))
    assert desk.told == [("parsed", 3)]


async def test_versions_that_are_no_numbers_count_as_news(desk: Desk) -> None:
    await desk.take(changed(body("b", 1)), changed(body("a", 2)), changed(body("a", 3)))
    assert desk.told == [("parsed", 1), ("parsed", 2)]


async def test_only_an_authority_deletes_and_it_is_told_once(desk: Desk) -> None:
    await desk.take(changed(body(5)), changed(body(5), deleted=True), changed(body(5), deleted=True))
    assert desk.told == [("parsed", 1), ("deleted", "u1")]


async def test_a_late_hint_does_not_bring_a_deleted_one_back(desk: Desk) -> None:
    await desk.take(changed(body(5)), changed(body(5), deleted=True), changed(body(9, 2), source="kopf"))
    assert desk.told == [("parsed", 1), ("deleted", "u1")]


async def test_a_deletion_that_comes_before_its_hint_counts(desk: Desk) -> None:
    await desk.take(changed(body(5), deleted=True), changed(body(4), source="kopf"))
    assert desk.told == []


async def test_a_deletion_timestamp_is_a_deletion(desk: Desk) -> None:
    """P7: it is out of force from then on, not only when its finalizers are done."""
    going = body(6, 2, metadata={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    await desk.take(changed(body(5)), changed(going), changed(going, deleted=True))
    assert desk.told == [("parsed", 1), ("deleted", "u1")]


async def test_another_uid_is_another_object(desk: Desk) -> None:
    """Deleted and created again, and nobody saw the deletion."""
    await desk.take(changed(body(5, 7)), changed(body(8, 1, uid="u2")))
    assert desk.told == [("parsed", 7), ("deleted", "u1"), ("parsed", 1)]


async def test_the_predecessors_late_deletion_does_not_touch_its_successor(desk: Desk) -> None:
    await desk.take(
        changed(body(5)), changed(body(8, uid="u2"), source="kopf"), changed(body(5), deleted=True)
    )
    assert desk.told == [("parsed", 1), ("deleted", "u1"), ("parsed", 1)]
    await desk.take(changed(body(9, 2, uid="u2")))
    assert desk.told[-1] == ("parsed", 2)


async def test_namesakes_in_other_namespaces_are_others(desk: Desk) -> None:
    other = body(4, 1, uid="u2", metadata={"namespace": "core"})
    await desk.take(changed(body(5)), changed(other))
    assert [event.template for event in desk.stage.recorder.of(ConfigParsed)] == ["edge/web", "core/web"]


async def test_deletions_are_forgotten_in_the_end(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bounded memory: the oldest go first."""
    monkeypatch.setattr(loader_module, "REMEMBERED_DELETIONS", 2)
    for number in range(4):
        await desk.take(changed(body(number, uid=f"u{number}"), deleted=True))
    assert list(desk.loader._gone) == ["u2", "u3"]


# --- C6: resync


async def test_resync_takes_what_the_store_has_and_nothing_twice(desk: Desk) -> None:
    await desk.take(changed(body(5)))
    desk.store = [body(5), body(7, 3, uid="u2", name="other")]
    desk.seen = {"edge": 7}
    await desk.loader.resync()
    await desk.stage.quiet()
    assert desk.told == [("parsed", 1), ("parsed", 3)]


async def test_resync_deletes_what_the_store_no_longer_has(desk: Desk) -> None:
    """Even the only one: the informer has seen as far as its last version."""
    await desk.take(changed(body(5)))
    desk.seen = {"edge": 5}
    await desk.loader.resync()
    await desk.stage.quiet()
    assert desk.told == [("parsed", 1), ("deleted", "u1")]


async def test_resync_keeps_what_the_informer_has_not_seen_yet(desk: Desk) -> None:
    await desk.take(changed(body(8), source="kopf"))
    desk.seen = {"edge": 7}
    await desk.loader.resync()
    await desk.stage.quiet()
    assert desk.told == [("parsed", 1)]


async def test_resync_judges_each_namespace_by_its_own_progress(desk: Desk) -> None:
    """One namespace's watch may be ahead of another's: that proves nothing."""
    await desk.take(changed(body(8), source="kopf"))
    desk.seen = {"edge": 7, "core": 100}
    await desk.loader.resync()
    await desk.stage.quiet()
    assert desk.told == [("parsed", 1)]


async def test_after_a_storm_the_state_is_that_of_the_store(desk: Desk) -> None:
    """More hints than the buffer holds: the rest is made up for by a resync."""
    desk.store = [body(number, name=f"t{number}", uid=f"u{number}") for number in range(1, 1500)]
    desk.seen = {"edge": 1500}
    await desk.take(*map(changed, desk.store))
    await desk.stage.clock.advance(10)
    await desk.stage.quiet()
    names = {event.template for event in desk.stage.recorder.of(ConfigParsed)}
    assert len(names) == 1499


# --- as a whole


@given(st.data())
async def test_whatever_order_hints_come_in_the_newest_state_wins(data: st.DataObject) -> None:
    """The informer tells everything in order, kopf any part of it, at any time, in order as well."""
    history = []
    uid, generation, alive = 0, 0, False
    for version, act in enumerate(data.draw(st.lists(st.sampled_from(["set", "delete"]), max_size=8)), 1):
        if act == "set":
            uid, generation, alive = (uid, generation + 1, True) if alive else (uid + 1, 1, True)
            history.append(changed(body(version, generation, uid=f"u{uid}")))
        elif alive:
            alive = False
            history.append(changed(body(version, generation, uid=f"u{uid}"), deleted=True))
    hints = [event for event in history if not event.deleted and data.draw(st.booleans())]
    async with open_desk() as desk:
        await desk.take(*data.draw(interleaved(history, hints)))
        told = desk.told
    state = None
    for kind, what in told:
        state = what if kind == "parsed" else None
    assert state == (generation if alive else None)
    for earlier, later in itertools.pairwise(told):
        assert earlier != later or later == ("parsed", 1)


@st.composite
def interleaved(draw: st.DrawFn, one: Sequence[Event], other: Sequence[Event]) -> list[Event]:
    """Both sequences in one, each in its order."""
    merged, rest = list(one), list(other)
    places = sorted(draw(st.integers(0, len(merged))) for _ in rest)
    for offset, (place, event) in enumerate(zip(places, rest, strict=True)):
        merged.insert(place + offset, event)
    return merged
