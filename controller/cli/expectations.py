"""Whether a render met a test's expectations; if not, what was expected and what came instead."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence

from controller.config.model import Expectation
from controller.problems import Problem

SHOWN_LINES = 20
"""Lines of an output or a difference that are shown at most."""


def unmet(
    expectations: Sequence[Expectation], rendered: Mapping[str, str] | Problem, path: str
) -> Iterator[Problem]:
    """One problem for each expectation that was not met; a failed render is told once.

    `rendered` is the text of each output, or why there is none; `path` is the test's field path.
    """
    told = False
    for number, expectation in enumerate(expectations):
        place = f"{path}.expect[{number}]"
        if expectation.output is None:
            yield from _unmet_failure(expectation.error or "", rendered, place)
        elif not isinstance(rendered, Problem):
            yield from _unmet_text(expectation, rendered[expectation.output], place)
        elif not told:
            told = True
            yield Problem(message=f"the render failed: {rendered}", path=place)


def _unmet_failure(text: str, rendered: Mapping[str, str] | Problem, place: str) -> Iterator[Problem]:
    wanted = f"the render must fail with {text!r}, but it"
    if not isinstance(rendered, Problem):
        yield Problem(message=f"{wanted} succeeded", path=place)
    elif text not in rendered.message:
        yield Problem(message=f"{wanted} failed with another message: {rendered}", path=place)


def _unmet_text(expectation: Expectation, text: str, place: str) -> Iterator[Problem]:
    message = ""
    match expectation:
        case Expectation(contains=str(part)) if part not in text:
            message = f"must contain {part!r}{_excerpt(text)}"
        case Expectation(not_contains=str(part)) if part in text:
            number = text.count("\n", 0, text.index(part)) + 1
            message = f"must not contain {part!r}, but line {number} does{_excerpt(text, number)}"
        case Expectation(equals=str(whole)) if whole != text:
            message = f"must equal the text that is given{_difference(whole, text)}"
        case Expectation(matches=str(pattern)):
            try:
                found = re.search(pattern, text)
            except re.error as error:
                yield _broken(pattern, error, f"{place}.matches")
                return
            message = "" if found else f"must match {pattern!r}{_excerpt(text)}"
        case Expectation(count=count) if count is not None and text.count(count.text) != count.times:
            times = text.count(count.text)
            message = f"contains {count.text!r} {times} times instead of {count.times}"
    if message:
        yield Problem(message=f"{expectation.output} {message}", path=place)


def _broken(pattern: str, error: re.error, path: str) -> Problem:
    lines = pattern.splitlines() or [""]
    line, column = error.lineno or 1, error.colno or 1
    return Problem(
        message=f"not a regular expression: {error.msg}",
        path=path,
        line=line,
        column=column,
        source_line=lines[min(line, len(lines)) - 1],
    )


def _excerpt(text: str, first: int = 1) -> str:
    """The text from a line on, as lines to put below a message."""
    lines = text.splitlines()[first - 1 :]
    return _quoted("it is" if first == 1 else "from there", lines) if lines else "; it is empty"


def _difference(wanted: str, text: str) -> str:
    lines = difflib.unified_diff(
        wanted.splitlines(), text.splitlines(), "expected", "rendered", n=2, lineterm=""
    )
    shown = list(lines)
    if not shown:
        return "; they differ in the line breaks only"
    return _quoted("the difference", shown)


def _quoted(what: str, lines: Sequence[str]) -> str:
    more = [f"... ({len(lines) - SHOWN_LINES} more lines)"] if len(lines) > SHOWN_LINES else []
    return "".join([f"; {what}:", *(f"\n  | {line}" for line in (*lines[:SHOWN_LINES], *more))])
