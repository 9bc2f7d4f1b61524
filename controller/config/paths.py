"""Field paths: the part of JSONPath that names fields of an object, for `indexBy` and `ignoreFields`.

python-jsonpath reads them; walking an object is done here, because a path without filters and descents
needs a few lines only, and it runs for every watched object.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, cast

from jsonpath import JSONPath, JSONPathEnvironment, JSONPathError
from jsonpath.segments import JSONPathChildSegment, JSONPathSegment
from jsonpath.selectors import IndexSelector, NameSelector, WildcardSelector
from jsonpath.token import TOKEN_DOT, TOKEN_EOF

_ENVIRONMENT = JSONPathEnvironment(strict=True)
_HELP = "a field path is made of names, indexes, ['quoted names'] and [*], as in spec.rules[*].host"

Step = str | int | None
"""A name, an index (negative ones count from the end), or None for every member."""


class FieldPathError(ValueError):
    """A text is no field path. `column` counts from 1."""

    def __init__(self, message: str, column: int) -> None:
        super().__init__(message)
        self.message = message
        self.column = column

    def __str__(self) -> str:
        return f"{self.message} (column {self.column})"


@dataclass(frozen=True, slots=True)
class FieldPath:
    """`FieldPath.parse("spec.rules[*].host")`: equal when they lead to the same place, however spelled.

    Immutable and hashable; may be used from any thread.
    """

    steps: tuple[Step, ...]
    text: str = field(compare=False)
    """As it was written."""

    @classmethod
    def parse(cls, text: str) -> FieldPath:
        """Read a path; the leading `$` or `$.` may be left out. Raises FieldPathError."""
        query = text if text.startswith("$") else f"${text}" if text.startswith("[") else f"$.{text}"
        before = len(query) - len(text)
        steps = tuple(_step(segment, before) for segment in _segments(query, before))
        if not steps:
            raise FieldPathError(f"the path names no field; {_HELP}", 1)
        return cls(steps, text)

    def values(self, obj: object) -> list[Any]:
        """Everything the path leads to, in the object's order; empty where it leads nowhere."""
        return _reach(obj, self.steps)

    def remove(self, obj: object) -> None:
        """Take everything the path leads to out of the object's dictionaries and lists, in place."""
        last = self.steps[-1]
        for parent in _reach(obj, self.steps[:-1]):
            _drop(parent, last)

    def __str__(self) -> str:
        return self.text


def _segments(query: str, before: int) -> tuple[JSONPathSegment, ...]:
    try:
        # The strict syntax has no unions, so what comes back is always a single path.
        return cast("JSONPath", _ENVIRONMENT.compile(query)).segments
    except JSONPathError as error:
        token = error.token
        if token is None or token.kind == TOKEN_EOF:
            raise FieldPathError(f"the path ends too early; {_HELP}", len(query) - before + 1) from None
        raise FieldPathError(f"unexpected {token.value!r}; {_HELP}", token.index - before + 1) from None
    except ValueError:  # the parser hands an index like 1e5 to int(), and does not say where it stood
        raise FieldPathError(f"an index is not a whole number; {_HELP}", 1) from None


def _step(segment: JSONPathSegment, before: int) -> Step:
    column = max(segment.token.index - before, 0) + 1
    if not isinstance(segment, JSONPathChildSegment):
        raise FieldPathError(f"'..' would search the whole object; {_HELP}", column)
    if len(segment.selectors) != 1:
        raise FieldPathError(f"one name or index per bracket; {_HELP}", column)
    match segment.selectors[0]:
        case NameSelector(name=name):
            return name
        case IndexSelector(index=index):
            return index
        case WildcardSelector() if segment.token.kind != TOKEN_DOT:
            return None
        case WildcardSelector():
            raise FieldPathError(f"write [*] instead of .*; {_HELP}", column)
    raise FieldPathError(f"no slices and no filters; {_HELP}", column)


def _reach(obj: object, steps: tuple[Step, ...]) -> list[Any]:
    nodes = [obj]
    for step in steps:
        nodes = [child for node in nodes for child in _children(node, step)]
    return nodes


def _children(node: object, step: Step) -> Iterable[object]:
    if isinstance(node, dict):
        if step is None:
            return node.values()
        return (node[step],) if isinstance(step, str) and step in node else ()
    if isinstance(node, list):
        if step is None:
            return node
        return (node[step],) if isinstance(step, int) and -len(node) <= step < len(node) else ()
    return ()


def _drop(node: object, step: Step) -> None:
    if not isinstance(node, dict | list):
        return
    if step is None:
        node.clear()
    elif isinstance(node, dict):
        node.pop(step, None)
    elif isinstance(step, int) and -len(node) <= step < len(node):
        del node[step]
