"""Tables: what `kubectl get` asks for, with the columns that the kind or its definition names."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import jsonpath

from controller.sandbox.kinds import Column, Kind
from controller.sandbox.statuses import Object

_UNITS = (("d", 86400), ("h", 3600), ("m", 60))


def wants_table(accept: str) -> bool:
    """Whether the client prefers a Table, as kubectl does."""
    return "as=Table" in accept.partition(",")[0]


def table(kind: Kind, objects: list[Object], metadata: Object) -> Object:
    """Return the objects as rows."""
    columns = [{"name": "Name", "type": "string", "format": "name", "description": "", "priority": 0}]
    columns += [
        {"name": one.name, "type": one.type, "format": "", "description": "", "priority": one.priority}
        for one in kind.columns
    ]
    rows = [_row(kind, obj) for obj in objects]
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": columns,
        "rows": rows,
    }


def _row(kind: Kind, obj: Object) -> Object:
    part = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}
    cells = [obj["metadata"]["name"], *(_cell(column, obj) for column in kind.columns)]
    return {"cells": cells, "object": part}


def _cell(column: Column, obj: Object) -> Any:
    """Several values are shown with commas, a date as the time since then, nothing as null."""
    found = jsonpath.findall("$" + column.path, obj)
    if not found or found[0] is None:
        return None
    if column.type == "date":
        return age(str(found[0]))
    if column.type in {"integer", "number", "boolean"}:
        return found[0]
    return ",".join(str(value) for value in found)


def age(timestamp: str) -> str:
    """Return the time since then with its largest unit, or as it stands if it is no timestamp."""
    try:
        seconds = int((datetime.now(UTC) - datetime.fromisoformat(timestamp)).total_seconds())
    except (TypeError, ValueError):
        return timestamp
    for unit, size in _UNITS:
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{max(seconds, 0)}s"
