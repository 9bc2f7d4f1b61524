"""Our filters and helpers, each rule through a template."""

from __future__ import annotations

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from controller.templating import filters
from tests.controller.templating.support import kubernetes_object, patient, problem, render, watch

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.parametrize(
    ("expression", "text"),
    [
        ("{'b': [1, none], 'a': 'é'} | to_json", '{"a":"é","b":[1,null]}'),
        ("{'b': 1, 'a': []} | to_json(indent=2)", '{\n  "a": [],\n  "b": 1\n}'),
        ("web | to_json", '[{"metadata":{"name":"a"}}]'),
        ("('{\"a\": [1, 2]}' | from_json).a | sum", "3"),
        ("{'b': [1, {'c': none}], 'a': {}} | to_yaml", "a: {}\nb:\n- 1\n- c: null"),
        ("'plain' | to_yaml", "plain"),
        ("'a\nb\n' | to_yaml", "|\n  a\n  b"),
        ("'12e4567' | to_yaml", "'12e4567'"),
        ("['yes', 'n', '1.5', '0o7', '007'] | to_yaml", "- 'yes'\n- 'n'\n- '1.5'\n- '0o7'\n- '007'"),
        ("('a: 2025-01-31' | from_yaml).a", "2025-01-31"),
        ("('- 1\n- x' | from_yaml)[1]", "x"),
        ("'grüß' | b64encode", "Z3LDvMOf"),
        ("'Z3LDvMOf' | b64decode", "grüß"),
        ("'abc' | sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ("'a\nb' | indent(2)", "a\n  b"),
        ("values | dig('a', 0, 'b')", "x"),
        ("values | dig('a', 1, 'b', default='-')", "-"),
        ("values | dig('a', 'b', default='-')", "-"),
        ("values.nope | dig('a', default='-')", "-"),
        ("values | dig('nope') | default('-')", "-"),
        ("required(values.port, 'port?')", "80"),
        ("required(0, 'zero is a value')", "0"),
    ],
)  # fmt: skip
def test_expressions(expression, text):
    values = {"a": [{"b": "x"}], "port": 80}
    assert render(f"{{{{ {expression} }}}}", watch("web", kubernetes_object("a")), values=values) == text


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("fail('no backend')", "no backend"),
        ("required(values.port, 'set values.port')", "set values.port"),
        ("required('', 'empty')", "empty"),
        ("required(none, 'none')", "none"),
        ("range | to_json", "cannot be written as JSON"),
        ("[values.nope] | to_json", "'nope' is undefined"),
        ("values.nope | to_yaml", "'nope' is undefined"),
        ("'{' | from_json", "from_json: Input data was truncated"),
        ("'a: [' | from_yaml", "from_yaml: while parsing"),
        ("'***' | b64decode", "not valid Base64"),
        ("'/w==' | b64decode", "no UTF-8 text"),
        ("{} | b64encode", "b64encode takes a text, not a dict"),
        ("values.nope | sha256", "'nope' is undefined"),
        ("[] | sort_by", "at least one field path"),
        ("[{}] | sort_by('a..b')", "'a..b'"),
        ("values | dig('nope')", "'nope' is undefined"),
        ("values.nope | dig('a')", "'nope' is undefined"),
    ],
)
def test_failures(expression, message):
    assert message in problem(f"{{{{ {expression} }}}}").message


def test_sort_by_is_stable_and_puts_what_lacks_the_field_last():
    items = [{"n": "c"}, {"n": "a", "w": 2}, {"n": "b", "w": 1}, {"n": "d", "w": 1}]
    assert [item["n"] for item in filters.sort_by(items, "w")] == ["b", "d", "a", "c"]


def test_sort_by_takes_several_paths():
    items = [{"a": 1, "b": 2}, {"a": 1, "b": 1}, {"a": 0, "b": 9}]
    assert filters.sort_by(items, "a", "b") == [{"a": 0, "b": 9}, {"a": 1, "b": 1}, {"a": 1, "b": 2}]


@patient
@given(st.lists(st.fixed_dictionaries({}, optional={"w": JSON}), max_size=6), st.randoms())
def test_sort_by_orders_anything_whatever_order_it_comes_in(items, random):
    shuffled = random.sample(items, len(items))
    assert filters.sort_by(shuffled, "w") == filters.sort_by(items, "w")


@patient
@given(JSON)
def test_json_reads_back(value):
    assert filters.from_json(filters.to_json(value)) == value


@patient
@given(JSON)
def test_yaml_reads_back(value):
    text = filters.to_yaml(value)
    assert json.dumps(filters.from_yaml(text + "\n"), sort_keys=True) == json.dumps(value, sort_keys=True)


def test_yaml_repeats_instead_of_referring():
    twice = {"a": 1}
    assert yaml.safe_load(filters.to_yaml([twice, twice])) == [twice, twice]
    assert "&" not in filters.to_yaml([twice, twice])
