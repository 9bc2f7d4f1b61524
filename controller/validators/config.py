"""The built-in validators of ConfigTemplates: what the API server could not check."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from controller.config.paths import FieldPath, FieldPathError
from controller.problems import Problem
from controller.templating.renderer import Renderer, RenderFailed, RenderJob, WatchData
from controller.validators.interface import ConfigCandidate, Stage, Validator

_REQUIREMENT = re.compile(r"^\s*[A-Za-z][\w./\[\]-]*\s*(=|==|!=)\s*[^=!,\s][^=!,]*$")


class Basic(Validator[ConfigCandidate]):
    """References that lead nowhere; all at once, with field paths."""

    name = "basic"
    stage = Stage.CONFIG

    def __init__(self, output_validators: Collection[str]) -> None:
        self._output_validators = output_validators

    def validate(self, subject: ConfigCandidate) -> Iterator[Problem]:
        """Names of validators that are not installed."""
        for number, output in enumerate(subject.spec.outputs):
            for place, name in enumerate(output.validators):
                if name not in self._output_validators:
                    installed = ", ".join(sorted(self._output_validators)) or "none"
                    yield Problem(
                        message=f"there is no output validator {name!r}; installed: {installed}",
                        path=f"spec.outputs[{number}].validators[{place}]",
                        reason="InvalidSpec",
                    )


class Template(Validator[ConfigCandidate]):
    """Every template compiles. In the render worker: compiling evaluates constants, `9**9**8` too (P8)."""

    name = "template"
    stage = Stage.CONFIG

    def __init__(self, renderer: Renderer) -> None:
        self._renderer = renderer

    async def validate(self, subject: ConfigCandidate) -> Iterable[Problem]:
        """All syntax errors, unknown filters and missing snippets."""
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
            found = (error.problem,)
        return [_with_reason(problem, "TemplateError") for problem in found]


class JsonPath(Validator[ConfigCandidate]):
    """Index paths, ignored fields and field selectors can be read."""

    name = "jsonpath"
    stage = Stage.CONFIG

    def validate(self, subject: ConfigCandidate) -> Iterator[Problem]:
        """All of them, in order."""
        for number, watch in enumerate(subject.spec.watches):
            path = f"spec.watches[{number}]"
            for field, texts in (("indexBy", watch.index_by), ("ignoreFields", watch.ignore_fields)):
                for place, text in enumerate(texts):
                    yield from _field_path(text, f"{path}.{field}[{place}]")
            yield from _field_selector(watch.field_selector, f"{path}.fieldSelector")


def _field_path(text: str, path: str) -> Iterator[Problem]:
    try:
        FieldPath.parse(text)
    except FieldPathError as error:
        yield Problem(message=f"{text!r}: {error}", path=path, reason="InvalidPath")


def _field_selector(text: str, path: str) -> Iterator[Problem]:
    for requirement in text.split(",") if text else ():
        if not _REQUIREMENT.match(requirement):
            message = f"{requirement.strip()!r} is no field selector: write path=value or path!=value"
            yield Problem(message=message, path=path, reason="InvalidPath")


def _with_reason(problem: Problem, reason: str) -> Problem:
    return problem if problem.reason else replace(problem, reason=reason)
