"""The ConfigTemplate's spec: what is accepted, what it means, and how everything else is refused."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest
from pydantic import ValidationError

from controller.config.model import (
    ConfigTemplateSpec,
    Format,
    LabelSelector,
    Output,
    SpecInvalid,
    Target,
    Watch,
    parse_spec,
)
from tests.controller.config.specs import BAD, EXAMPLE, GOOD, MINIMAL, Bad, changed


def problems_of(spec: Any, *, strict: bool = True) -> dict[str, str]:
    """Messages by field path."""
    with pytest.raises(SpecInvalid) as caught:
        parse_spec(spec, strict=strict)
    return {problem.path: problem.message for problem in caught.value.problems}


@pytest.mark.parametrize("spec", GOOD)
def test_good_specs_are_accepted(spec):
    assert isinstance(parse_spec(spec, strict=True), ConfigTemplateSpec)


@pytest.mark.parametrize("bad", BAD, ids=str)
def test_bad_specs_are_refused_with_the_field_and_the_reason(bad: Bad):
    problems = problems_of(bad.spec)
    assert list(problems) == [bad.path]
    assert bad.says in problems[bad.path]


def test_what_is_left_out_has_its_default():
    spec = parse_spec(MINIMAL, strict=True)
    assert not spec.suspend
    assert (spec.watches, spec.snippets, spec.values, spec.tests) == ((), (), {}, ())
    assert (spec.reconcile.min_interval_seconds, spec.reconcile.drift_interval_seconds) == (2.0, 600.0)
    assert spec.outputs[0] == Output(
        name="hello", template="hello", format=Format.TEXT, target=Target(name="hello", key="hello.txt")
    )
    assert spec.outputs[0].target.kind == "ConfigMap"


def test_yaml_names_become_attributes():
    watch = parse_spec(EXAMPLE, strict=True).watches[0]
    assert watch.api_version == "networking.k8s.io/v1"
    assert watch.namespaces == ("edge",)
    assert watch.index_by == ("metadata.namespace", "spec.ingressClassName")
    assert watch.ignore_fields == ("metadata.annotations",)


def test_free_form_values_keep_their_nulls():
    assert parse_spec(EXAMPLE, strict=True).values == EXAMPLE["values"]


def test_any_mapping_will_do():
    assert parse_spec(MappingProxyType(dict(MINIMAL)), strict=True) == parse_spec(MINIMAL, strict=True)


def test_a_spec_does_not_change():
    spec = parse_spec(MINIMAL, strict=True)
    with pytest.raises(ValidationError, match="frozen"):
        spec.suspend = True  # type: ignore[misc] # that is the point


def test_all_problems_are_found_at_once():
    spec = {
        "watches": [{"name": "values", "apiVersion": "v1", "kind": "Pod"}, {"name": "b", "kind": 1}],
        "outputs": [
            {"name": "a", "template": "", "target": {"name": "x", "key": "y"}},
            {"name": "a", "template": "", "target": {"name": "x", "key": "y"}},
        ],
        "reconcile": {"minInterval": "1ms", "driftInterval": "soon"},
    }
    assert list(problems_of(spec)) == [
        "spec.watches[0].name",
        "spec.watches[1].apiVersion",
        "spec.watches[1].kind",
        "spec.outputs[1].name",
        "spec.outputs[1].target",
        "spec.reconcile.minInterval",
        "spec.reconcile.driftInterval",
    ]


def test_a_list_whose_items_are_all_wrong_is_not_called_empty():
    """Pydantic leaves wrong items out, and then finds the list too short."""
    assert list(problems_of({"outputs": [{"template": "x"}]})) == [
        "spec.outputs[0].name",
        "spec.outputs[0].target",
    ]


def test_the_error_tells_every_problem_in_words():
    with pytest.raises(SpecInvalid) as caught:
        parse_spec(changed("outputs[1].target.key", "a/b"), strict=True)
    assert str(caught.value) == "spec.outputs[1].target.key: 'a/b' must be letters, digits, -, _ and ."


def test_long_values_are_cut_in_messages():
    message = problems_of(changed("outputs[0].target.key", "/" * 200))["spec.outputs[0].target.key"]
    assert len(message) < 120
    assert "…" in message


@pytest.mark.parametrize(
    ("at", "suggestion"),
    [
        ("watch", "did you mean watches?"),
        ("watches[0].labelselector", "did you mean labelSelector?"),
        ("watches[0].api_version", "did you mean apiVersion?"),
        ("watches[0].labelSelector.matchLabel", "did you mean matchLabels?"),
        ("outputs[0].target.names", "did you mean name?"),
        ("tests[0].expect[0].contain", "did you mean contains?"),
        ("reconcile.interval", "did you mean minInterval?"),
        ("outputs[0].target.namespace", "known are kind, name, key"),
    ],
)
def test_strict_refuses_unknown_fields_with_a_suggestion(at, suggestion):
    message = problems_of(changed(at, "x"))[f"spec.{at}"]
    assert message.startswith("unknown field")
    assert suggestion in message


def test_strict_refuses_an_unknown_field_that_is_null():
    assert list(problems_of({**MINIMAL, "watch": None})) == ["spec.watch"]


def test_otherwise_unknown_fields_are_left_out():
    assert parse_spec({**MINIMAL, "watch": [], "api_version": 1}, strict=False) == parse_spec(
        MINIMAL, strict=True
    )


def test_keys_that_are_no_text_are_refused():
    assert problems_of({**MINIMAL, 1: "x"})["spec[1]"] == "a number is no field name"
    assert problems_of({**MINIMAL, "values": {1: "x"}})["spec.values[1]"] == "the key must be text"


def test_a_spec_that_is_no_mapping_is_refused():
    assert problems_of(["outputs"]) == {"spec": "must be a mapping, not a list"}


@pytest.mark.parametrize(
    ("selector", "query"),
    [
        ({}, ""),
        ({"matchLabels": {"b": "2", "a": "1", "empty": ""}}, "a=1,b=2,empty="),
        ({"matchExpressions": [{"key": "a", "operator": "In", "values": ["y", "x"]}]}, "a in (x,y)"),
        ({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["x"]}]}, "a notin (x)"),
        ({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, "a"),
        ({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, "!a"),
        (
            {"matchLabels": {"b": "2"}, "matchExpressions": [{"key": "a", "operator": "Exists"}]},
            "a,b=2",
        ),
    ],
)
def test_a_label_selector_becomes_a_query_in_canonical_order(selector, query):
    assert LabelSelector.model_validate(selector).query() == query


def test_models_are_made_by_their_python_names():
    watch = Watch(name="pods", api_version="v1", kind="Pod", all_namespaces=True)
    assert (
        watch
        == parse_spec(
            {
                **MINIMAL,
                "watches": [{"name": "pods", "apiVersion": "v1", "kind": "Pod", "allNamespaces": True}],
            },
            strict=True,
        ).watches[0]
    )
