"""What a structural schema does to an object before it is checked: unknown fields go, defaults come in."""

from __future__ import annotations

import copy
from typing import Any

from controller.sandbox.statuses import Object

Schema = dict[str, Any]
"""An openAPIV3Schema, or a part of one, as it stands in a CustomResourceDefinition."""

_OBJECT_FIELDS = ("apiVersion", "kind", "metadata")


def prune(value: object, schema: Schema, *, is_object: bool = False, path: str = "") -> list[str]:
    """Remove what the schema does not know, in place; returns the paths removed.

    `is_object`: the value is a whole Kubernetes object, whose apiVersion, kind and metadata are known.
    """
    if isinstance(value, list):
        items = schema.get("items") or {}
        return [
            gone for number, item in enumerate(value) for gone in prune(item, items, path=f"{path}[{number}]")
        ]
    if not isinstance(value, dict):
        return []
    is_object = is_object or bool(schema.get("x-kubernetes-embedded-resource"))
    gone: list[str] = []
    for name in list(value):
        place = f"{path}.{name}" if path else name
        if is_object and name in _OBJECT_FIELDS:
            continue
        if (known := field_schema(schema, name)) is not None:
            gone += prune(value[name], known, path=place)
        elif not keeps_unknown(schema):
            del value[name]
            gone.append(place)
    return gone


def fill_defaults(value: object, schema: Schema) -> None:
    """Put in the defaults and drop nulls that the schema does not allow, in place."""
    if isinstance(value, list):
        for item in value:
            fill_defaults(item, schema.get("items") or {})
        return
    if not isinstance(value, dict):
        return
    for name in [name for name, field in value.items() if field is None and _refuses_null(schema, name)]:
        del value[name]
    for name, known in (schema.get("properties") or {}).items():
        if name not in value and "default" in known:
            value[name] = copy.deepcopy(known["default"])
    for name, field in value.items():
        fill_defaults(field, field_schema(schema, name) or {})


def field_schema(schema: Schema, name: str) -> Schema | None:
    """Return the schema of an object's field, or None if the field is unknown."""
    known = (schema.get("properties") or {}).get(name)
    if known is not None:
        return dict(known)
    additional = schema.get("additionalProperties")
    return dict(additional) if isinstance(additional, dict) else None


def keeps_unknown(schema: Schema) -> bool:
    """Whether fields that are not described stay."""
    return (
        bool(schema.get("x-kubernetes-preserve-unknown-fields")) or schema.get("additionalProperties") is True
    )


def of_definition(definition: Object) -> Schema:
    """Return the schema of a CustomResourceDefinition's one version."""
    schema = definition["spec"]["versions"][0].get("schema") or {}
    return dict(schema.get("openAPIV3Schema") or {})


def _refuses_null(schema: Schema, name: str) -> bool:
    known = field_schema(schema, name)
    if known is None or known.get("nullable"):
        return False
    # Without a type anything is allowed, null included.
    return "type" in known or bool(known.get("x-kubernetes-int-or-string"))
