"""Merge patches and JSON patches, by the examples of their RFCs."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.sandbox.patches import is_strategic, json_patch, merge_patch
from controller.sandbox.statuses import Refused

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=2), JSON, max_size=3)


@pytest.mark.parametrize(
    ("original", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch_does_what_rfc_7386_says(original, patch, result):
    assert merge_patch(patch)(original) == result


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_applied_twice_changes_nothing_more(original, patch):
    once = merge_patch(patch)(copy.deepcopy(original))
    assert merge_patch(patch)(copy.deepcopy(once)) == once


@pytest.mark.parametrize(
    ("original", "operations", "result"),
    [
        ({"a": 1}, [{"op": "add", "path": "/b", "value": 2}], {"a": 1, "b": 2}),
        ({"a": [1, 3]}, [{"op": "add", "path": "/a/1", "value": 2}], {"a": [1, 2, 3]}),
        ({"a": [1]}, [{"op": "add", "path": "/a/-", "value": 2}], {"a": [1, 2]}),
        ({"a": [1, 2]}, [{"op": "remove", "path": "/a/0"}], {"a": [2]}),
        ({"a": 1}, [{"op": "replace", "path": "/a", "value": 2}], {"a": 2}),
        ({"a": {"b": 1}}, [{"op": "move", "from": "/a/b", "path": "/c"}], {"a": {}, "c": 1}),
        ({"a": {"b": 1}}, [{"op": "copy", "from": "/a", "path": "/c"}], {"a": {"b": 1}, "c": {"b": 1}}),
        ({"a/b": 1, "~": 2}, [{"op": "remove", "path": "/a~1b"}, {"op": "remove", "path": "/~0"}], {}),
        ({"a": 1}, [{"op": "replace", "path": "", "value": {"b": 2}}], {"b": 2}),
        ({"a": 1}, [{"op": "test", "path": "/a", "value": 1}], {"a": 1}),
    ],
)
def test_a_json_patch_does_what_rfc_6902_says(original, operations, result):
    assert json_patch(operations)(original) == result


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "add", "path": "/a/5", "value": 1},
        {"op": "remove", "path": "/b"},
        {"op": "test", "path": "/a", "value": []},
        {"op": "unheard-of", "path": "/a"},
        {"op": "add", "path": "/a/b/c", "value": 1},
        {"path": "/a"},
    ],
)
def test_an_operation_that_does_not_apply_is_refused(operation):
    with pytest.raises(Refused) as refused:
        json_patch([operation])({"a": [1]})
    assert refused.value.code == 422


@pytest.mark.parametrize("make", [merge_patch, json_patch])
def test_a_patch_of_the_wrong_shape_is_refused(make):
    with pytest.raises(Refused) as refused:
        make("text")
    assert refused.value.code == 400


@pytest.mark.parametrize(
    ("patch", "strategic"),
    [({"a": {"b": 1}}, False), ({"a": {"b": []}}, True), ({"a": {"$patch": "replace"}}, True)],
)
def test_lists_and_directives_make_a_patch_strategic(patch, strategic):
    assert is_strategic(patch) is strategic
