"""Rules that hold twice: in the CRD, where the API server checks them, and here, for offline use.

Each is metadata of a type, `Annotated[str, Matches(...)]`. pydantic asks it for a validator, the CRD
generator for its schema; standing in one place, the two cannot drift apart.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

Place = tuple[str | int, ...]
"""Where, below the value that a rule is about: `(2, "target")`; empty for the value itself."""

BROKEN = "rule_broken"
"""The type of the pydantic error; its context holds `findings`, pairs of place and message."""


class Check(ABC):
    """What all rules have in common. Immutable; may be used from any thread."""

    @abstractmethod
    def findings(self, value: Any) -> Iterable[tuple[Place, str]]:
        """Where the value breaks the rule, and why; nothing if it holds."""

    @abstractmethod
    def extend(self, schema: dict[str, Any]) -> None:
        """Add the rule to the value's schema in the CRD."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._validated, handler(source))

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        extended = handler(schema)
        self.extend(extended)
        return extended

    def _validated(self, value: Any) -> Any:
        found = tuple(self.findings(value))
        if found:
            raise PydanticCustomError(BROKEN, "broken rule", {"findings": found})
        return value


@dataclass(frozen=True, slots=True)
class Matches(Check):
    """A text matches a pattern that Python and RE2 read alike; in messages `words` follow the text."""

    pattern: str
    words: str

    def findings(self, value: str) -> Iterable[tuple[Place, str]]:
        """The text itself, unless it matches."""
        if re.fullmatch(self.pattern, value) is None:
            yield (), f"{shortened(value)} {self.words}"

    def extend(self, schema: dict[str, Any]) -> None:
        """As `pattern`."""
        schema["pattern"] = self.pattern


@dataclass(frozen=True, slots=True)
class Unique(Check):
    """A list has no two equal items, or no two with the same `key`."""

    key: str = ""

    def findings(self, value: tuple[Any, ...]) -> Iterable[tuple[Place, str]]:
        """Every repetition after the first occurrence."""
        seen: Counter[Any] = Counter()
        for index, item in enumerate(value):
            identity = getattr(item, self.key) if self.key else item
            seen[identity] += 1
            if seen[identity] > 1:
                place: Place = (index, self.key) if self.key else (index,)
                yield place, f"{shortened(identity)} is there already: it must be unique in this list"

    def extend(self, schema: dict[str, Any]) -> None:
        """As the list type `map` or `set`."""
        schema["x-kubernetes-list-type"] = "map" if self.key else "set"
        if self.key:
            schema["x-kubernetes-list-map-keys"] = [self.key]


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule(Check):
    """A rule in CEL, with the same in Python: `broken` gives the places where it does not hold."""

    cel: str
    message: str
    broken: Callable[[Any], Iterable[Place]]
    field: str = ""
    """Which of the object's fields to blame."""

    def findings(self, value: Any) -> Iterable[tuple[Place, str]]:
        """The message at each place."""
        return ((place, self.message) for place in self.broken(value))

    def extend(self, schema: dict[str, Any]) -> None:
        """As one of the `x-kubernetes-validations`."""
        rule = {"rule": self.cel, "message": self.message}
        if self.field:
            rule["fieldPath"] = f".{self.field}"
        schema.setdefault("x-kubernetes-validations", []).append(rule)


@dataclass(frozen=True, slots=True)
class All(Check):
    """Several rules about one value: each is told, even if others are broken as well."""

    checks: tuple[Check, ...]

    def findings(self, value: Any) -> Iterable[tuple[Place, str]]:
        """Those of all the rules."""
        return (finding for check in self.checks for finding in check.findings(value))

    def extend(self, schema: dict[str, Any]) -> None:
        """As each rule does it."""
        for check in self.checks:
            check.extend(schema)


def shortened(value: object, limit: int = 60) -> str:
    """The value as it may stand in a message."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 1] + "…"
