"""The generated CustomResourceDefinition: structural, bounded, described."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from controller.config.crd import crd, crd_yaml


def version() -> dict[str, Any]:
    versions = crd()["spec"]["versions"]
    assert len(versions) == 1
    return dict(versions[0])


def schema_of(field: str) -> dict[str, Any]:
    return dict(version()["schema"]["openAPIV3Schema"]["properties"][field])


def nodes(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """The schema and everything in it, with paths for messages."""
    yield path, schema
    for name, value in schema.get("properties", {}).items():
        yield from nodes(value, f"{path}.{name}")
    for inner in ("items", "additionalProperties"):
        if inner in schema:
            yield from nodes(schema[inner], f"{path}[]")


def everything() -> list[tuple[str, dict[str, Any]]]:
    return [*nodes(schema_of("spec"), "spec"), *nodes(schema_of("status"), "status")]


def test_it_is_named_as_users_call_it():
    definition = crd()
    names = definition["spec"]["names"]
    assert definition["metadata"]["name"] == "configtemplates.kopfbus.dev"
    assert (names["kind"], names["plural"], names["shortNames"]) == (
        "ConfigTemplate",
        "configtemplates",
        ["ctpl"],
    )
    assert definition["spec"]["scope"] == "Namespaced"
    assert version()["name"] == "v1alpha1"
    assert version()["subresources"] == {"status": {}}


def test_it_is_structural():
    """No reference, alternative or null is left, and every node has a type."""
    for path, node in everything():
        assert node["type"] in {"object", "array", "string", "integer", "boolean"}, path
        assert not {"$ref", "$defs", "anyOf", "oneOf", "allOf", "const", "title"} & set(node), path
        assert node.get("default", "") is not None, path


def test_everything_is_bounded():
    """Without bounds the API server refuses the CEL rules for what they might cost."""
    for path, node in everything():
        if node["type"] == "string" and "enum" not in node:
            assert "maxLength" in node or node.get("format") == "date-time", path
        if node["type"] == "array":
            assert "maxItems" in node, path
        if "additionalProperties" in node:
            assert "maxProperties" in node, path


def test_every_field_is_described():
    for path, node in everything():
        if not path.endswith("[]"):
            assert node.get("description", "").endswith("."), path


def test_free_form_fields_are_not_pruned():
    free = {path for path, node in everything() if "x-kubernetes-preserve-unknown-fields" in node}
    assert free == {"spec.values", "spec.tests[].values", "spec.tests[].fixtures[][]"}


def test_lists_of_named_things_are_maps():
    keyed = {
        path: node["x-kubernetes-list-map-keys"]
        for path, node in everything()
        if "x-kubernetes-list-map-keys" in node
    }
    assert keyed == {
        "spec.watches": ["name"],
        "spec.snippets": ["name"],
        "spec.outputs": ["name"],
        "spec.tests": ["name"],
        "status.conditions": ["type"],
        "status.outputs": ["name"],
        "status.watches": ["name"],
    }


def test_reconcile_has_defaults_as_a_whole():
    reconcile = schema_of("spec")["properties"]["reconcile"]
    assert reconcile["default"] == {"minInterval": "2s", "driftInterval": "10m"}


def test_every_rule_has_a_message_for_people():
    rules = [rule for _, node in everything() for rule in node.get("x-kubernetes-validations", ())]
    assert len(rules) >= 8
    for rule in rules:
        assert " " in rule["message"]
        assert "(" not in rule["message"]


def test_the_yaml_says_the_same_without_anchors():
    text = crd_yaml()
    assert yaml.safe_load(text) == crd()
    assert "&id" not in text


def test_every_call_gives_a_fresh_definition():
    crd()["spec"]["versions"].clear()
    assert crd()["spec"]["versions"]


def test_kubectl_get_shows_whether_it_is_ready_and_why():
    columns = {column["name"]: column for column in version()["additionalPrinterColumns"]}
    assert list(columns) == ["Ready", "Reason", "Age", "Suspended", "Message"]
    assert columns["Ready"]["jsonPath"] == '.status.conditions[?(@.type=="Ready")].status'
    assert [name for name, column in columns.items() if column["priority"]] == ["Suspended", "Message"]
