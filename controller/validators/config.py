"""The built-in validators of ConfigTemplates: what the API server could not check."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from controller.config.model import Watch
from controller.config.paths import FieldPath, FieldPathError
from controller.problems import Problem
from controller.templating.renderer import Renderer, RenderFailed, RenderJob, WatchData
from controller.validators.interface import ConfigCandidate, Stage, Validator

_TERMS = re.compile(r"(?:\\.|[^,])+", re.DOTALL)
"""What stands between the commas of a field selector; a backslash takes a comma its meaning."""
_TERM = re.compile(r"[A-Za-z][A-Za-z0-9_./\[\]-]*(?:!=|==?)(?:[^\\,=]|\\[\\,=])*")
"""As the API server reads one (fields.ParseSelector); the value may be empty, spaces belong to it."""


class Basic(Validator):
    """What the model cannot say: references to what the operator has, and patterns in Python's syntax."""

    name = "basic"
    stage = Stage.CONFIG

    def __init__(self, output_validators: Collection[str]) -> None:
        self._installed = sorted(output_validators)

    def validate(self, subject: ConfigCandidate) -> Iterator[Problem]:
        """All at once, with field paths."""
        for number, output in enumerate(subject.spec.outputs):
            for place, name in enumerate(output.validators):
                if name not in self._installed:
                    yield Problem(
                        message=f"no output validator {name!r} is installed; there are"
                        f" {', '.join(self._installed)}",
                        path=f"spec.outputs[{number}].validators[{place}]",
                        reason="InvalidSpec",
                    )
        for number, test in enumerate(subject.spec.tests):
            for place, expectation in enumerate(test.expect):
                path = f"spec.tests[{number}].expect[{place}].matches"
                yield from _pattern(expectation.matches or "", path)


class Template(Validator):
    """Every template compiles. In a child process: a template may be made to keep the compiler busy (P8)."""

    name = "template"
    stage = Stage.CONFIG

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer

    async def validate(self, subject: ConfigCandidate) -> Iterable[Problem]:
        """All syntax errors, unknown filters and missing snippets. Raises RenderFailed without a worker."""
        spec = subject.spec
        job = RenderJob(
            outputs=tuple((output.name, output.template) for output in spec.outputs),
            snippets=tuple((snippet.name, snippet.template) for snippet in spec.snippets),
            values=spec.values,
            watches=tuple(WatchData(watch.name, watch.index_by, ()) for watch in spec.watches),
            sensitive=spec.watches_secrets,
        )
        try:
            found = await self._renderer.check(job)
        except RenderFailed as error:
            if error.kind == "internal":
                raise
            found = (error.problem,)
        return [replace(problem, reason="TemplateError") for problem in found]


class JsonPath(Validator):
    """Index paths, ignored fields and field selectors can be read, and go together."""

    name = "jsonpath"
    stage = Stage.CONFIG

    def validate(self, subject: ConfigCandidate) -> Iterator[Problem]:
        """All of them, in the order of the spec."""
        for number, watch in enumerate(subject.spec.watches):
            path = f"spec.watches[{number}]"
            yield from _selector(watch.field_selector, f"{path}.fieldSelector")
            yield from _paths(watch, path)


def _pattern(pattern: str, path: str) -> Iterator[Problem]:
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        message = f"{pattern!r} is no regular expression: {error}"
        yield Problem(message=message, path=path, reason="InvalidSpec")


def _selector(text: str, path: str) -> Iterator[Problem]:
    for term in _TERMS.finditer(text):
        if not _TERM.fullmatch(term[0]):
            message = f"{term[0]!r} is no field selector: write path=value or path!=value, without spaces"
            yield Problem(
                message=message,
                path=path,
                column=term.start() + 1,
                source_line=_shown(text),
                reason="InvalidPath",
            )


def _paths(watch: Watch, path: str) -> Iterator[Problem]:
    parsed: dict[str, dict[FieldPath, str]] = {"indexBy": {}, "ignoreFields": {}}
    for field, texts in (("indexBy", watch.index_by), ("ignoreFields", watch.ignore_fields)):
        for number, text in enumerate(texts):
            place = f"{path}.{field}[{number}]"
            try:
                found = FieldPath.parse(text)
            except FieldPathError as error:
                yield Problem(
                    message=str(error),
                    path=place,
                    column=error.column,
                    source_line=_shown(text),
                    reason="InvalidPath",
                )
                continue
            first = parsed[field].setdefault(found, place)
            if first != place:
                yield Problem(
                    message=f"{text} is the same as {first}: remove one", path=place, reason="InvalidPath"
                )
    yield from _emptied(parsed["indexBy"], parsed["ignoreFields"])


def _emptied(indexes: dict[FieldPath, str], ignored: dict[FieldPath, str]) -> Iterator[Problem]:
    """Ignored fields are removed first: an index of them would be empty, and nobody would know why."""
    for index, place in indexes.items():
        for remover, where in ignored.items():
            if _covers(remover, index):
                message = f"{index} is removed by {where} ({remover}): the index would be empty"
                yield Problem(message=message, path=place, reason="InvalidPath")


def _covers(remover: FieldPath, index: FieldPath) -> bool:
    steps = zip(remover.steps, index.steps, strict=False)
    return len(remover.steps) <= len(index.steps) and all(one in {None, other} for one, other in steps)


def _shown(text: str) -> str | None:
    """The text to put a caret below, if it is a line."""
    return text if text.isprintable() else None
