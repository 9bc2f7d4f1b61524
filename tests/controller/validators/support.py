"""What tests of validators share: candidates, outputs, validators of every temper, and a bus to ask on."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from threading import Event
from typing import Any, Self

from controller.clock import SystemClock
from controller.config.model import Target, parse_spec
from controller.events import (
    ConfigValidationRequest,
    ConfigValidationResponse,
    OutputValidationRequest,
    OutputValidationResponse,
)
from controller.problems import Problem
from controller.runtime import Runtime
from controller.validators.component import TIME_LIMIT, hosted
from controller.validators.interface import ConfigCandidate, RenderedOutput, Stage, Validator
from events import EventBus, RequestResult

TARGET = {"name": "web", "key": "web.cfg"}


def candidate(template: str = "edge/web", **spec: Any) -> ConfigCandidate:
    """A ConfigTemplate with one output, unless the spec says otherwise."""
    outputs = [{"name": "web.cfg", "template": "hello", "target": TARGET}]
    return ConfigCandidate(template, parse_spec({"outputs": outputs, **spec}, strict=True))


def watch(name: str = "ingresses", kind: str = "Ingress", **fields: Any) -> dict[str, Any]:
    """A watch as it stands in a spec."""
    return {"name": name, "apiVersion": "networking.k8s.io/v1", "kind": kind, **fields}


def output(text: str, *, template: str = "edge/web", name: str = "web.cfg", **fields: Any) -> RenderedOutput:
    """A rendered text."""
    given = {"format": "text", "target": Target(name="web", key="web.cfg"), **fields}
    return RenderedOutput(template=template, name=name, text=text, **given)


class Doing(Validator):
    """A validator of stage OUTPUT that does what the test says."""

    stage = Stage.OUTPUT

    def __init__(self, what: Callable[[RenderedOutput], Iterable[Problem]], *, name: str = "doing") -> None:
        self.name = name
        self._what = what

    def validate(self, subject: RenderedOutput) -> Iterable[Problem]:
        return self._what(subject)


class DoingAsynchronously(Doing):
    """The same, awaited in the loop."""

    def __init__(
        self, what: Callable[[RenderedOutput], Awaitable[Iterable[Problem]]], *, name: str = "doing"
    ) -> None:
        super().__init__(lambda _: (), name=name)
        self._awaited = what

    async def validate(self, subject: RenderedOutput) -> Iterable[Problem]:  # type: ignore[override] # as its base's base allows
        return await self._awaited(subject)


class Agreeing(Validator):
    """Has nothing to say."""

    stage = Stage.OUTPUT

    def __init__(self, name: str = "agreeing") -> None:
        self.name = name

    def validate(self, subject: RenderedOutput) -> Iterator[Problem]:
        yield from ()


class Hanging(Validator):
    """Does not come back from templates of a name until it is let go; use it as a context manager."""

    stage = Stage.OUTPUT

    def __init__(self, name: str = "hanging", *, on: str = "edge/web") -> None:
        self.name = name
        self._on = on
        self._let_go = Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._let_go.set()

    def validate(self, subject: RenderedOutput) -> Iterator[Problem]:
        if subject.template.startswith(self._on):
            self._let_go.wait(60)
        yield from ()


@asynccontextmanager
async def asking(*validators: Validator, time_limit: float = TIME_LIMIT) -> AsyncIterator[EventBus]:
    """A bus on which the validators answer."""
    bus = EventBus()
    hosts = [hosted(validator, time_limit=time_limit) for validator in validators]
    runtime = Runtime(bus, hosts, clock=SystemClock(), strict=True)
    await runtime.start()
    try:
        yield bus
    finally:
        await runtime.stop(drain=0)


async def ask(
    bus: EventBus, names: Iterable[str], *outputs: RenderedOutput, timeout: float = 5.0
) -> RequestResult[OutputValidationResponse]:
    """Ask validators about rendered outputs of one ConfigTemplate."""
    request = OutputValidationRequest(template=outputs[0].template, outputs=outputs)
    return await bus.request(request, list(names), timeout=timeout)


async def judged(validator: Validator, *outputs: RenderedOutput) -> tuple[Problem, ...]:
    """What a validator of stage OUTPUT answers on a bus."""
    async with asking(validator) as bus:
        result = await ask(bus, [validator.name], *outputs)
    return result.responses[validator.name].problems


async def judged_config(validator: Validator, subject: ConfigCandidate) -> tuple[Problem, ...]:
    """What a validator of stage CONFIG answers on a bus."""
    request = ConfigValidationRequest(template=subject.template, generation=1, spec=subject.spec)
    async with asking(validator) as bus:
        result: RequestResult[ConfigValidationResponse] = await bus.request(request, [validator.name])
    return result.responses[validator.name].problems
