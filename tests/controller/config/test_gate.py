"""The gate: every validator agrees, or what was in force stays so (P1, B7)."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import pytest

from controller.component import Component, on
from controller.config import gate as gate_module
from controller.config.gate import Gate
from controller.config.model import ConfigTemplateSpec, parse_spec
from controller.events import (
    ComponentFailed,
    ConfigDeleted,
    ConfigInvalid,
    ConfigParsed,
    ConfigParseFailed,
    ConfigRemoved,
    ConfigValidated,
    ConfigValidationRequest,
    ConfigValidationResponse,
)
from controller.problems import Problem
from controller.testing import FakeClock, settle
from events import MAX_PRE_START_BUFFER_SIZE, Event
from tests.controller.config.specs import MINIMAL
from tests.controller.support import Job, Stage, running, until

SPEC: ConfigTemplateSpec = parse_spec(MINIMAL, strict=True)
NO = Problem(message="no wildcard hosts", reason="Wildcard")
FAILED = Problem(message="validator policy failed: KeyError: 'x'", reason="ValidatorFailed")

Answer = Callable[[ConfigValidationRequest], tuple[Problem, ...] | None]


class Validator(Component):
    """Answers as the test says; None is no answer."""

    publishes: ClassVar[tuple[type[Event], ...]] = (ConfigValidationResponse,)

    def __init__(self, name: str) -> None:
        self.name = f"validator.{name}"  # type: ignore[misc] # one class, many validators
        self._responder = name
        self.asked: list[ConfigValidationRequest] = []
        self.answer: Answer = lambda _: ()

    @on(ConfigValidationRequest)
    async def judge(self, event: ConfigValidationRequest) -> None:
        self.asked.append(event)
        problems = self.answer(event)
        if problems is not None:
            self.respond(event, problems)

    def respond(self, event: ConfigValidationRequest, problems: tuple[Problem, ...] = ()) -> None:
        self.publish(
            ConfigValidationResponse(request_id=event.id, responder=self._responder, problems=problems)
        )


class Court:
    """A gate with two validators."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.basic, self.policy = Validator("basic"), Validator("policy")
        self.gate = Gate(("basic", "policy"), self.clock)
        self.stage: Stage

    def publish(self, *events: Event) -> None:
        self.stage.publish(*events)

    def told(self) -> list[tuple[str, int]]:
        """The verdicts in order, each with its generation; 0 for a removal."""
        verdicts = (ConfigValidated, ConfigInvalid, ConfigRemoved)
        return [
            (one.event_type.removeprefix("config."), getattr(one, "generation", 0))
            for one in self.stage.recorder.events
            if isinstance(one, verdicts)
        ]

    async def verdict(self, number: int = 1) -> Any:
        """The number-th verdict, when it has come."""
        await until(lambda: len(self.told()) >= number)
        verdicts = (ConfigValidated, ConfigInvalid, ConfigRemoved)
        return [one for one in self.stage.recorder.events if isinstance(one, verdicts)][number - 1]


@pytest.fixture
async def court() -> AsyncIterator[Court]:
    async with session() as made:
        yield made
        assert made.stage.recorder.of(ComponentFailed) == []


@asynccontextmanager
async def session() -> AsyncIterator[Court]:
    court = Court()
    async with running(court.basic, court.policy, court.gate, clock=court.clock) as stage:
        court.stage = stage
        yield court


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Validators get no time at all: the bus's own timeout is a real one."""
    monkeypatch.setattr(gate_module, "VALIDATION_TIMEOUT", 0.01)


def parsed(generation: int = 1, *, template: str = "edge/web", uid: str = "u1", **more: Any) -> ConfigParsed:
    return ConfigParsed(template=template, uid=uid, generation=generation, spec=SPEC, **more)


def unreadable(generation: int) -> ConfigParseFailed:
    return ConfigParseFailed(
        template="edge/web", uid="u1", generation=generation, problems=(Problem(message="unknown field"),)
    )


async def test_a_generation_is_in_force_when_every_validator_has_agreed(court: Court) -> None:
    event = parsed(3, requested_at="now")
    court.publish(event)
    verdict = await court.verdict()
    assert isinstance(verdict, ConfigValidated)
    assert (verdict.template, verdict.uid, verdict.generation) == ("edge/web", "u1", 3)
    assert (verdict.spec, verdict.requested_at) == (SPEC, "now")
    assert verdict.causation_id == event.id
    assert [len(validator.asked) for validator in (court.basic, court.policy)] == [1, 1]


async def test_one_no_refuses_a_generation_and_says_why(court: Court) -> None:
    court.policy.answer = lambda _: (NO,)
    court.publish(parsed(1, requested_at="now"))
    verdict = await court.verdict()
    assert isinstance(verdict, ConfigInvalid)
    assert (verdict.reason, verdict.problems, verdict.in_force) == ("Wildcard", (NO,), None)
    assert (verdict.uid, verdict.generation, verdict.requested_at) == ("u1", 1, "now")


async def test_a_problem_without_a_reason_of_its_own_is_an_invalid_spec(court: Court) -> None:
    court.policy.answer = lambda _: (Problem(message="hm"),)
    court.publish(parsed())
    assert (await court.verdict()).reason == "InvalidSpec"


async def test_all_validators_problems_are_reported_in_the_validators_order(court: Court) -> None:
    first, second = Problem(message="first", reason="First"), Problem(message="second", reason="Second")
    court.basic.answer = lambda _: (first,)
    court.policy.answer = lambda _: (second,)
    court.publish(parsed())
    verdict = await court.verdict()
    assert (verdict.problems, verdict.reason) == ((first, second), "First")


async def test_the_generation_before_stays_in_force(court: Court) -> None:
    court.publish(parsed(1))
    await court.verdict()
    court.policy.answer = lambda _: (NO,)
    court.publish(parsed(2))
    assert (await court.verdict(2)).in_force == 1
    court.publish(unreadable(3))
    verdict = await court.verdict(3)
    assert (verdict.in_force, verdict.problems[0].message) == (1, "unknown field")


async def test_a_deleted_one_is_out_of_force(court: Court) -> None:
    court.publish(parsed(1))
    await court.verdict()
    court.publish(ConfigDeleted(template="edge/web", uid="u1"))
    removed = await court.verdict(2)
    assert (type(removed), removed.uid) == (ConfigRemoved, "u1")
    court.policy.answer = lambda _: (NO,)
    court.publish(parsed(1, uid="u2"))
    assert (await court.verdict(3)).in_force is None


async def test_its_successor_follows_a_deletion(court: Court) -> None:
    """Published in one go while an earlier generation is judged: the order of the three stays."""
    court.basic.answer = lambda _: None
    court.publish(parsed(1))
    await until(lambda: court.basic.asked)
    court.publish(parsed(2), ConfigDeleted(template="edge/web", uid="u1"), parsed(1, uid="u2"))
    await settle()
    court.basic.answer = lambda _: ()
    court.basic.respond(court.basic.asked[0])
    await court.verdict(3)
    await court.stage.quiet()
    assert court.told() == [("validated", 1), ("removed", 0), ("validated", 1)]
    assert (await court.verdict(3)).uid == "u2"


async def test_of_generations_that_wait_only_the_newest_is_judged(court: Court) -> None:
    court.basic.answer = lambda _: None
    court.publish(parsed(1))
    await until(lambda: court.basic.asked)
    court.publish(*(parsed(generation) for generation in range(2, 9)))
    await settle()
    court.basic.answer = lambda _: ()
    court.basic.respond(court.basic.asked[0])
    await court.verdict(2)
    await court.stage.quiet()
    assert court.told() == [("validated", 1), ("validated", 8)]


async def test_a_config_template_that_takes_long_holds_up_no_other(court: Court) -> None:
    court.basic.answer = lambda request: None if request.template == "edge/slow" else ()
    court.publish(parsed(template="edge/slow"), *(parsed(template=f"edge/t{number}") for number in range(20)))
    await court.verdict(20)
    assert all(template != "edge/slow" for template in _validated(court))


def _validated(court: Court) -> list[str]:
    return [event.template for event in court.stage.recorder.of(ConfigValidated)]


# --- no verdict


@pytest.mark.usefixtures("impatient")
async def test_a_validator_that_does_not_answer_is_named(court: Court) -> None:
    court.policy.answer = lambda _: None
    court.publish(parsed())
    verdict = await court.verdict()
    assert verdict.reason == "ValidationTimeout"
    (problem,) = verdict.problems
    assert problem.validator == "policy"
    assert "validator policy did not answer within" in problem.message


@pytest.mark.usefixtures("impatient")
async def test_what_the_others_found_is_told_beside_the_silence(court: Court) -> None:
    court.basic.answer = lambda _: (NO,)
    court.policy.answer = lambda _: None
    court.publish(parsed())
    verdict = await court.verdict()
    assert verdict.reason == "Wildcard"
    assert [problem.validator for problem in verdict.problems] == ["", "policy"]


@pytest.mark.usefixtures("impatient")
async def test_without_a_verdict_it_is_judged_again_and_found_good(court: Court) -> None:
    """One hiccup of a validator must not leave a good configuration out for ever."""
    court.policy.answer = lambda _: None
    event = parsed(4)
    court.publish(event)
    await court.verdict()
    court.policy.answer = lambda _: ()
    await court.clock.advance(29.9)
    assert len(court.policy.asked) == 1
    await court.clock.advance(0.2)
    verdict = await court.verdict(2)
    assert isinstance(verdict, ConfigValidated)
    assert verdict.generation == 4
    assert verdict.correlation_id == event.id


async def test_a_validator_that_failed_is_asked_again(court: Court) -> None:
    court.policy.answer = lambda _: (FAILED,)
    court.publish(parsed())
    await court.verdict()
    court.policy.answer = lambda _: ()
    await court.clock.advance(30.1)
    assert isinstance(await court.verdict(2), ConfigValidated)


async def test_judging_again_backs_off_to_ten_minutes_and_repeats_nothing(court: Court) -> None:
    court.policy.answer = lambda _: (FAILED,)
    court.publish(parsed())
    await court.verdict()
    times = [court.clock.monotonic()]
    for _ in range(6):
        count = len(court.policy.asked)
        while len(court.policy.asked) == count:
            await court.clock.advance(5)
        times.append(court.clock.monotonic())
        await court.stage.quiet()
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert gaps == [30, 60, 120, 240, 480, 600]
    assert court.told() == [("invalid", 1)]


async def test_a_new_finding_of_a_second_judgement_is_told_and_final(court: Court) -> None:
    court.policy.answer = lambda _: (FAILED,)
    court.publish(parsed())
    await court.verdict()
    court.policy.answer = lambda _: (NO,)
    await court.clock.advance(30.1)
    assert (await court.verdict(2)).reason == "Wildcard"
    await court.clock.advance(10_000)
    assert len(court.policy.asked) == 2


async def test_a_real_no_is_not_asked_for_again(court: Court) -> None:
    court.policy.answer = lambda _: (NO, FAILED)
    court.publish(parsed())
    await court.verdict()
    await court.clock.advance(10_000)
    assert len(court.policy.asked) == 1


@pytest.mark.parametrize("newer", [parsed(2), unreadable(2), ConfigDeleted(template="edge/web", uid="u1")])
async def test_what_is_newer_ends_the_doubt(court: Court, newer: Event) -> None:
    court.policy.answer = lambda _: (FAILED,)
    court.publish(parsed(1))
    await court.verdict()
    court.policy.answer = lambda _: ()
    court.publish(newer)
    last = await court.verdict(2)
    asked = len(court.policy.asked)
    await court.clock.advance(10_000)
    assert len(court.policy.asked) == asked
    assert await court.verdict(len(court.told())) is last


async def test_a_second_judgement_that_ends_after_a_newer_one_began_counts_for_nothing(court: Court) -> None:
    court.policy.answer = lambda _: (FAILED,)
    court.publish(parsed(1))
    await court.verdict()
    court.policy.answer = lambda _: None
    await court.clock.advance(30.1)
    await until(lambda: len(court.policy.asked) == 2)
    court.publish(parsed(2))
    await until(lambda: len(court.policy.asked) == 3)
    court.policy.respond(court.policy.asked[2], (NO,))
    await court.verdict(2)
    court.policy.respond(court.policy.asked[1])
    await court.stage.quiet()
    assert court.told() == [("invalid", 1), ("invalid", 2)]


async def test_a_doubt_outlives_a_restart_of_the_gate() -> None:
    async with session() as court:
        court.policy.answer = lambda _: (FAILED,)
        court.publish(parsed())
        await court.verdict()
        court.policy.answer = lambda _: None
        await court.clock.advance(30.1)
        await until(lambda: len(court.policy.asked) == 2)

        async def dies() -> None:
            raise RuntimeError("gone")

        court.gate.spawn("dies", dies)
        await court.stage.recorder.wait_for(ComponentFailed)
        court.policy.answer = lambda _: ()
        await court.clock.advance(60)
        assert isinstance(await court.verdict(2), ConfigValidated)


async def test_a_request_that_the_bus_dropped_is_no_verdict() -> None:
    """Paused with a full buffer it reaches nobody."""
    court = Court()
    async with running(court.gate, clock=court.clock) as stage:
        court.stage = stage
        stage.publish(parsed())
        with stage.bus.paused():
            stage.publish(*(Job(job="other") for _ in range(MAX_PRE_START_BUFFER_SIZE)))
            await settle()
        assert (await court.verdict()).reason == "ValidationTimeout"
