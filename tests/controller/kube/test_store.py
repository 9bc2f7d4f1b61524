"""The store's algebra, and what is left of an object in it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.config.paths import FieldPathError
from controller.kube.store import (
    MAX_KEYS,
    Change,
    Changes,
    ObjectDecoder,
    Store,
    StoredObject,
    Tally,
    UndecodableObject,
)


def stored(
    name: str, version: int = 1, *, namespace: str = "a", uid: str = "u", raw: bytes = b"{}"
) -> StoredObject:
    return StoredObject(namespace, name, uid, str(version), 0, raw)


OBJECTS = st.builds(
    stored,
    st.sampled_from("xyz"),
    st.integers(1, 3),
    namespace=st.sampled_from("ab"),
    uid=st.sampled_from(["u1", "u2"]),
    raw=st.sampled_from([b"1", b"2"]),
)
STATES = st.lists(OBJECTS, unique_by=lambda obj: (obj.namespace, obj.name))
DELTAS = st.lists(st.tuples(st.booleans(), OBJECTS), max_size=20)


def as_dict(store: Store) -> dict[tuple[str, str], StoredObject]:
    return {(obj.namespace, obj.name): obj for obj in store.snapshot()}


def filled(objects) -> Store:
    store = Store()
    store.replace_all(objects)
    return store


# --- the algebra


@given(STATES, STATES)
def test_after_replace_all_the_store_is_what_was_given(before, after):
    store = filled(before)
    store.replace_all(after)
    assert store.snapshot() == tuple(sorted(after, key=lambda obj: (obj.namespace, obj.name)))


@given(STATES, STATES)
def test_replace_all_counts_exactly_what_differs(before, after):
    store = filled(before)
    old = as_dict(store)
    new = {(obj.namespace, obj.name): obj for obj in after}
    changes = store.replace_all(after)
    differing = {
        key for key in old.keys() & new.keys() if (old[key].uid, old[key].raw) != (new[key].uid, new[key].raw)
    }
    assert changes.created == len(new.keys() - old.keys())
    assert changes.deleted == len(old.keys() - new.keys())
    assert changes.modified == len(differing)
    assert set(changes.keys) == (new.keys() ^ old.keys()) | differing


@given(STATES, STATES)
def test_replacing_one_namespace_leaves_the_others(before, after):
    store = filled(before)
    others = [obj for obj in before if obj.namespace == "b"]
    store.replace_all([obj for obj in after if obj.namespace == "a"], "a")
    assert [obj for obj in store.snapshot() if obj.namespace == "b"] == sorted(
        others, key=lambda obj: obj.name
    )


@given(STATES, DELTAS)
def test_deltas_lead_to_the_same_state_as_a_list_of_the_result(before, deltas):
    store = filled(before)
    expected = as_dict(store)
    for is_delete, obj in deltas:
        if is_delete:
            store.delete(obj.namespace, obj.name)
            expected.pop((obj.namespace, obj.name), None)
        else:
            store.apply(obj)
            expected[obj.namespace, obj.name] = obj
    assert as_dict(store) == expected
    assert not store.replace_all(expected.values())


@given(STATES, DELTAS)
def test_a_snapshot_is_in_order_complete_and_never_changes(before, deltas):
    store = filled(before)
    for is_delete, obj in deltas:
        snapshot = store.snapshot()
        kept = list(snapshot)
        if is_delete:
            store.delete(obj.namespace, obj.name)
        else:
            store.apply(obj)
        assert list(snapshot) == kept
        keys = [(obj.namespace, obj.name) for obj in store.snapshot()]
        assert keys == sorted(keys)
        assert len(keys) == len(store)


# --- its rules one by one


def test_a_snapshot_is_the_same_until_something_changes():
    store = filled([stored("x")])
    assert store.snapshot() is store.snapshot()


def test_apply_tells_what_it_did():
    store = Store()
    assert store.apply(stored("x", 1)) is Change.CREATED
    assert store.apply(stored("x", 2)) is None
    assert store.apply(stored("x", 3, raw=b"other")) is Change.MODIFIED
    assert store.apply(stored("x", 4, raw=b"other", uid="successor")) is Change.MODIFIED


def test_the_newest_resource_version_is_kept_even_if_nothing_else_is_new():
    store = filled([stored("x", 1)])
    store.apply(stored("x", 2))
    assert store.snapshot()[0].resource_version == "2"


def test_deleting_what_is_not_there_is_no_change():
    assert Store().delete("a", "x") is None


def test_equal_bytes_are_held_once():
    store = filled([stored("x", 1, raw=bytes(bytearray(b"long")))])
    known = store.snapshot()[0]
    assert store.reuse(stored("x", 2, raw=bytes(bytearray(b"long")))).raw is known.raw
    assert store.reuse(stored("x", 1, raw=bytes(bytearray(b"long")))) is known


def test_a_report_names_a_bounded_number_of_objects_but_counts_all():
    changes = Store().replace_all(stored(f"x{number}") for number in range(MAX_KEYS + 5))
    assert changes.created == MAX_KEYS + 5
    assert len(changes.keys) == MAX_KEYS


def test_a_tally_starts_again_after_each_report():
    tally = Tally()
    tally.add(Change.CREATED, ("a", "x"))
    tally.add(None, ("a", "y"))
    assert tally.take() == Changes(created=1, keys=(("a", "x"),))
    assert not tally.take()


# --- what is stored of an object

THING: dict[str, Any] = {
    "metadata": {
        "name": "x",
        "generateName": "x-",
        "namespace": "a",
        "uid": "u",
        "resourceVersion": "7",
        "generation": 3,
        "managedFields": [{"manager": "kubectl"}],
        "annotations": {"noise": "1", "signal": "2"},
    },
    "spec": {"rules": [{"host": "h", "weight": 1}, {"host": "g"}]},
}


def document(**changes) -> bytes:
    return json.dumps(THING | changes).encode()


@pytest.mark.parametrize("ignored", [(), ("spec.nothing",)])
def test_managed_fields_and_resource_version_are_left_out(ignored):
    obj = ObjectDecoder("example.org/v1", "Thing", ignored).decode(document())
    metadata = {
        key: value
        for key, value in THING["metadata"].items()
        if key not in {"managedFields", "resourceVersion"}
    }
    expected = {"apiVersion": "example.org/v1", "kind": "Thing", "metadata": metadata, "spec": THING["spec"]}
    assert json.loads(obj.raw) == expected
    assert (obj.namespace, obj.name, obj.uid, obj.resource_version, obj.generation) == ("a", "x", "u", "7", 3)


@pytest.mark.parametrize("ignored", [(), ("spec.nothing",)])
def test_an_item_of_a_list_and_an_object_of_a_watch_are_the_same_bytes(ignored):
    decoder = ObjectDecoder("example.org/v1", "Thing", ignored)
    watched = json.dumps({"kind": "Thing", "apiVersion": "example.org/v1", **THING}).encode()
    assert decoder.decode(document()).raw == decoder.decode(watched).raw


def test_ignored_fields_are_left_out():
    decoder = ObjectDecoder(
        "example.org/v1", "Thing", ("metadata.annotations.noise", "spec.rules[*].weight", "metadata.uid")
    )
    obj = decoder.decode(document())
    content = json.loads(obj.raw)
    assert content["metadata"]["annotations"] == {"signal": "2"}
    assert content["spec"]["rules"] == [{"host": "h"}, {"host": "g"}]
    assert "uid" not in content["metadata"]
    assert obj.uid == "u"


def test_kind_and_version_cannot_be_ignored_away():
    obj = ObjectDecoder("example.org/v1", "Thing", ("kind", "metadata")).decode(document())
    assert list(json.loads(obj.raw)) == ["apiVersion", "kind", "spec"]
    assert obj.name == "x"


def test_a_path_that_is_none_is_refused_when_the_decoder_is_made():
    with pytest.raises(FieldPathError):
        ObjectDecoder("example.org/v1", "Thing", ("spec..x",))


def test_null_and_missing_metadata_are_tolerated():
    metadata = {"name": "x", "namespace": None, "uid": None, "generation": None}
    obj = ObjectDecoder("v1", "Node").decode(document(metadata=metadata))
    assert (obj.namespace, obj.uid, obj.resource_version, obj.generation) == ("", "", "", 0)


@pytest.mark.parametrize("ignored", [(), ("spec.nothing",)])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"metadata": 1}',
        b'{"metadata": {}}',
        b'{"metadata": {"name": 1}}',
        b'{"metadata": {"name": "x"}, "spec": {',
        b'{"metadata": {"name": "\xff"}}',
    ],
)
def test_what_is_no_object_is_an_error_that_names_the_kind(data, ignored):
    with pytest.raises(UndecodableObject, match="not a Thing"):
        ObjectDecoder("example.org/v1", "Thing", ignored).decode(data)


def test_an_object_holds_nothing_of_the_page_it_came_from():
    page = bytearray(b'{"items": [%s]}' % document())
    (item,) = msgspec.json.Decoder(dict[str, list[msgspec.Raw]]).decode(page)["items"]
    obj = ObjectDecoder("example.org/v1", "Thing").decode(item)
    copy = bytes(obj.raw)
    del item
    page[:] = b" " * len(page)
    assert obj.raw == copy


def test_the_next_object_does_not_change_the_last_one():
    decoder = ObjectDecoder("example.org/v1", "Thing")
    first = decoder.decode(document(spec="first"))
    copy = bytes(first.raw)
    decoder.decode(document(spec="second"))
    assert first.raw == copy
