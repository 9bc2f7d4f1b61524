"""The tests that a ConfigTemplate brings along: what they render with, and what they expect of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

from pydantic import Field

from controller.config import fields
from controller.config.fields import Entries
from controller.config.rules import Place, Rule
from controller.config.schema import Schema

_Objects = Annotated[tuple[dict[str, Any], ...], Field(max_length=1024)]


class Count(Schema):
    """How often a text must be in an output."""

    text: fields.Excerpt
    """What to count; occurrences do not overlap."""
    times: fields.Times
    """How many there must be."""


class Expectation(Schema):
    """What a test expects: something of one output, or that the render fails."""

    output: fields.OutputName | None = None
    """The output to look at."""
    error: fields.Excerpt | None = None
    """The render must fail with a message that contains this."""
    contains: fields.Excerpt | None = None
    """The output must contain this."""
    not_contains: fields.Excerpt | None = None
    """The output must not contain this."""
    equals: fields.Template | None = None
    """The output must be exactly this."""
    matches: fields.Excerpt | None = None
    """This regular expression (Python's syntax) must match somewhere in the output."""
    count: Count | None = None
    """The output must contain a text so many times."""


_WHAT = ("contains", "not_contains", "equals", "matches", "count")


def _expects_one_thing(expectation: Expectation) -> Iterable[Place]:
    given = sum(getattr(expectation, name) is not None for name in _WHAT)
    return [()] if given != (expectation.output is not None) else []


class TemplateTest(Schema):
    """A test of the templates, for `kopfbus test`."""

    name: fields.TestName
    """What it shows."""
    fixtures: Entries[_Objects] = Field(default_factory=dict)
    """By name of a watch: the objects that the test renders with. A watch without any is empty."""
    values: dict[str, Any] = Field(default_factory=dict)
    """Take the place of the spec's values of the same name."""
    expect: Annotated[
        tuple[
            Annotated[
                Expectation,
                Rule(
                    cel="has(self.output) != has(self.error)",
                    message="give either output or error",
                    broken=lambda it: [()] if (it.output is None) == (it.error is None) else [],
                ),
                Rule(
                    cel="[has(self.contains), has(self.notContains), has(self.equals), has(self.matches), "
                    "has(self.count)].filter(given, given).size() == (has(self.output) ? 1 : 0)",
                    message="with output give exactly one of contains, notContains, equals, matches, count; "
                    "with error none",
                    broken=_expects_one_thing,
                ),
            ],
            ...,
        ],
        Field(min_length=1, max_length=fields.LIST_LIMIT),
    ]
    """What must come of it."""
