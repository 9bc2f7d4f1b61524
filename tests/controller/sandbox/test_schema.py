"""Pruning and defaulting by a schema, beyond what the conformance suite holds against a real server."""

from __future__ import annotations

from controller.sandbox.schema import fill_defaults, prune

PART = {"type": "object", "properties": {"a": {"type": "integer", "default": 1}}}


def test_values_of_a_map_are_pruned_and_defaulted():
    schema = {"type": "object", "additionalProperties": PART}
    value = {"x": {"a": 2, "b": 3}, "y": {}}
    assert prune(value, schema) == ["x.b"]
    fill_defaults(value, schema)
    assert value == {"x": {"a": 2}, "y": {"a": 1}}


def test_a_free_form_map_keeps_everything():
    value = {"x": {"y": [1]}}
    assert prune(value, {"type": "object", "additionalProperties": True}) == []
    assert value == {"x": {"y": [1]}}


def test_known_fields_of_a_free_form_object_are_pruned_themselves():
    schema = {"x-kubernetes-preserve-unknown-fields": True, "properties": {"known": PART}}
    value = {"known": {"b": 1}, "unknown": {"b": 1}}
    assert prune(value, schema) == ["known.b"]
    assert value == {"known": {}, "unknown": {"b": 1}}


def test_an_embedded_object_keeps_its_type_and_metadata():
    schema = {"type": "object", "x-kubernetes-embedded-resource": True, "properties": {"spec": PART}}
    value = {"apiVersion": "v1", "kind": "X", "metadata": {"name": "a"}, "spec": {"b": 1}, "more": 1}
    assert prune(value, schema) == ["spec.b", "more"]
    assert value == {"apiVersion": "v1", "kind": "X", "metadata": {"name": "a"}, "spec": {}}


def test_an_object_without_described_fields_keeps_none():
    value = {"a": 1}
    prune(value, {"type": "object"})
    assert value == {}


def test_defaults_are_copies():
    schema = {"type": "object", "properties": {"list": {"type": "array", "default": []}}}
    first: dict[str, list[int]] = {}
    second: dict[str, list[int]] = {}
    fill_defaults(first, schema)
    first["list"].append(1)
    fill_defaults(second, schema)
    assert second == {"list": []}


def test_null_goes_unless_it_is_allowed_or_means_nothing_special():
    schema = {
        "type": "object",
        "properties": {
            "plain": {"type": "string"},
            "nullable": {"type": "string", "nullable": True},
            "free": {"x-kubernetes-preserve-unknown-fields": True},
            "defaulted": {"type": "string", "default": "x"},
        },
    }
    value = dict.fromkeys(schema["properties"])
    fill_defaults(value, schema)
    assert value == {"nullable": None, "free": None, "defaulted": "x"}
