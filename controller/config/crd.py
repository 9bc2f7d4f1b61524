"""The CustomResourceDefinition, generated from the model: `kopfbus crd` prints it, the chart installs it."""

from __future__ import annotations

import copy
from typing import Any

import yaml

from controller.config import status
from controller.config.model import GROUP, KIND, PLURAL, SPEC, VERSION

_COLUMNS = (
    ("Ready", "string", '.status.conditions[?(@.type=="Ready")].status', 0),
    ("Reason", "string", '.status.conditions[?(@.type=="Ready")].reason', 0),
    ("Age", "date", ".metadata.creationTimestamp", 0),
    ("Suspended", "boolean", ".spec.suspend", 1),
    ("Message", "string", '.status.conditions[?(@.type=="Ready")].message', 1),
)


def crd() -> dict[str, Any]:
    """The CustomResourceDefinition as it is sent to the API server; every call gives a fresh one."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{PLURAL}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "names": {
                "kind": KIND,
                "listKind": f"{KIND}List",
                "plural": PLURAL,
                "singular": KIND.lower(),
                "shortNames": ["ctpl"],
                "categories": ["kopfbus"],
            },
            "scope": "Namespaced",
            "versions": [_version()],
        },
    }


def crd_yaml() -> str:
    """The same as YAML."""
    return yaml.safe_dump(crd(), sort_keys=False, width=110, allow_unicode=True)


def _version() -> dict[str, Any]:
    return {
        "name": VERSION,
        "served": True,
        "storage": True,
        "subresources": {"status": {}},
        "additionalPrinterColumns": [
            {"name": name, "type": kind, "jsonPath": path, "priority": priority}
            for name, kind, path, priority in _COLUMNS
        ],
        "schema": {
            "openAPIV3Schema": {
                "description": "Turns cluster state into validated configuration.",
                "type": "object",
                "required": ["spec"],
                "properties": {
                    "apiVersion": {"type": "string"},
                    "kind": {"type": "string"},
                    "metadata": {"type": "object"},
                    "spec": structural(SPEC.json_schema(by_alias=True)),
                    "status": structural(status.ConfigTemplateStatus.model_json_schema(by_alias=True)),
                },
            }
        },
    }


def structural(schema: dict[str, Any]) -> dict[str, Any]:
    """A JSON schema of pydantic's as the structural schema that a CRD needs: nothing referred to, no null."""
    return _node(schema, schema.get("$defs", {}))


def _node(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    merged = _resolved(schema, definitions)
    node = {key: copy.deepcopy(value) for key, value in merged.items() if key not in _DROPPED}
    if node.get("default") in (None, "", [], {}):  # an absent field says the same
        node.pop("default", None)
    if "description" in node:
        node["description"] = " ".join(node["description"].split())
    if "properties" in node:
        node["properties"] = {name: _node(value, definitions) for name, value in merged["properties"].items()}
    if "items" in node:
        node["items"] = _node(merged["items"], definitions)
    inner = node.get("additionalProperties")
    if inner is True:
        del node["additionalProperties"]
        node["x-kubernetes-preserve-unknown-fields"] = True
    elif inner is not None:
        node["additionalProperties"] = _node(merged["additionalProperties"], definitions)
    return node


_DROPPED = ("$defs", "$ref", "anyOf", "title")


def _resolved(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """What it refers to, below what stands beside the reference: a field's own description goes first."""
    if "$ref" in schema:
        return {**_resolved(definitions[schema["$ref"].rpartition("/")[2]], definitions), **schema}
    if "anyOf" in schema:  # only ever a type or null: an optional field
        given = next(option for option in schema["anyOf"] if option.get("type") != "null")
        return {**_resolved(given, definitions), **schema}
    return schema
