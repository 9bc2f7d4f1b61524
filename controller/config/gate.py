"""The gate: a ConfigTemplate's new generation comes into force when every validator has agreed (P1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from controller.clock import Clock, SystemClock
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
from controller.timers import Timers
from events import Delivery, Event, RequestDropped, RequestTimeout, handling

VALIDATION_TIMEOUT = 10.0
"""Seconds that validators have to answer."""
NO_VERDICT = frozenset({"ValidationTimeout", "ValidatorFailed"})
"""Reasons that may say nothing of the ConfigTemplate itself: judged again, it may be found good."""
JUDGE_AGAIN = (30.0, 600.0)
"""Seconds until a generation without a verdict is judged again: at first, doubling, and at most."""


@dataclass(frozen=True, slots=True)
class _Doubt:
    """A generation without a verdict: what was said of it, and how often it was left so."""

    event: ConfigParsed
    problems: tuple[Problem, ...]
    times: int


class Gate(Component):
    """Asks all validators of stage CONFIG; what was in force stays so while a new generation is refused."""

    name = "gate"
    publishes: ClassVar[tuple[type[Event], ...]] = (
        ConfigValidationRequest,
        ConfigValidated,
        ConfigInvalid,
        ConfigRemoved,
    )
    delivery = Delivery.LATEST

    def __init__(self, validators: Sequence[str], clock: Clock | None = None) -> None:
        self._validators = tuple(validators)
        self._clock = clock or SystemClock()
        self._in_force: dict[str, int] = {}
        self._doubts: dict[str, _Doubt] = {}
        self._timers: Timers[str] = Timers(self._clock)

    async def start(self) -> None:
        """Begin to watch for what is to be judged again."""
        self.spawn("doubts", self._clear_doubts)

    @on(ConfigParsed, per="template")
    async def parsed(self, event: ConfigParsed) -> None:
        """Have a generation judged."""
        self._dispel(event.template)
        problems = await self._judge(event)
        if problems:
            self._refuse(event, problems)
            self._doubt(_Doubt(event, problems, times=1))
        else:
            self._accept(event)

    @on(ConfigParseFailed, per="template")
    async def unreadable(self, event: ConfigParseFailed) -> None:
        """Refuse what does not follow the model."""
        self._dispel(event.template)
        self._refuse(event, event.problems)

    @on(ConfigDeleted, per="template")
    async def deleted(self, event: ConfigDeleted) -> None:
        """Take a ConfigTemplate out of force."""
        self._dispel(event.template)
        self._in_force.pop(event.template, None)
        self.publish(ConfigRemoved(template=event.template, uid=event.uid))

    # --- the verdict

    def _accept(self, event: ConfigParsed) -> None:
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
            result = error.result
        except RequestDropped as error:
            return (Problem(message=str(error), reason="ValidationTimeout"),)
        answers = [result.responses[name] for name in self._validators if name in result.responses]
        found = tuple(problem for answer in answers for problem in answer.problems)
        return found + tuple(_silent(name) for name in result.missing)

    # --- judging again

    def _doubt(self, doubt: _Doubt) -> None:
        """Have a generation judged again later, if it was refused for nothing that it can help."""
        if not all(problem.reason in NO_VERDICT for problem in doubt.problems):
            return
        least, most = JUDGE_AGAIN
        delay = min(most, least * 2.0 ** min(doubt.times - 1, 30))
        self._doubts[doubt.event.template] = doubt
        self._timers.set(doubt.event.template, self._clock.monotonic() + delay)

    def _dispel(self, template: str) -> None:
        """Something newer is known."""
        self._doubts.pop(template, None)
        self._timers.cancel(template)

    async def _clear_doubts(self) -> None:
        while True:
            doubt = self._doubts[await self._timers.next()]
            self._doubt(doubt)  # should this component be restarted meanwhile
            self.spawn(f"judge {doubt.event.template} again", partial(self._judge_again, doubt))

    async def _judge_again(self, doubt: _Doubt) -> None:
        event = doubt.event
        with handling(event):
            problems = await self._judge(event)
            if self._doubts.get(event.template) is not doubt:
                return  # something newer is being judged
            self._dispel(event.template)
            if not problems:
                self._accept(event)
                return
            if problems != doubt.problems:
                self._refuse(event, problems)
            self._doubt(_Doubt(event, problems, doubt.times + 1))


def _silent(validator: str) -> Problem:
    return Problem(
        message=f"validator {validator} did not answer within {VALIDATION_TIMEOUT:g} s",
        validator=validator,
        reason="ValidationTimeout",
    )
