"""Asks one validator on behalf of the bus: every validator is a component, and so answers side by side."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import ClassVar

from controller.component import Component, on
from controller.events import (
    ConfigValidationRequest,
    ConfigValidationResponse,
    OutputValidationRequest,
    OutputValidationResponse,
)
from controller.problems import Problem
from controller.validators.interface import AnyValidator, ConfigCandidate, RenderedOutput, Stage
from events import Event

THREADS = 4
"""Threads of one validator: so many of its calls may hang before it answers nobody; no other one suffers."""


class ValidatorHost(Component):
    """One validator as a responder; one that raises answers with a problem that names it."""

    buffer_size = 1000

    def __init__(self, validator: AnyValidator) -> None:
        self.name = f"validator.{validator.name}"  # type: ignore[misc] # one class hosts them all
        self._validator = validator
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix=self.name)

    async def stop(self) -> None:
        """Let go of the threads; one that hangs is left behind."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _ask(self, subject: ConfigCandidate | RenderedOutput, *, sensitive: bool) -> list[Problem]:
        name = self._validator.name
        try:
            found = await self._call(subject)
        except Exception as error:
            text = type(error).__name__ if sensitive else f"{type(error).__name__}: {error}"
            return [
                Problem(message=f"validator {name} failed: {text}", validator=name, reason="ValidatorFailed")
            ]
        return [problem if problem.validator else replace(problem, validator=name) for problem in found]

    async def _call(self, subject: ConfigCandidate | RenderedOutput) -> list[Problem]:
        validate = self._validator.validate
        if inspect.iscoroutinefunction(validate):
            return list(await validate(subject))
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, _collect, validate, subject)


class ConfigValidatorHost(ValidatorHost):
    """A validator of stage CONFIG."""

    publishes: ClassVar[tuple[type[Event], ...]] = (ConfigValidationResponse,)

    @on(ConfigValidationRequest, per="template")
    async def judge(self, event: ConfigValidationRequest) -> None:
        """Answer about a generation."""
        problems = await self._ask(ConfigCandidate(event.template, event.spec), sensitive=False)
        self.publish(
            ConfigValidationResponse(
                request_id=event.id, responder=self._validator.name, problems=tuple(problems)
            )
        )


class OutputValidatorHost(ValidatorHost):
    """A validator of stage OUTPUT."""

    publishes: ClassVar[tuple[type[Event], ...]] = (OutputValidationResponse,)

    @on(OutputValidationRequest, per="template")
    async def judge(self, event: OutputValidationRequest) -> None:
        """Answer about all outputs of a render."""
        problems: list[Problem] = []
        for output in event.outputs:
            for problem in await self._ask(output, sensitive=output.sensitive):
                placed = problem if problem.template else replace(problem, template=output.name)
                problems.append(placed.redacted() if output.sensitive else placed)
        self.publish(
            OutputValidationResponse(
                request_id=event.id, responder=self._validator.name, problems=tuple(problems)
            )
        )


def hosted(validator: AnyValidator) -> ValidatorHost:
    """The component that answers for a validator."""
    kind = ConfigValidatorHost if validator.stage is Stage.CONFIG else OutputValidatorHost
    return kind(validator)


def _collect(validate: object, subject: object) -> list[Problem]:
    """In the thread: a generator's body runs here, too."""
    found: Iterable[Problem] = validate(subject)  # type: ignore[operator] # Validator.validate
    return list(found)
