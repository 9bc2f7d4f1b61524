"""Checks of a structural schema, beyond what the conformance suite holds against a real server."""

from __future__ import annotations

import pytest

from controller.sandbox.validation import check

STRING = {"type": "string"}
INTEGER = {"type": "integer"}


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        ({"allOf": [{"minimum": 1}, {"maximum": 3}]}, 2, 4),
        ({"anyOf": [STRING, INTEGER]}, 1, []),
        ({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}, {"a": 1}, {"a": 1, "b": 2}),
        ({"oneOf": [{"required": ["a"]}, {"required": ["b"]}]}, {"b": 1}, {}),
        ({"not": {"required": ["a"]}}, {}, {"a": 1}),
        ({"type": "number", "multipleOf": 0.5}, 1.5, 1.2),
        ({"type": "number", "maximum": 2, "exclusiveMaximum": True}, 1.9, 2),
        ({"type": "integer"}, 2.0, 2.5),
        ({"type": "object", "minProperties": 1}, {"a": 1}, {}),
        ({"type": "boolean"}, False, 0),
        ({"type": "string", "nullable": True}, None, 1),
        ({"type": "string", "format": "date"}, "2030-01-31", "31.1.2030"),
        ({"type": "string", "format": "date-time"}, "2030-01-31T01:02:03.5+01:00", "2030-01-31"),
        ({"type": "string", "format": "unknown to the server"}, "anything", 1),
        ({"x-kubernetes-list-type": "set"}, [{"a": 1}, {"a": 2}], [{"a": 1, "b": 2}, {"b": 2, "a": 1}]),
    ],
)
def test_a_schema_tells_good_from_bad(schema, good, bad):
    assert list(check(good, schema, "spec")) == []
    assert list(check(bad, schema, "spec"))


def test_a_list_of_type_map_is_keyed_by_all_its_keys():
    schema = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name", "port"]}
    assert not list(check([{"name": "a", "port": 1}, {"name": "a", "port": 2}], schema, "spec"))
    (cause,) = check([{"name": "a", "port": 1}, {"name": "a", "port": 1}], schema, "spec")
    assert cause.field == "spec[1]"


def test_findings_name_the_place_in_nested_values():
    schema = {"properties": {"a": {"items": {"additionalProperties": STRING}}}}
    (cause,) = check({"a": [{}, {"b": 1}]}, schema)
    assert cause.field == "a[1].b"
