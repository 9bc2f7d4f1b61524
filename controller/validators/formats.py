"""The format validator: JSON, YAML and TOML outputs can be parsed by those who will read them.

A text is checked in the operator's own process, so no text may bring that down or hold it up: there is a
limit to nesting, and nothing is built from what is read.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

from controller.problems import Problem
from controller.validators.interface import RenderedOutput, Stage, Validator
from controller.validators.malformed import TOO_DEEP, Malformed
from controller.validators.output import MAX_BYTES
from controller.validators.yaml_check import check_yaml

LONGEST_LINE = 500
"""Characters of a line that is still shown."""

_PART = r"""(?:"(?:\\.|[^"\\\n])*"|'[^'\n]*'|[^\s.,=\[\]{}"'#]+)"""
_LONG_KEY = re.compile(rf"(?:^|[\[{{,])[ \t]*((?:{_PART}[ \t]*\.[ \t]*){{100}})", re.MULTILINE)
"""A dotted key in TOML of more than a hundred parts, with which tomllib would be busy for hours."""
_NEWLINE = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_TOML_PLACE = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)", re.DOTALL)


class Format(Validator):
    """A text is what its output's `format` says; `text` may be anything."""

    name = "format"
    stage = Stage.OUTPUT

    def validate(self, subject: RenderedOutput) -> Iterator[Problem]:
        """The parser's first finding. Empty texts and those beyond any target are for others to refuse."""
        check = _CHECKS.get(subject.format)
        if check is None or len(subject.text) > MAX_BYTES or not subject.text.strip():
            return
        try:
            check(subject.text)
        except Malformed as found:
            yield Problem(
                message=f"the rendered text is not valid {subject.format.upper()}: {found}",
                line=found.line,
                column=found.column,
                source_line=_line(subject, found.line),
            )


def _check_json(text: str) -> None:
    try:
        # Numbers stay text: converting them takes quadratic time, and is refused beyond 4,300 digits.
        json.loads(
            text, object_pairs_hook=_distinct, parse_int=str, parse_float=str, parse_constant=_no_number
        )
    except json.JSONDecodeError as error:
        raise Malformed(error.msg, error.lineno, error.colno) from None
    except RecursionError:
        raise Malformed(TOO_DEEP) from None


def _distinct(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise Malformed(f"the key {key!r} stands twice in one object")
        seen.add(key)


def _no_number(name: str) -> NoReturn:
    raise Malformed(f"{name} is no number in JSON")


def _check_toml(text: str) -> None:
    if long := _LONG_KEY.search(text):
        raise Malformed("a key has too many parts", *_place(text, long.start(1)))
    try:
        tomllib.loads(text, parse_float=str)
    except RecursionError:
        raise Malformed(TOO_DEEP) from None
    except ValueError as error:
        # Up to Python 3.13 the place is in the message only.
        found = _TOML_PLACE.fullmatch(str(error))
        if found is None:
            raise Malformed(str(error)) from None
        message, line, column = found.groups()
        if line is None:
            raise Malformed(message, *_place(text, len(text))) from None
        raise Malformed(message, int(line), int(column)) from None


def _place(text: str, position: int) -> tuple[int, int]:
    return text.count("\n", 0, position) + 1, position - text.rfind("\n", 0, position)


def _line(subject: RenderedOutput, number: int | None) -> str | None:
    """The line as the format's parser counts it."""
    if number is None:
        return None
    lines = _NEWLINE.split(subject.text) if subject.format == "yaml" else subject.text.split("\n")
    line = lines[number - 1].removesuffix("\r") if number <= len(lines) else ""
    return line if 0 < len(line) <= LONGEST_LINE else None


_CHECKS: dict[str, Callable[[str], None]] = {"json": _check_json, "yaml": check_yaml, "toml": _check_toml}
