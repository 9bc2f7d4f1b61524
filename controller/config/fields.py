"""The kinds of text and list that a ConfigTemplate consists of, each with its pattern and bounds.

Everything is bounded: without bounds the API server refuses the CRD, for what its CEL rules might cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator, Field, StrictInt

from controller.config import durations
from controller.config.rules import Matches, Rule, Unique

LIST_LIMIT = 64
"""Items in a list, entries in a map."""

TEMPLATE_LIMIT = 256 * 1024
"""Characters in a template. etcd takes about 1.5 MiB for the whole object."""

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_WORD = "[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?"

RESERVED = ("values", "fail", "required", "true", "false", "none", "not", "loop", "self")
"""Names that mean something else in templates: a watch of that name would be out of reach, or hide it."""


def without_nulls(entries: Any) -> Any:
    """Take a null as absent, as the API server does in the maps it has a schema for."""
    if not isinstance(entries, Mapping):
        return entries
    return {name: value for name, value in entries.items() if value is not None}


def _whole(number: Any) -> Any:
    return int(number) if isinstance(number, float) and number.is_integer() else number


_T = TypeVar("_T")
Named = Annotated[tuple[_T, ...], Field(max_length=LIST_LIMIT), Unique("name")]
"""A list whose items are known by their name."""
Distinct = Annotated[tuple[_T, ...], Field(max_length=LIST_LIMIT), Unique()]
"""A list without repetitions."""
Entries = Annotated[dict[str, _T], Field(max_length=LIST_LIMIT), BeforeValidator(without_nulls)]
"""A map with keys of the user's choice."""
Times = Annotated[
    StrictInt, Field(ge=0, le=1_000_000, json_schema_extra={"format": "int32"}), BeforeValidator(_whole)
]
"""A count; 3.0 will do, as it does for the API server."""

Identifier = Annotated[
    str,
    Field(max_length=63),
    Matches("^[a-z_][a-zA-Z0-9_]*$", "must be letters, digits and _, beginning with a small letter or _"),
]
WatchName = Annotated[
    Identifier,
    Rule(
        cel=f"!(self in {list(RESERVED)})",
        message=f"this name has another meaning in templates; choose one other than {', '.join(RESERVED)}",
        broken=lambda name: [()] if name in RESERVED else [],
    ),
]
OutputName = Annotated[
    str,
    Field(max_length=63),
    Matches(f"^{_WORD}$", "must be letters, digits, -, _ and ., with a letter or digit at both ends"),
]
TestName = Annotated[str, Field(min_length=1, max_length=253)]
DnsLabel = Annotated[
    str,
    Field(max_length=63),
    Matches(f"^{_LABEL}$", "must be small letters, digits and -, with a letter or digit at both ends"),
]
DnsSubdomain = Annotated[
    str,
    Field(max_length=253),
    Matches(
        f"^{_SUBDOMAIN}$",
        "must be small letters, digits, - and ., with a letter or digit at both ends and beside each .",
    ),
]
DataKey = Annotated[
    str,
    Field(max_length=253),
    Matches("^[-._a-zA-Z0-9]+$", "must be letters, digits, -, _ and ."),
    Rule(
        cel="self != '.' && !self.startsWith('..')",
        message="must not be . and must not begin with ..",
        broken=lambda key: [()] if key == "." or key.startswith("..") else [],
    ),
]
ApiVersion = Annotated[
    str,
    Field(max_length=317),
    Matches(
        f"^({_SUBDOMAIN}/)?[a-z]([-a-z0-9]*[a-z0-9])?$",
        "must be a group and a version, like apps/v1, or v1 for the core group",
    ),
]
KindName = Annotated[
    str,
    Field(max_length=63),
    Matches("^[A-Za-z]([-A-Za-z0-9]*[A-Za-z0-9])?$", "must be a kind, like Ingress"),
]
LabelKey = Annotated[
    str,
    Field(max_length=317),
    Matches(f"^({_SUBDOMAIN}/)?{_WORD}$", "must be a label key, like app or example.org/app"),
]
LabelValue = Annotated[
    str,
    Field(max_length=63),
    Matches(f"^({_WORD})?$", "must be letters, digits, -, _ and ., with a letter or digit at both ends"),
]
PathText = Annotated[str, Field(min_length=1, max_length=512)]
Template = Annotated[str, Field(max_length=TEMPLATE_LIMIT)]
Excerpt = Annotated[str, Field(min_length=1, max_length=4096)]


def _at_least(shortest: str) -> Rule:
    limit = durations.seconds(shortest)
    return Rule(
        # What is no duration at all is the pattern's to refuse; duration() would add a cryptic message.
        cel=f"!self.matches('{durations.PATTERN}') || duration(self) >= duration('{shortest}')",
        message=f"must be at least {shortest}",
        broken=lambda text: [()] if durations.seconds(text) < limit else [],
    )


_Duration = Annotated[
    str,
    Field(max_length=durations.LONGEST),
    Matches(durations.PATTERN, "must be a duration: numbers with h, m, s or ms, like 1h30m"),
]
MinInterval = Annotated[_Duration, _at_least("100ms")]
DriftInterval = Annotated[_Duration, _at_least("1s")]
