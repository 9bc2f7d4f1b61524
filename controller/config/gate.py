"""The gate: a ConfigTemplate's new generation comes into force when every validator has agreed (P1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from controller.component import Component, on
from controller.events import (
    ConfigDeleted,
    ConfigInvalid,
    ConfigParsed,
    ConfigParseFailed,
    ConfigRemoved,
    ConfigValidated,
    ConfigValidationRequest,
)
from controller.problems import Problem
from events import Delivery, Event, RequestDropped, RequestTimeout

VALIDATION_TIMEOUT = 10.0
"""Seconds that validators have to answer."""


class Gate(Component):
    """Asks all validators of stage CONFIG; the previous generation stays in force while a new one is refused."""

    name = "gate"
    publishes: ClassVar[tuple[type[Event], ...]] = (
        ConfigValidationRequest,
        ConfigValidated,
        ConfigInvalid,
        ConfigRemoved,
    )
    delivery = Delivery.LATEST

    def __init__(self, validators: Sequence[str]) -> None:
        self._validators = tuple(validators)
        self._in_force: dict[str, int] = {}

    @on(ConfigParsed, per="template")
    async def parsed(self, event: ConfigParsed) -> None:
        """Have a generation judged."""
        problems = await self._judge(event)
        if problems:
            self._refuse(event, problems)
            return
        self._in_force[event.template] = event.generation
        self.publish(
            ConfigValidated(
                template=event.template,
                uid=event.uid,
                generation=event.generation,
                spec=event.spec,
                requested_at=event.requested_at,
            )
        )

    @on(ConfigParseFailed, per="template")
    async def unreadable(self, event: ConfigParseFailed) -> None:
        """Refuse what does not follow the model."""
        self._refuse(event, event.problems)

    @on(ConfigDeleted, per="template")
    async def deleted(self, event: ConfigDeleted) -> None:
        """Take a ConfigTemplate out of force."""
        self._in_force.pop(event.template, None)
        self.publish(ConfigRemoved(template=event.template, uid=event.uid))

    def _refuse(self, event: ConfigParsed | ConfigParseFailed, problems: tuple[Problem, ...]) -> None:
        self.publish(
            ConfigInvalid(
                template=event.template,
                uid=event.uid,
                generation=event.generation,
                requested_at=event.requested_at,
                reason=next((problem.reason for problem in problems if problem.reason), "InvalidSpec"),
                problems=problems,
                in_force=self._in_force.get(event.template),
            )
        )

    async def _judge(self, event: ConfigParsed) -> tuple[Problem, ...]:
        request = ConfigValidationRequest(
            template=event.template, generation=event.generation, spec=event.spec
        )
        try:
            result = await self.request(request, self._validators, timeout=VALIDATION_TIMEOUT)
        except RequestTimeout as error:
            return tuple(_silent(name) for name in error.result.missing)
        except RequestDropped as error:
            return (Problem(message=str(error), reason="ValidationTimeout"),)
        answers = [result.responses[name] for name in self._validators]
        return tuple(problem for answer in answers for problem in answer.problems)


def _silent(validator: str) -> Problem:
    return Problem(
        message=f"validator {validator} did not answer within {VALIDATION_TIMEOUT:g} s",
        validator=validator,
        reason="ValidationTimeout",
    )
