"""The format validator: what may be published as JSON, YAML or TOML."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from controller.problems import Problem
from controller.validators.formats import LONGEST_LINE, Format
from controller.validators.output import MAX_BYTES
from controller.validators.yaml_check import DEEPEST
from tests.controller.validators.support import judged, output


def found(kind: str, text: str, **fields: Any) -> list[Problem]:
    return list(Format().validate(output(text, format=kind, **fields)))


GOOD = {
    "text": ["{", "a: b: c", "\x00"],
    "json": ['{"a": [1, -2.5e3, null, "\\u00e9"]}', "9" * 5000, '{"a": {"a": 1}, "b": {"a": 1}}'],
    "yaml": [
        "a: 1\nb: [x, {y: z}]\n",
        "a: 1\n---\na: 2\n...\n---\n- b\n",
        "base: &base {x: 1}\nweb: {<<: *base, y: 2}\n",
        "Ref: !Ref thing\n",
        "1: a\n'1': b\n",
        "? [a]\n: 1\n? [a]\n: 2\n",
        "&key a: 1\n*key : 2\n",
        "# a comment alone\n",
    ],
    "toml": ['a = 1\n[b]\nc = ["x", 2.5]\n', "a.b.c = 1\na.b.d = 2\n", 'text = "' + "a. b. " * 500 + '"'],
}


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in GOOD.items() for text in texts])
def test_a_text_of_its_format_is_fine(kind, text):
    assert found(kind, text) == []


@pytest.mark.parametrize("kind", ["json", "yaml", "toml"])
@pytest.mark.parametrize("text", ["", " \n", "\t" * (MAX_BYTES + 1), '{"' * MAX_BYTES])
def test_empty_and_oversized_texts_are_for_others_to_refuse(kind, text):
    assert found(kind, text) == []


@pytest.mark.parametrize(
    ("kind", "text", "place", "says"),
    [
        ("json", '{"a": 1,\n "b" 2}', (2, 6), "Expecting ':' delimiter"),
        ("json", "{}\nx", (2, 1), "Extra data"),
        ("json", '{"a": NaN}', (None, None), "NaN is no number in JSON"),
        ("json", '{"b": {"a": 1, "a": 2}}', (None, None), "the key 'a' stands twice in one object"),
        ("yaml", "a: 1\nb: c: d\n", (2, 5), "mapping values are not allowed"),
        ("yaml", "a: [1\n", (2, 1), "did not find expected ',' or ']'"),
        ("yaml", "é: 1\né:\x07", (2, 3), "control characters are not allowed (#x0007)"),
        ("yaml", "a: 1\nb: 2\n'a': 3\n", (3, 1), "the key 'a' stands twice in one mapping"),
        ("yaml", "- {a: {b: 1}, a: 2}\n", (1, 15), "the key 'a' stands twice in one mapping"),
        ("yaml", "a: &x 1\n---\nb: *x\n", (3, 4), "there is no anchor 'x' for this alias"),
        ("toml", "a = 1\nb = \n", (2, 5), "Invalid value"),
        ("toml", "a = 1\na = 2", (2, 6), "Cannot overwrite a value"),
        ("toml", "a = 1\r\nb = 1 2\r\n", (2, 7), "Expected newline"),
        ("toml", "a = " + "9" * 5000, (None, None), "Exceeds the limit"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(kind, text, place, says):
    (problem,) = found(kind, text)
    assert (problem.line, problem.column) == place
    assert says in problem.message
    assert f"the rendered text is not valid {kind.upper()}: " in problem.message


def test_the_line_is_shown_with_a_caret():
    (problem,) = found("yaml", "a: 1\nb: c: d\n")
    assert str(problem).endswith("\n  b: c: d\n      ^")


def test_lines_end_where_the_parser_says():
    (problem,) = found("yaml", "a: 1\u2028b: c: d\r\n")
    assert (problem.line, problem.source_line) == (2, "b: c: d")
    (problem,) = found("json", '["\u2028",\r\n x]\r\n')
    assert (problem.line, problem.source_line) == (2, " x]")


def test_a_very_long_line_is_not_shown():
    (problem,) = found("json", "[" + "1," * LONGEST_LINE + "]")
    assert problem.column is not None
    assert problem.source_line is None


async def test_of_a_sensitive_output_only_the_place_is_told():
    (problem,) = await judged(Format(), output('{"a": hunter2}', name="db", format="json", sensitive=True))
    assert (problem.template, problem.line, problem.column) == ("db", 1, 7)
    assert "refused by validator format; details withheld" in problem.message
    assert "hunter2" not in repr(problem)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("json", "[" * 500_000),
        ("yaml", "[" * 1_000_000),
        ("yaml", "- " * 500_000),
        ("yaml", "? " * 500_000),
        ("toml", "a = " + "[" * 500_000),
    ],
)
def test_bottomless_nesting_is_refused_at_once(kind, text):
    """Built by a composer, some of these end the process; scanned to the end, others take minutes."""
    (problem,) = found(kind, text)
    assert "it is nested too deeply" in problem.message


@pytest.mark.parametrize("part", ["a.", '"x y" . ', "'.'.", '"\\"".'])
def test_a_key_of_very_many_parts_is_refused_at_once(part):
    """The standard library's parser takes time with the cube of their number."""
    (problem,) = found("toml", f"x = 1\n{part * 100_000}b = 1")
    assert problem.message.endswith("a key has too many parts")
    assert (problem.line, problem.column) == (2, 1)


def test_the_deepest_yaml_is_as_deep_as_promised():
    assert found("yaml", "[" * DEEPEST + "]" * DEEPEST) == []
    assert len(found("yaml", "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1))) == 1


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc:#'\" é"), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
def test_whatever_is_dumped_is_valid(value):
    assert found("json", json.dumps(value)) == []
    assert found("yaml", yaml.safe_dump(value, allow_unicode=False)) == []
