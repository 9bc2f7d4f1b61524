"""The built-in validators of rendered outputs: format, nonempty, size."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator

import yaml

from controller.problems import Problem
from controller.validators.interface import RenderedOutput, Stage, Validator

MAX_BYTES = 1 << 20
"""More than this no ConfigMap or Secret holds."""


class Format(Validator[RenderedOutput]):
    """JSON, YAML and TOML outputs can be parsed."""

    name = "format"
    stage = Stage.OUTPUT

    def validate(self, subject: RenderedOutput) -> Iterator[Problem]:
        """The parser's first finding, with its line and column."""
        try:
            _parse(subject.format, subject.text)
        except json.JSONDecodeError as error:
            yield _problem(subject, error.msg, error.lineno, error.colno)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark
            text = error.problem or "cannot be read"
            yield _problem(subject, text, mark.line + 1 if mark else None, mark.column + 1 if mark else None)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            yield _problem(subject, str(error), None, None)


class NonEmpty(Validator[RenderedOutput]):
    """An output of nothing but white space is a mistake, unless it is allowed."""

    name = "nonempty"
    stage = Stage.OUTPUT

    def validate(self, subject: RenderedOutput) -> Iterator[Problem]:
        """Whether there is anything."""
        if not subject.text.strip() and not subject.allow_empty:
            yield Problem(
                message="the output is empty (allowEmpty: true would allow it)", template=subject.name
            )


class Size(Validator[RenderedOutput]):
    """An output fits into its target."""

    name = "size"
    stage = Stage.OUTPUT

    def validate(self, subject: RenderedOutput) -> Iterator[Problem]:
        """Its size in bytes."""
        size = len(subject.text.encode())
        if size > MAX_BYTES:
            message = f"the output has {size:,} bytes, but a target holds {MAX_BYTES:,}"
            yield Problem(message=message, template=subject.name, reason="TooLarge")


def _parse(kind: str, text: str) -> None:
    if kind == "json":
        json.loads(text)
    elif kind == "toml":
        tomllib.loads(text)
    elif kind == "yaml":
        for _ in yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
            pass


def _problem(subject: RenderedOutput, message: str, line: int | None, column: int | None) -> Problem:
    lines = subject.text.splitlines()
    shown = lines[line - 1][:200] if line is not None and 0 < line <= len(lines) else None
    return Problem(
        message=f"no valid {subject.format}: {message}",
        template=subject.name,
        line=line,
        column=column,
        source_line=None if subject.sensitive else shown,
    )
