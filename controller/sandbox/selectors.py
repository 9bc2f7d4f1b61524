"""Label and field selectors: parsed as the API server parses them, unknown fields and nonsense refused."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from controller.sandbox.kinds import Kind
from controller.sandbox.statuses import Object, bad_request

_Test = Callable[[Object], bool]
_KEY = r"(?P<key>(?:[a-z0-9.-]+/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)"
_VALUE = r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?)?"
_EXISTS = re.compile(rf"(?P<not>!?)\s*{_KEY}")
_EQUALS = re.compile(rf"{_KEY}\s*(?P<operator>==|=|!=)\s*(?P<value>{_VALUE})")
_COMPARES = re.compile(rf"{_KEY}\s*(?P<operator>[<>])\s*(?P<value>-?[0-9]+)")
_IN_SET = re.compile(rf"{_KEY}\s+(?P<operator>in|notin)\s*\((?P<values>[^()]*)\)")
_COMMA_OUTSIDE_PARENTHESES = re.compile(r",(?![^()]*\))")
_FIELD = re.compile(r"(?P<field>[^=!]+)(?P<operator>==|=|!=)(?P<value>[^=!]*)")
_EVERY_KIND = ("metadata.name", "metadata.namespace")


@dataclass(frozen=True, slots=True)
class Selector:
    """Selects the objects that pass every test; without tests, all."""

    tests: tuple[_Test, ...] = ()

    def matches(self, obj: Object) -> bool:
        """Whether the object is selected."""
        return all(test(obj) for test in self.tests)


def parse(kind: Kind, labels: str, fields: str) -> Selector:
    """Both selectors of a request as one; refuses with 400."""
    return Selector((*_label_tests(labels), *_field_tests(kind, fields)))


def _label_tests(text: str) -> Iterator[_Test]:
    if not text.strip():
        return
    for part in _COMMA_OUTSIDE_PARENTHESES.split(text):
        yield _label_test(part.strip())


def _label_test(text: str) -> _Test:
    if match := _EXISTS.fullmatch(text):
        key, wanted = match["key"], not match["not"]
        return lambda obj: (key in _labels(obj)) is wanted
    if match := _EQUALS.fullmatch(text):
        return _one_of(match["key"], frozenset({match["value"]}), negated=match["operator"] == "!=")
    if match := _IN_SET.fullmatch(text):
        values = frozenset(value.strip() for value in match["values"].split(","))
        return _one_of(match["key"], values, negated=match["operator"] == "notin")
    if match := _COMPARES.fullmatch(text):
        return _compared(match["key"], match["operator"], int(match["value"]))
    raise bad_request(f"unable to parse requirement: {text!r} is no label selector")


def _one_of(key: str, values: frozenset[str], *, negated: bool) -> _Test:
    """An object without the label is never in the set, so the negation selects it."""
    return lambda obj: (_labels(obj).get(key) in values) is not negated


def _compared(key: str, operator: str, bound: int) -> _Test:
    def test(obj: Object) -> bool:
        text = _labels(obj).get(key, "")
        if not re.fullmatch(r"-?[0-9]+", text):
            return False
        return int(text) > bound if operator == ">" else int(text) < bound

    return test


def _labels(obj: Object) -> dict[str, str]:
    return obj["metadata"].get("labels") or {}


def _field_tests(kind: Kind, text: str) -> Iterator[_Test]:
    for part in text.split(",") if text else ():
        match = _FIELD.fullmatch(part)
        if match is None:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        if match["field"] not in kind.fields and match["field"] not in _EVERY_KIND:
            known = ", ".join(f'"{name}"' for name in (*_EVERY_KIND, *sorted(kind.fields)))
            raise bad_request(f'"{match["field"]}" is not a known field selector: only {known}')
        yield _field_test(match["field"], match["value"], negated=match["operator"] == "!=")


def _field_test(path: str, value: str, *, negated: bool) -> _Test:
    return lambda obj: (_field(obj, path) == value) is not negated


def _field(obj: Object, path: str) -> str:
    """The field as text; one that is absent counts as empty."""
    found: object = obj
    for name in path.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return "" if found is None else str(found)
