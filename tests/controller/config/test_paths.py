"""Field paths: what is one, where it leads, and what it removes."""

from __future__ import annotations

import copy
from typing import Any

import jsonpath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.config.paths import FieldPath, FieldPathError, Step

OBJECT = {
    "metadata": {"name": "web", "annotations": {"example.org/note": "x", "kept": "y"}},
    "spec": {"rules": [{"host": "a"}, {"host": "b", "paths": ["/", "/b"]}, {"other": 1}]},
}

names = st.text(st.characters(min_codepoint=32, exclude_categories=["Cs"]), max_size=8)
steps = st.lists(st.one_of(names, st.integers(-3, 3), st.none()), min_size=1, max_size=5)
keys = st.sampled_from(["a", "b", "c.d", ""])
likely_steps = st.lists(st.one_of(keys, st.integers(-3, 3), st.none()), min_size=1, max_size=4)
documents = st.recursive(
    st.none() | st.integers(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4),
    max_leaves=20,
)


def spelled(path: list[Step]) -> str:
    """The path in brackets throughout, as JSONPath quotes names."""

    def bracket(step: Step) -> str:
        if step is None:
            return "[*]"
        if isinstance(step, int):
            return f"[{step}]"
        return "['" + step.replace("\\", "\\\\").replace("'", "\\'") + "']"

    return "$" + "".join(map(bracket, path))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("metadata.namespace", ("metadata", "namespace")),
        ("$.metadata.namespace", ("metadata", "namespace")),
        ("metadata.annotations['example.org/note']", ("metadata", "annotations", "example.org/note")),
        ('metadata.annotations["example.org/note"]', ("metadata", "annotations", "example.org/note")),
        ("['a.b'].c", ("a.b", "c")),
        ("$['a.b']", ("a.b",)),
        ("spec.rules[*].host", ("spec", "rules", None, "host")),
        ("spec.rules[0].paths[-1]", ("spec", "rules", 0, "paths", -1)),
        ("a-b._c.true.and", ("a-b", "_c", "true", "and")),
        ("a['']", ("a", "")),
    ],
)
def test_a_path_is_names_indexes_quoted_names_and_wildcards(text, expected):
    path = FieldPath.parse(text)
    assert path.steps == expected
    assert str(path) == text


@pytest.mark.parametrize(
    ("text", "column", "why"),
    [
        ("", 1, "ends too early"),
        ("$", 1, "names no field"),
        ("a.", 3, "ends too early"),
        ("a[", 3, "ends too early"),
        ("a b", 3, "unexpected 'b'"),
        (" a", 1, "unexpected ' '"),
        ("metadata.labels.app.kubernetes.io/name", 34, "unexpected '/'"),
        ("a['x", 3, "unexpected"),
        ("$a", 2, "unexpected 'a'"),
        ("a.0", 3, "unexpected '0'"),
        ("a[01]", 3, "unexpected '01'"),
        ("a[1e5]", 1, "not a whole number"),
        ("a..b", 2, "'..' would search"),
        ("a.*", 2, "write [*]"),
        ("a[1:2]", 2, "no slices and no filters"),
        ("a[?@.b == 1]", 2, "no slices and no filters"),
        ("$.a['b', 'c']", 4, "one name or index per bracket"),
    ],
)
def test_anything_else_is_refused_with_the_column_and_the_reason(text, column, why):
    with pytest.raises(FieldPathError) as caught:
        FieldPath.parse(text)
    assert caught.value.column == column
    assert why in caught.value.message
    assert f"(column {column})" in str(caught.value)


def test_the_reason_tells_how_to_write_a_path():
    with pytest.raises(FieldPathError, match=r"as in spec\.rules\[\*\]\.host"):
        FieldPath.parse("a..b")


def test_paths_to_the_same_place_are_equal_however_spelled():
    assert {FieldPath.parse("a.b"), FieldPath.parse("$['a']['b']")} == {FieldPath.parse("$.a.b")}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("metadata.name", ["web"]),
        ("metadata.annotations['example.org/note']", ["x"]),
        ("spec.rules[*].host", ["a", "b"]),
        ("spec.rules[*].paths[*]", ["/", "/b"]),
        ("spec.rules[-1].other", [1]),
        ("metadata.annotations[*]", ["x", "y"]),
        ("spec.rules[3]", []),
        ("spec.rules[-4]", []),
        ("spec.rules.host", []),
        ("metadata[0]", []),
        ("metadata.name[0]", []),
        ("nothing.at.all", []),
    ],
)
def test_values_are_everything_the_path_leads_to_in_order(text, expected):
    assert FieldPath.parse(text).values(OBJECT) == expected


@pytest.mark.parametrize(
    ("text", "where", "left"),
    [
        ("metadata.annotations", "metadata", {"name": "web"}),
        ("metadata.annotations['example.org/note']", "metadata.annotations", {"kept": "y"}),
        ("spec.rules[*].host", "spec.rules", [{}, {"paths": ["/", "/b"]}, {"other": 1}]),
        ("spec.rules[0]", "spec.rules[*].host", "b"),
        ("spec.rules[-1]", "spec.rules[*].host", ["a", "b"]),
        ("spec.rules[*]", "spec.rules", []),
        ("metadata.annotations[*]", "metadata.annotations", {}),
        ("spec.rules[7]", "spec", OBJECT["spec"]),
        ("nothing.at.all", "spec", OBJECT["spec"]),
    ],
)
def test_remove_takes_out_what_the_path_leads_to_and_nothing_else(text, where, left):
    obj = copy.deepcopy(OBJECT)
    FieldPath.parse(text).remove(obj)
    found = FieldPath.parse(where).values(obj)
    assert found in (left, [left])


@given(st.text(st.sampled_from("ab.$[]*'\"\\0-19e?@:,() _/\n") | st.characters(), max_size=30))
def test_every_text_is_a_path_or_refused_at_a_column_within_it(text):
    assert 1 <= column_of_refusal(text) <= len(text) + 1


def column_of_refusal(text: str) -> int:
    try:
        FieldPath.parse(text)
    except FieldPathError as error:
        return error.column
    return 1


@given(steps)
def test_any_name_can_be_written_in_quotes(path):
    assert FieldPath.parse(spelled(path)).steps == tuple(path)


@given(likely_steps, documents)
def test_values_are_what_the_jsonpath_library_finds(path, document):
    expected = jsonpath.findall(spelled(path), document, strict=True)
    assert FieldPath.parse(spelled(path)).values(document) == expected


@given(likely_steps, documents)
def test_remove_takes_out_exactly_the_matches_of_the_jsonpath_library(path, document):
    expected = without_matches(spelled(path), document)
    FieldPath.parse(spelled(path)).remove(document)
    assert document == expected


def without_matches(path: str, document: Any) -> Any:
    rest = copy.deepcopy(document)
    # From the end, so that no deletion moves what is still to be deleted.
    for match in reversed(list(jsonpath.finditer(path, rest, strict=True))):
        assert match.parent is not None
        parent: Any = match.parent.obj
        del parent[match.parts[-1]]
    return rest
