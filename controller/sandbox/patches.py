"""The two kinds of patch that are served: JSON merge patch (RFC 7386) and JSON patch (RFC 6902).

kopf uses both: merge patches for content, JSON patches for finalizers.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

from controller.sandbox.statuses import Object, Refused, bad_request

Patch = Callable[[Object], Object]
"""Makes the patched object out of a copy of the stored one, which it may change."""


def merge_patch(patch: object) -> Patch:
    """Return the merge patch as a function; refuses with 400."""
    if not isinstance(patch, dict):
        raise bad_request("error decoding patch: a merge patch is a JSON object")
    return lambda obj: _merged(obj, patch)


def json_patch(operations: object) -> Patch:
    """Return the JSON patch as a function, which refuses with 422 what it cannot apply; refuses with 400.

    Like the real server, and unlike the RFC, it lets `replace` add an absent member of an object.
    """
    if not isinstance(operations, list) or not all(isinstance(one, dict) for one in operations):
        raise bad_request("error decoding patch: a JSON patch is a list of operations")
    return lambda obj: _applied(obj, operations)


def is_strategic(patch: object) -> bool:
    """Whether lists or directives make a strategic merge patch mean something else than a merge patch."""
    if not isinstance(patch, dict):
        return isinstance(patch, list)
    return any(name.startswith("$") or is_strategic(value) for name, value in patch.items())


def _merged(base: Any, patch: Any) -> Any:
    """Null removes, objects merge, everything else replaces."""
    if not isinstance(patch, dict):
        return patch
    result = base if isinstance(base, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _merged(result.get(name), value)
    return result


def _applied(obj: Object, operations: list[Object]) -> Object:
    document: Object = {"": obj}  # a parent for the root, so that it can be replaced like everything else
    for operation in operations:
        try:
            _apply(document, operation)
        except (KeyError, IndexError, ValueError, TypeError) as error:
            message = (
                f"the server rejected our request due to an error in our request: {operation}: {error!r}"
            )
            raise Refused(422, "Invalid", message) from error
    return dict(document[""])


def _apply(document: Object, operation: Object) -> None:
    """Carry out one operation in place; raises KeyError, IndexError, TypeError or ValueError."""
    path = operation["path"].split("/")
    match operation["op"]:
        case "add":
            _add(document, path, operation["value"])
        case "remove":
            _take(document, path)
        case "replace":
            parent = _get(document, path[:-1])
            parent[_index(parent, path[-1])] = operation["value"]
        case "move":
            _add(document, path, _take(document, operation["from"].split("/")))
        case "copy":
            _add(document, path, copy.deepcopy(_get(document, operation["from"].split("/"))))
        case "test":
            if _get(document, path) != operation["value"]:
                raise ValueError("the test failed")
        case unknown:
            raise ValueError(f"unknown operation {unknown!r}")


def _get(document: Any, path: list[str]) -> Any:
    for part in path:
        document = document[_index(document, part)]
    return document


def _add(document: Any, path: list[str], value: object) -> None:
    parent = _get(document, path[:-1])
    if not isinstance(parent, list):
        parent[_index(parent, path[-1])] = value
    elif path[-1] == "-":
        parent.append(value)
    elif (index := int(path[-1])) <= len(parent):
        parent.insert(index, value)
    else:
        raise IndexError(f"no place {index} in a list of {len(parent)}")


def _take(document: Any, path: list[str]) -> Any:
    parent = _get(document, path[:-1])
    return parent.pop(_index(parent, path[-1]))


def _index(parent: object, part: str) -> int | str:
    if isinstance(parent, list):
        return int(part)
    return part.replace("~1", "/").replace("~0", "~")
