"""Checks a value against a structural schema; the findings read like the real server's.

CEL rules (x-kubernetes-validations) are not evaluated: the sandbox accepts what only they would refuse.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import msgspec

from controller.sandbox.schema import Schema, field_schema
from controller.sandbox.statuses import Cause

_TYPES: dict[str, Callable[[Any], bool]] = {
    "array": lambda value: isinstance(value, list),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: _TYPES["number"](value) and int(value) == value,
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "string": lambda value: isinstance(value, str),
}
_NAMES = {bool: "boolean", dict: "object", float: "number", int: "integer", list: "array", str: "string"}
_ROOT = "<nil>"


def check(value: object, schema: Schema, path: str = "") -> Iterator[Cause]:
    """Yield every finding in the value, fields in alphabetical order."""
    if value is None and schema.get("nullable"):
        return
    yield from _type(value, schema, path)
    if "enum" in schema and value not in schema["enum"]:
        yield _unsupported(value, schema["enum"], path)
    match value:
        case dict():
            yield from _object(value, schema, path)
        case list():
            yield from _array(value, schema, path)
        case str():
            yield from _string(value, schema, path)
        case int() | float() if not isinstance(value, bool):
            yield from _number(value, schema, path)
    yield from _combinations(value, schema, path)


def _type(value: object, schema: Schema, path: str) -> Iterator[Cause]:
    allowed = ["integer", "string"] if schema.get("x-kubernetes-int-or-string") else [schema.get("type", "")]
    if not allowed[0]:
        return
    if not any(_TYPES[name](value) for name in allowed):
        found = "null" if value is None else _NAMES[type(value)]
        yield _wrong_type(path, ",".join(allowed), found)
    elif isinstance(value, str) and not _FORMATS.get(schema.get("format", ""), _any_text)(value):
        yield _wrong_type(path, schema["format"], value)


def _object(value: dict[str, Any], schema: Schema, path: str) -> Iterator[Cause]:
    yield from _size(len(value), schema, ("minProperties", "maxProperties", "properties"), path)
    for name in schema.get("required") or ():
        if name not in value:
            yield Cause("FieldValueRequired", _join(path, name), "Required value")
    for name in sorted(value):
        if (known := field_schema(schema, name)) is not None:
            yield from check(value[name], known, _join(path, name))


def _array(value: list[Any], schema: Schema, path: str) -> Iterator[Cause]:
    yield from _size(len(value), schema, ("minItems", "maxItems", "items"), path)
    for number, item in enumerate(value):
        yield from check(item, schema.get("items") or {}, f"{path}[{number}]")
    if schema.get("x-kubernetes-list-type") in {"map", "set"}:
        yield from _duplicates(value, schema.get("x-kubernetes-list-map-keys"), path)


def _duplicates(value: list[Any], keys: list[str] | None, path: str) -> Iterator[Cause]:
    """A list of type map has each combination of keys once, a set each item."""
    seen: set[bytes] = set()
    for number, item in enumerate(value):
        identity = item
        if keys is not None:
            if not isinstance(item, dict):
                continue
            identity = {key: item[key] for key in keys if key in item}
        text = msgspec.json.encode(identity, order="sorted")
        if text in seen:
            yield Cause("FieldValueDuplicate", f"{path}[{number}]", f"Duplicate value: {text.decode()}")
        seen.add(text)


def _size(size: int, schema: Schema, names: tuple[str, str, str], path: str) -> Iterator[Cause]:
    at_least, at_most, what = names
    if at_most in schema and size > schema[at_most]:
        message = f"Too many: {size}: must have at most {schema[at_most]} items"
        yield Cause("FieldValueTooMany", path, message)
    if at_least in schema and size < schema[at_least]:
        yield _wrong(path, size, f"should have at least {schema[at_least]} {what}")


def _string(value: str, schema: Schema, path: str) -> Iterator[Cause]:
    """At most one finding, like the real server."""
    if len(value) > schema.get("maxLength", len(value)):
        message = f"Too long: may not be more than {schema['maxLength']} bytes"
        yield Cause("FieldValueTooLong", path, message)
    elif len(value) < schema.get("minLength", 0):
        yield _wrong(path, value, f"should be at least {schema['minLength']} chars long")
    elif "pattern" in schema and not re.search(schema["pattern"], value):
        yield _wrong(path, value, f"should match '{schema['pattern']}'")


def _number(value: float, schema: Schema, path: str) -> Iterator[Cause]:
    low, high, step = schema.get("minimum"), schema.get("maximum"), schema.get("multipleOf")
    if low is not None and schema.get("exclusiveMinimum") and value <= low:
        yield _wrong(path, value, f"should be greater than {low}")
    elif low is not None and value < low:
        yield _wrong(path, value, f"should be greater than or equal to {low}")
    if high is not None and schema.get("exclusiveMaximum") and value >= high:
        yield _wrong(path, value, f"should be less than {high}")
    elif high is not None and value > high:
        yield _wrong(path, value, f"should be less than or equal to {high}")
    if step and not float(value / step).is_integer():
        yield _wrong(path, value, f"should be a multiple of {step}")


def _combinations(value: object, schema: Schema, path: str) -> Iterator[Cause]:
    for part in schema.get("allOf") or ():
        yield from check(value, part, path)
    if (parts := schema.get("anyOf")) and not any(_fits(value, part, path) for part in parts):
        yield _alternatives(path, "must validate at least one schema (anyOf)")
    if parts := schema.get("oneOf"):
        fitting = sum(_fits(value, part, path) for part in parts)
        if fitting != 1:
            found = f"{fitting} valid alternatives" if fitting else "none valid"
            yield _alternatives(path, f"must validate one and only one schema (oneOf). Found {found}")
    if "not" in schema and _fits(value, schema["not"], path):
        yield _alternatives(path, "must not validate the schema (not)")


def _fits(value: object, schema: Schema, path: str) -> bool:
    return next(check(value, schema, path), None) is None


def _alternatives(path: str, problem: str) -> Cause:
    return Cause("FieldValueInvalid", _ROOT, f'Invalid value: "": "{path}" {problem}')


def _wrong_type(path: str, wanted: str, found: str) -> Cause:
    message = f'Invalid value: "{found}": {path} in body must be of type {wanted}: "{found}"'
    return Cause("FieldValueTypeInvalid", path, message)


def _wrong(path: str, value: object, problem: str) -> Cause:
    return Cause("FieldValueInvalid", path, f"Invalid value: {_json(value)}: {path} in body {problem}")


def _unsupported(value: object, allowed: list[object], path: str) -> Cause:
    supported = ", ".join(_json(one) for one in allowed)
    message = f"Unsupported value: {_json(value)}: supported values: {supported}"
    return Cause("FieldValueNotSupported", path, message)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def _any_text(_text: str) -> bool:
    return True


def _is_date_time(text: str) -> bool:
    try:
        return "T" in text and datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False


def _is_date(text: str) -> bool:
    return re.fullmatch(r"\d{4}-\d{2}-\d{2}", text) is not None


_FORMATS: dict[str, Callable[[str], bool]] = {"date": _is_date, "date-time": _is_date_time}
"""The formats of strings that are checked; the others are taken as they come."""
