"""What counts as drift (P6)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
import pytest

from controller.events import DriftDetected, PublicationSuperseded
from controller.kube.selection import Selection
from controller.kube.store import Change, Changes, ObjectDecoder, Store
from controller.publisher.drift import SETTLE, DriftWatch
from controller.publisher.targets import OWNER_UID, TERM, Owner, TargetPlan, fresh
from tests.support.bench import Bench, at_work
from tests.support.news import TEMPLATE, publish_failed, published, removed

OWNER = Owner(namespace="edge", name="web", uid="uid-1")
Document = dict[str, Any]


class Targets:
    """Stands in for the informer: what the server has, as far as it has been told."""

    def __init__(self, client: object, selection: Selection, **callbacks: Any) -> None:
        self.store = Store()
        self.synced = True
        self._on_change: Callable[[Changes], None] = callbacks["on_change"]
        self._on_synced: Callable[[], None] = callbacks["on_synced"]
        self._decoder = ObjectDecoder("v1", selection.kind)

    async def run(self) -> None:
        await asyncio.Event().wait()

    def put(self, obj: Document) -> None:
        """An object as written by somebody."""
        change = self.store.apply(self._decoder.decode(msgspec.json.encode(obj)))
        key = ("edge", obj["metadata"]["name"])
        self._on_change(Changes(modified=int(change is not None), keys=(key,)))

    def delete(self, name: str = "proxy") -> None:
        assert self.store.delete("edge", name) is Change.DELETED
        self._on_change(Changes(deleted=1, keys=(("edge", name),)))

    def first_list(self) -> None:
        self.synced = True
        self._on_synced()


@pytest.fixture
async def drift(clock: Any, monkeypatch: pytest.MonkeyPatch) -> DriftWatch:
    monkeypatch.setattr("controller.publisher.drift.Informer", Targets)
    client: Any = None
    return DriftWatch(client, clock, "50", target_kinds=("ConfigMap",), namespaces=())


@pytest.fixture
async def bench(drift: DriftWatch, clock: Any) -> AsyncIterator[Bench]:
    async with at_work(drift, clock) as bench:
        yield bench


@pytest.fixture
async def targets(bench: Bench, drift: DriftWatch) -> Targets:
    found: Any = drift._informers["ConfigMap"]
    assert isinstance(found, Targets)
    return found


def plan(text: str) -> TargetPlan:
    return TargetPlan("ConfigMap", "proxy", {"hosts": text})


def target(text: str = "right", *, uid: str = "target-uid", term: str = "50", **data: str) -> Document:
    """The target as the publisher writes it; `data` as somebody else has changed it."""
    obj = fresh(plan(text), OWNER, term)
    obj["metadata"] |= {"uid": uid, "resourceVersion": "1"}
    obj["data"] |= data
    return obj


def told(bench: Bench) -> list[str]:
    return [event.what for event in bench.of(DriftDetected)]


async def in_place(bench: Bench, targets: Targets, text: str = "right") -> None:
    """The target was written, seen and published."""
    targets.put(target(text))
    await bench.publish(published(checksum=plan(text).checksum))
    await bench.advance(SETTLE)
    assert told(bench) == []


def altered(*path: str, value: Any = None) -> Document:
    """The target with one field of its metadata changed, or removed."""
    obj = target()
    inner = obj["metadata"]
    for name in path[:-1]:
        inner = inner[name]
    if value is None:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return obj


async def test_the_echo_of_our_own_write_is_no_drift(bench, targets):
    """Whether the watch or `config.published` is first."""
    await in_place(bench, targets)
    targets.put(target("newer"))
    await bench.publish(published(checksum=plan("newer").checksum))
    await bench.publish(published(checksum=plan("newest").checksum))
    targets.put(target("newest"))
    await bench.advance(60)
    assert told(bench) == []


@pytest.mark.parametrize(
    ("obj", "what"),
    [
        (target(hosts="wrong"), "its data was changed"),
        (target(more="x"), "its data was changed"),
        (target(uid="other"), "deleted and created by another"),
        (altered("annotations", "kopfbus.dev/checksum"), "its annotations were changed"),
        (altered("annotations", TERM, value="49"), "its annotations were changed"),
        (altered("labels", OWNER_UID), "its labels were changed"),
        (altered("ownerReferences"), "its owner was changed"),
        (altered("ownerReferences", value=[{**OWNER.reference(), "uid": "other"}]), "its owner was changed"),
    ],
    ids=["data", "another key", "uid", "checksum", "term", "label", "no owner", "another's"],
)
async def test_what_somebody_changes_is_drift(bench, targets, obj, what):
    """At once, or within seconds where it could be our own write."""
    await in_place(bench, targets)
    targets.put(obj)
    await bench.advance(SETTLE)
    assert told(bench) == [what]


async def test_a_plain_edit_is_told_at_once(bench, targets):
    await in_place(bench, targets)
    targets.put(target(hosts="wrong"))
    await bench.advance(0)
    assert told(bench) == ["its data was changed"]


async def test_binary_data_beside_the_same_content_is_drift(bench, targets):
    await in_place(bench, targets)
    targets.put({**target(), "binaryData": {"blob": "AAAA"}})
    await bench.advance(0)
    assert told(bench) == ["its data was changed"]


async def test_a_deleted_target_or_one_that_lost_its_label_is_drift(bench, targets):
    await in_place(bench, targets)
    targets.delete()
    await bench.advance(0)
    assert len(told(bench)) == 1


async def test_a_rollback_by_hand_to_an_earlier_state_is_noticed_within_seconds(bench, targets):
    """It looks like a write of ours; only `config.published` does not come."""
    await in_place(bench, targets, "earlier")
    await in_place(bench, targets, "right")
    targets.put(target("earlier"))
    await bench.advance(SETTLE)
    assert told(bench) == ["its data was changed"]


async def test_busy_publications_do_not_hide_a_rollback(bench, targets):
    """Renders with the same result come every second."""
    await in_place(bench, targets)
    targets.put(target("earlier"))
    for _ in range(3):
        await bench.publish(published(checksum=plan("right").checksum))
        await bench.advance(SETTLE / 2)
    assert told(bench) == ["its data was changed"]


async def test_busy_hands_do_not_hide_a_rollback(bench, targets):
    """Somebody touches it every second, each time so that it could be our own write."""
    await in_place(bench, targets)
    for number in range(3):
        targets.put(target(f"earlier {number}"))
        await bench.advance(SETTLE / 2)
    assert told(bench) == ["its data was changed"]


async def test_a_target_that_never_arrives_is_missed(bench, targets):
    """It was deleted so soon after our write that the watch has never shown it."""
    await bench.publish(published(checksum=plan("right").checksum))
    await bench.advance(SETTLE)
    assert len(told(bench)) == 1


async def test_what_the_first_list_brings_is_judged(bench, targets):
    """P6: it was changed before this term, or while the targets could not be listed."""
    targets.synced = False
    targets.put(target(hosts="wrong"))
    await bench.advance(0)
    assert told(bench) == []
    targets.first_list()
    await bench.advance(0)
    assert told(bench) == ["changed since it was published"]


async def test_without_a_publication_only_what_contradicts_itself_is_told(bench, targets):
    """Nothing valid is in force: drift is reported, though nobody can repair it."""
    targets.put(target(term="49"))
    targets.put(target("other", term="48"))
    await bench.advance(60)
    assert told(bench) == []
    targets.put(target(hosts="wrong"))
    await bench.advance(0)
    assert [(event.template, event.name) for event in bench.of(DriftDetected)] == [(TEMPLATE, "proxy")]


async def test_foreign_objects_with_our_label_are_nobodys_drift(bench, targets):
    obj = target(hosts="wrong")
    del obj["metadata"]["ownerReferences"]
    targets.put(obj)
    await bench.advance(60)
    assert told(bench) == []


async def test_a_target_that_is_being_deleted_is_not_told(bench, targets):
    await in_place(bench, targets)
    targets.put(altered("deletionTimestamp", value="2026-01-02T03:04:05Z"))
    await bench.advance(60)
    assert told(bench) == []


async def test_the_targets_of_a_removed_config_template_are_not_missed(bench, targets):
    await in_place(bench, targets)
    await bench.publish(removed())
    targets.delete()
    await bench.advance(60)
    assert told(bench) == []


async def test_a_target_that_left_the_spec_is_not_missed(bench, targets):
    await in_place(bench, targets)
    targets.put(elsewhere := altered("name", value="elsewhere"))
    await bench.publish(published(checksum=plan("right").checksum, target=elsewhere["metadata"]["name"]))
    targets.delete()
    await bench.advance(60)
    assert told(bench) == []


@pytest.mark.parametrize(
    "end",
    [publish_failed(), PublicationSuperseded(template=TEMPLATE, generation=1, reconciliation="r1")],
    ids=["failed", "superseded"],
)
async def test_a_publication_that_was_cut_short_has_written_some_targets(bench, targets, end):
    """The new content in them is no drift, nor is the old; what contradicts itself is."""
    await in_place(bench, targets)
    targets.put(target("newer", uid="created-anew"))
    await bench.publish(end)
    await bench.advance(60)
    assert told(bench) == []
    targets.put(target("newer", uid="created-anew", hosts="wrong"))
    await bench.advance(0)
    assert told(bench) == ["its data was changed"]


async def test_more_changes_than_are_named_are_all_judged(bench, targets):
    await in_place(bench, targets)
    targets.store.delete("edge", "proxy")
    targets._on_change(Changes(deleted=200, keys=()))
    await bench.advance(0)
    assert len(told(bench)) == 1


async def test_without_election_the_term_is_not_compared(clock, monkeypatch):
    """L7."""
    monkeypatch.setattr("controller.publisher.drift.Informer", Targets)
    client: Any = None
    watch = DriftWatch(client, clock, "", target_kinds=("ConfigMap",), namespaces=())
    async with at_work(watch, clock) as bench:
        found: Any = watch._informers["ConfigMap"]
        await in_place(bench, found)
        found.put(target(term="51"))
        await bench.advance(60)
        assert told(bench) == []
