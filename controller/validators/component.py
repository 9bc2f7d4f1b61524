"""Asks one validator on behalf of the bus: each is a component, so that they answer side by side."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterable
from dataclasses import replace
from itertools import islice
from typing import ClassVar

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
        except (Exception, SystemExit, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and _cancelled():
                raise
            return [self._failure(error, subject)]
        return [self._stamped(_placed(problem, subject, self._validator.name)) for problem in found]

    async def _call(self, subject: ConfigCandidate | RenderedOutput) -> tuple[Problem, ...]:
        validate = self._validator.validate
        if inspect.iscoroutinefunction(validate):
            return _problems(await validate(subject))
        return await self._threads.run(lambda: _problems(validate(subject)))

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
        return replace(problem, validator=self._validator.name, reason=problem.reason or self.refusal)


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
        raise TypeError(f"validate returned {type(found).__name__}, not an iterable of Problem")
    problems = tuple(islice(found, PROBLEM_LIMIT))
    for problem in problems:
        if not isinstance(problem, Problem):
            raise TypeError(f"validate gave {type(problem).__name__}, not Problem")
    return problems


def _placed(problem: Problem, subject: ConfigCandidate | RenderedOutput, validator: str) -> Problem:
    """The problem with its output's name; of a sensitive one only what tells nothing of the text (X3)."""
    if not isinstance(subject, RenderedOutput):
        return problem
    if not subject.sensitive:
        return replace(problem, template=problem.template or subject.name)
    hidden = problem.redacted()
    # A path may be made of keys that were found in the text.
    return replace(
        hidden, message=f"refused by validator {validator}; {hidden.message}", path="", template=subject.name
    )


def _is_sensitive(subject: ConfigCandidate | RenderedOutput) -> bool:
    return isinstance(subject, RenderedOutput) and subject.sensitive


def _cancelled() -> bool:
    """Whether somebody asked this task to end; other people's code may raise CancelledError by itself."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
