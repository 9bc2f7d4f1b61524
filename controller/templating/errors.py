"""What went wrong in a template, as a Problem with its place, read from the exception and its traceback."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import FrameType, TracebackType
from typing import NamedTuple

from jinja2 import StrictUndefined, Undefined, nodes
from jinja2.exceptions import (
    SecurityError,
    TemplateError,
    TemplateNotFound,
    TemplateRuntimeError,
    TemplatesNotFound,
    TemplateSyntaxError,
    UndefinedError,
)
from jinja2.utils import missing

from controller.problems import Problem
from controller.templating.engine import Reference, Source, TemplateEnvironment, did_you_mean
from controller.templating.filters import FailCalled, RequiredMissing
from controller.templating.positions import Position, Span, caret, innermost, source_lines
from controller.templating.watches import WatchVariable

_LONGEST_MESSAGE = 1000
_LONGEST_LINE = 500
_LONGEST_CHAIN = 3


class _Place(NamedTuple):
    """A node that was being evaluated when the exception passed."""

    source: Source
    node: nodes.Node


def problem_of(error: Exception, environment: TemplateEnvironment, source: Source) -> Problem:
    """The problem that an exception means which was raised while `source` was compiled or rendered.

    It is put at the innermost template position; how one got there is told in the message.
    """
    places = list(_places(error.__traceback__, environment))
    position: int | None = None
    if isinstance(error, TemplateSyntaxError):
        # Raised by the compiler: the source it was at work on is in no frame.
        source, position = environment.sources.get(error.filename or "", source), error.lineno
    elif places:
        source, node = places.pop()
        position = caret(_culprit(error, node))
    problem = Problem(message=_shorten(_message(error, environment) + _chain(places, source, position)))
    return _located(problem, source, position, kind=_kind(error), sensitive=environment.sensitive)


def problem_at(reference: Reference, environment: TemplateEnvironment, source: Source) -> Problem:
    """The problem that a template names what does not exist."""
    problem, position = Problem(message=reference.message), caret(reference.node)
    return _located(problem, source, position, kind="unknown name", sensitive=environment.sensitive)


def _located(
    problem: Problem, source: Source, position: int | None, *, kind: str, sensitive: bool
) -> Problem:
    placed = replace(
        problem,
        path=source.path,
        template=source.name,
        line=None if position is None else int(position),
        column=position.column if isinstance(position, Position) else None,
        source_line=_line(source, position),
    )
    if not sensitive:
        return placed
    hidden = placed.redacted()
    return replace(hidden, message=f"{kind}; {hidden.message}")


def _line(source: Source, position: int | None) -> str | None:
    lines = source_lines(source.text)
    if position is None or position > len(lines) or len(lines[position - 1]) > _LONGEST_LINE:
        return None
    return lines[position - 1]


def _shorten(text: str) -> str:
    return text if len(text) <= _LONGEST_MESSAGE else text[: _LONGEST_MESSAGE - 1] + "…"


def _places(traceback: TracebackType | None, environment: TemplateEnvironment) -> Iterator[_Place]:
    """The template positions an exception passed, outermost first."""
    while traceback is not None:
        code = traceback.tb_frame.f_code
        spans = environment.spans.get(code.co_filename)
        node = spans and _node(traceback, spans)
        if node:
            yield _Place(environment.sources[code.co_filename], node)
        traceback = traceback.tb_next


def _node(traceback: TracebackType, spans: list[Span]) -> nodes.Node | None:
    instructions = list(traceback.tb_frame.f_code.co_positions())
    line, end_line, column, end_column = instructions[traceback.tb_lasti // 2]
    if line is None or end_line is None or column is None or end_column is None:
        return None
    return innermost(spans, (line, column), (end_line, end_column))


def _chain(places: list[_Place], source: Source, position: int | None) -> str:
    """How the innermost place was reached, nearest first."""
    seen = {(source.name, position)}
    steps = []
    for place in reversed(places):
        step = (place.source.name, caret(place.node))
        if step not in seen:
            seen.add(step)
            steps.append(f"{place.source.name} line {step[1]}")
    if len(steps) > _LONGEST_CHAIN:
        steps[_LONGEST_CHAIN:] = ["..."]
    return f" (reached from {', from '.join(steps)})" if steps else ""


_KINDS: tuple[tuple[type[Exception], str], ...] = (
    (TemplateSyntaxError, "syntax error"),
    (UndefinedError, "undefined value"),
    (TemplateNotFound, "missing snippet"),
    (FailCalled, "fail() was called"),
    (RequiredMissing, "required() found nothing"),
    (SecurityError, "not allowed in templates"),
    (TemplateRuntimeError, "template error"),
    (RecursionError, "recursion"),
)


def _kind(error: Exception) -> str:
    """The kind of failure, which tells no data."""
    return next((kind for type_, kind in _KINDS if isinstance(error, type_)), type(error).__name__)


def _message(error: Exception, environment: TemplateEnvironment) -> str:
    match error:
        case UndefinedError():
            undefined = _undefined(error)
            text = str(error) if undefined is None else _undefined_message(undefined, environment)
        case TemplatesNotFound():
            text = environment.no_snippet(*map(str, error.templates))
        case TemplateNotFound():
            text = environment.no_snippet(str(error.name))
        case TemplateError():
            text = error.message or ""
        case RecursionError():
            text = "endless recursion: a macro, an include or a recursive loop calls itself"
        case _:
            text = f"{type(error).__name__}: {error}"
    return text


def _undefined(error: Exception) -> Undefined | None:
    """The undefined value that raised the error: the one whose method the innermost frame runs."""
    frame: FrameType | None = None
    traceback = error.__traceback__
    while traceback is not None:
        frame, traceback = traceback.tb_frame, traceback.tb_next
    value = frame.f_locals.get("self") if frame else None
    return value if isinstance(value, StrictUndefined) else None


_KINDS_OF_OWNER = {
    dict: "the object has no such field",
    list: "the list has no such element",
    tuple: "the list has no such element",
    str: "it was looked up in a text",
    type(None): "it was looked up in none",
    WatchVariable: "a watch has get() and by(); its objects are reached by iterating",
}


def _undefined_message(undefined: Undefined, environment: TemplateEnvironment) -> str:
    if undefined._undefined_hint:  # noqa: SLF001  Jinja tells it nowhere else
        return undefined._undefined_hint  # noqa: SLF001  likewise
    name: object = undefined._undefined_name  # noqa: SLF001  likewise
    owner = undefined._undefined_obj  # noqa: SLF001  likewise
    if owner is missing:
        return f"{name!r} is undefined{did_you_mean(name, environment.globals)}"
    why = _KINDS_OF_OWNER.get(type(owner), f"a {type(owner).__name__} has no such field")
    return f"{name!r} is undefined: {why}{did_you_mean(name, owner) if isinstance(owner, dict) else ''}"


def _culprit(error: Exception, node: nodes.Node) -> nodes.Node:
    """The undefined name itself, where the failing expression only uses it."""
    undefined = _undefined(error) if isinstance(error, UndefinedError) else None
    if undefined is None:
        return node
    name = undefined._undefined_name  # noqa: SLF001  Jinja tells it nowhere else
    parts = (node, *node.find_all((nodes.Name, nodes.Getattr, nodes.Getitem)))
    return next((part for part in parts if _reads(part, name)), node)


def _reads(node: nodes.Node, name: object) -> bool:
    match node:
        case nodes.Name():
            return node.name == name
        case nodes.Getattr():
            return node.attr == name
        case nodes.Getitem(arg=nodes.Const(value=value)):
            return bool(value == name)
    return False
