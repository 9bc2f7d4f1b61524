"""Asks one validator on behalf of the bus: each is a component, so that they answer side by side."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import replace
from itertools import islice
from typing import ClassVar, TypeGuard

import structlog

from controller.component import Component, on
from controller.events import (
    ConfigValidationRequest,
    ConfigValidationResponse,
    OutputValidationRequest,
    OutputValidationResponse,
)
from controller.problems import Problem
from controller.validators.interface import ConfigCandidate, RenderedOutput, Stage, Validator
from controller.validators.threads import Threads
from events import Event

THREADS = 8
"""Threads of one validator, one for each ConfigTemplate that a component handles at a time."""
TIME_LIMIT = 15.0
"""Seconds after which a request is given up for the sake of the next; longer than anyone waits."""
PROBLEM_LIMIT = 1000
"""Problems taken from one `validate`: a generator may go on for ever."""

_OWN = "controller.validators."
_REASON = re.compile("[A-Za-z]([A-Za-z0-9_,:]{0,126}[A-Za-z0-9_])?")
"""What the API server takes as a condition's reason, and of sensible length."""

_log = structlog.get_logger("kopfbus.validators")


class ValidatorHost(Component):
    """One validator as a responder.

    A validator that raises is answered for, with a problem that names it. One that hangs is not: whoever
    asked names it when its time is up. Meanwhile other ConfigTemplates are served.
    """

    name = "validator"
    buffer_size = 1000
    refusal: ClassVar[str]
    """The reason of a problem that brings none of its own."""

    def __init__(self, validator: Validator, *, time_limit: float = TIME_LIMIT) -> None:
        self.name = f"validator.{validator.name}"  # type: ignore[misc] # one class serves them all
        self._validator = validator
        self._time_limit = time_limit
        self._threads = Threads(self.name, THREADS)

    async def _findings(self, subjects: Iterable[ConfigCandidate | RenderedOutput]) -> tuple[Problem, ...]:
        """Everything it has to say of the subjects, one after the other."""
        found: list[Problem] = []
        try:
            async with asyncio.timeout(self._time_limit):
                for subject in subjects:
                    found += await self._ask(subject)
        except TimeoutError:
            text = f"validator {self._validator.name} did not end within {self._time_limit:g} s"
            _log.error("validator hangs", validator=self._validator.name, seconds=self._time_limit)
            found.append(self._stamped(Problem(message=text)))
        return tuple(found)

    async def _ask(self, subject: ConfigCandidate | RenderedOutput) -> list[Problem]:
        try:
            found = await self._call(subject)
        except BaseException as error:  # extensions in other languages raise it, when they panic
            if isinstance(error, GeneratorExit) or (
                isinstance(error, asyncio.CancelledError) and _cancelled()
            ):
                raise
            return [self._failure(error, subject)]
        return [self._stamped(self._placed(problem, subject)) for problem in found]

    async def _call(self, subject: ConfigCandidate | RenderedOutput) -> tuple[Problem, ...]:
        validate = self._validator.validate
        if inspect.iscoroutinefunction(validate):
            return _problems(await validate(subject))
        if inspect.isasyncgenfunction(validate):
            return await _gathered(validate(subject))
        return await self._threads.run(lambda: _problems(validate(subject)))

    def _placed(self, problem: Problem, subject: ConfigCandidate | RenderedOutput) -> Problem:
        """With its output's name, and who says so; of a sensitive one nothing that tells of the text (X3)."""
        name = self._validator.name
        if _is_sensitive(subject):
            # A path may be made of keys that were found in the text.
            hidden = problem.redacted()
            text = f"refused by validator {name}; {hidden.message}"
            return replace(hidden, message=text, path="", template=subject.name)
        if not type(self._validator).__module__.startswith(_OWN):
            problem = replace(problem, message=f"{name}: {problem.message}")
        if isinstance(subject, RenderedOutput):
            problem = replace(problem, template=problem.template or subject.name)
        return problem

    def _failure(self, error: BaseException, subject: ConfigCandidate | RenderedOutput) -> Problem:
        sensitive = _is_sensitive(subject)
        text = type(error).__name__ if sensitive else f"{type(error).__name__}: {error}"
        _log.error(
            "validator failed",
            validator=self._validator.name,
            template=subject.template,
            error=text,
            exc_info=None if sensitive else error,
        )
        where = subject.name if isinstance(subject, RenderedOutput) else ""
        return self._stamped(
            Problem(message=f"validator {self._validator.name} failed: {text}", template=where)
        )

    def _stamped(self, problem: Problem) -> Problem:
        reason = problem.reason if _REASON.fullmatch(problem.reason) else self.refusal
        return replace(problem, validator=self._validator.name, reason=reason)


class ConfigValidatorHost(ValidatorHost):
    """A validator of stage CONFIG."""

    publishes: ClassVar[tuple[type[Event], ...]] = (ConfigValidationResponse,)
    refusal = "ValidatorFailed"

    @on(ConfigValidationRequest, per="template")
    async def judge(self, event: ConfigValidationRequest) -> None:
        """Answer about a generation."""
        problems = await self._findings([ConfigCandidate(event.template, event.spec)])
        self.publish(
            ConfigValidationResponse(request_id=event.id, responder=self._validator.name, problems=problems)
        )


class OutputValidatorHost(ValidatorHost):
    """A validator of stage OUTPUT."""

    publishes: ClassVar[tuple[type[Event], ...]] = (OutputValidationResponse,)
    refusal = "OutputInvalid"

    @on(OutputValidationRequest, per="template")
    async def judge(self, event: OutputValidationRequest) -> None:
        """Answer about all outputs of a render."""
        problems = await self._findings(event.outputs)
        self.publish(
            OutputValidationResponse(request_id=event.id, responder=self._validator.name, problems=problems)
        )


def hosted(validator: Validator, *, time_limit: float = TIME_LIMIT) -> ValidatorHost:
    """The component that answers for a validator; `time_limit` in seconds."""
    kind = ConfigValidatorHost if validator.stage is Stage.CONFIG else OutputValidatorHost
    return kind(validator, time_limit=time_limit)


def _problems(found: object) -> tuple[Problem, ...]:
    """What `validate` gave back. Raises TypeError if it is anything else."""
    if not isinstance(found, Iterable):
        if inspect.iscoroutine(found):
            found.close()  # or Python would complain of it, somewhere else
        raise TypeError(f"validate returned {type(found).__name__}, not an iterable of Problem")
    return tuple(map(_problem, islice(found, PROBLEM_LIMIT)))


async def _gathered(found: AsyncGenerator[object, None]) -> tuple[Problem, ...]:
    """The same for an asynchronous generator."""
    problems: list[Problem] = []
    async with aclosing(found):
        async for item in found:
            problems.append(_problem(item))
            if len(problems) == PROBLEM_LIMIT:
                break
    return tuple(problems)


def _problem(item: object) -> Problem:
    """A Problem whose fields are what they are declared to be: whoever shows it relies on that."""
    if not isinstance(item, Problem):
        raise TypeError(f"validate gave {type(item).__name__}, not Problem")
    for name in ("message", "path", "template", "reason", "source_line", "line", "column"):
        value = getattr(item, name)
        wanted: type[object] = int if name in {"line", "column"} else str
        if not (isinstance(value, wanted) or (value is None and name in {"source_line", "line", "column"})):
            raise TypeError(f"Problem.{name} is {type(value).__name__}, not {wanted.__name__}")
    return item


def _is_sensitive(subject: ConfigCandidate | RenderedOutput) -> TypeGuard[RenderedOutput]:
    return isinstance(subject, RenderedOutput) and subject.sensitive


def _cancelled() -> bool:
    """Whether somebody asked this task to end; other people's code may raise CancelledError by itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
