"""How validators answer on the bus: side by side, each for itself, and named when they fail."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from itertools import repeat
from typing import Any

import pytest
import structlog

from controller.problems import Problem
from controller.validators.component import PROBLEM_LIMIT, THREADS, hosted
from controller.validators.interface import ConfigCandidate, RenderedOutput, Stage, Validator
from controller.validators.output import NonEmpty
from events import RequestTimeout
from tests.controller.validators.support import (
    Agreeing,
    Doing,
    DoingAsynchronously,
    Hanging,
    ask,
    asking,
    candidate,
    judged,
    judged_config,
    output,
)


def refuse(_: RenderedOutput) -> Iterator[Problem]:
    yield Problem(message="no")


async def arefuse(_: RenderedOutput) -> Iterable[Problem]:
    await asyncio.sleep(0)
    return [Problem(message="no")]


class Config(Validator):
    name = "config"
    stage = Stage.CONFIG

    def validate(self, subject: ConfigCandidate) -> Iterator[Problem]:
        yield Problem(message=f"{subject.template} in {subject.namespace}: {subject.spec.outputs[0].name}")


def test_a_validator_is_a_component_of_its_own_name():
    assert hosted(Agreeing("fine")).name == "validator.fine"


class Generating(Validator):
    """An asynchronous generator."""

    name = "doing"
    stage = Stage.OUTPUT

    async def validate(self, subject: RenderedOutput) -> AsyncIterator[Problem]:
        while True:
            await asyncio.sleep(0)
            yield Problem(message="no")
            if subject.text != "endless":
                return


@pytest.mark.parametrize("validator", [Doing(refuse), DoingAsynchronously(arefuse), Generating()])
async def test_a_finding_names_its_validator_and_its_output(validator):
    (problem,) = await judged(validator, output("x", name="hosts"))
    assert (str(problem), problem.validator, problem.reason) == ("hosts: doing: no", "doing", "OutputInvalid")


async def test_findings_of_the_built_in_validators_speak_for_themselves():
    (problem,) = await judged(NonEmpty(), output("", name="hosts"))
    assert str(problem).startswith("hosts: the rendered text is empty")


@pytest.mark.parametrize("reason", ["", "no good", "9", "Ends-", "R" * 200])
async def test_a_reason_that_no_condition_can_have_gives_way_to_the_usual_one(reason):
    (problem,) = await judged(Doing(lambda _: [Problem(message="no", reason=reason)]), output("x"))
    assert problem.reason == "OutputInvalid"


async def test_a_finding_may_name_its_place_and_reason_itself():
    found = Problem(message="no", template="macros", path="spec", reason="Forbidden", validator="other")
    (problem,) = await judged(Doing(lambda _: [found]), output("x"))
    assert (problem.template, problem.path, problem.reason) == ("macros", "spec", "Forbidden")
    assert problem.validator == "doing"


async def test_every_output_is_judged_and_the_findings_keep_their_order():
    outputs = [output(text, name=text) for text in ("a", "b", "c")]
    validator = Doing(lambda subject: [] if subject.text == "b" else [Problem(message=subject.text)])
    assert [str(problem) for problem in await judged(validator, *outputs)] == ["a: doing: a", "c: doing: c"]


async def test_a_validator_of_configurations_is_given_the_candidate():
    (problem,) = await judged_config(Config(), candidate("edge/web"))
    assert problem.message == "config: edge/web in edge: web.cfg"
    assert (problem.validator, problem.reason) == ("config", "ValidatorFailed")


async def test_a_synchronous_validator_runs_in_a_thread_and_an_asynchronous_one_in_the_loop():
    threads: list[int] = []

    def note(_: RenderedOutput) -> Iterator[Problem]:
        threads.append(threading.get_ident())
        yield from ()

    async def anote(_: RenderedOutput) -> Iterable[Problem]:
        threads.append(threading.get_ident())
        return ()

    await judged(Doing(note), output("x"))
    await judged(DoingAsynchronously(anote), output("x"))
    assert threads[0] != threading.get_ident() == threads[1]


def fail(_: RenderedOutput) -> Iterator[Problem]:
    yield Problem(message="found before")
    raise ValueError("too much")


async def cancel(_: RenderedOutput) -> Iterable[Problem]:
    raise asyncio.CancelledError("by nobody")


def leave(_: RenderedOutput) -> Iterable[Problem]:
    raise SystemExit(3)


def stop(_: RenderedOutput) -> Iterable[Problem]:
    raise StopIteration


class Panic(BaseException):
    """What extensions in Rust raise."""


def panic(_: RenderedOutput) -> Iterable[Problem]:
    raise Panic("index out of bounds")


def mistaken(**fields: Any) -> Validator:
    return Doing(lambda _: [Problem(**{"message": "no", **fields})])


@pytest.mark.parametrize(
    ("validator", "says"),
    [
        (Doing(fail), "ValueError: too much"),
        (Doing(leave), "SystemExit: 3"),
        (Doing(stop), "StopIteration"),
        (Doing(panic), "Panic: index out of bounds"),
        (mistaken(message=ValueError("no")), "TypeError: Problem.message is ValueError, not str"),
        (mistaken(line="3"), "TypeError: Problem.line is str, not int"),
        (Doing(arefuse), "TypeError: validate returned coroutine"),  # type: ignore[arg-type] # a mistake
        (DoingAsynchronously(cancel), "CancelledError: by nobody"),
        (Doing(lambda _: None), "TypeError: validate returned NoneType"),  # type: ignore[arg-type,return-value] # a mistake
        (Doing(lambda _: "no"), "TypeError: validate gave str, not Problem"),  # type: ignore[arg-type,return-value] # a mistake
    ],
)
async def test_a_validator_that_raises_answers_with_a_problem_that_names_it(validator, says):
    (problem,) = await judged(validator, output("x", name="hosts"))
    assert problem.message.startswith("validator doing failed: ")
    assert says in problem.message
    assert (problem.validator, problem.template) == ("doing", "hosts")


async def test_who_fails_on_one_output_is_asked_about_the_next():
    def fail_on_a(subject: RenderedOutput) -> Iterable[Problem]:
        return fail(subject) if subject.name == "a" else refuse(subject)

    problems = await judged(Doing(fail_on_a), output("x", name="a"), output("x", name="b"))
    assert [problem.template for problem in problems] == ["a", "b"]


@pytest.mark.parametrize(
    "validator", [Doing(lambda _: repeat(Problem(message="no"))), Generating()], ids=["plain", "asynchronous"]
)
async def test_endless_findings_come_to_an_end(validator):
    problems = await judged(validator, output("endless"))
    assert len(problems) == PROBLEM_LIMIT


async def test_of_a_sensitive_output_a_finding_tells_position_and_validator_only():
    def tell(subject: RenderedOutput) -> Iterator[Problem]:
        yield Problem(
            message=f"bad: {subject.text}",
            path=f"users.{subject.text}",
            template=subject.text,
            line=3,
            column=5,
            source_line=subject.text,
        )

    (problem,) = await judged(Doing(tell), output("hunter2", name="db", sensitive=True))
    assert "hunter2" not in repr(problem)
    assert str(problem).startswith("db line 3, column 5: refused by validator doing; details withheld")


async def test_of_a_sensitive_output_a_failure_tells_neither_in_the_answer_nor_in_the_log_what_was_raised():
    def tell(subject: RenderedOutput) -> Iterable[Problem]:
        raise ValueError(subject.text)

    with structlog.testing.capture_logs() as logs:
        (problem,) = await judged(Doing(tell), output("hunter2", name="db", sensitive=True))
    assert str(problem) == "db: validator doing failed: ValueError"
    assert [(log["validator"], log["error"]) for log in logs] == [("doing", "ValueError")]
    assert "hunter2" not in repr(logs)


async def test_a_failure_is_logged_with_its_traceback():
    with structlog.testing.capture_logs() as logs:
        await judged(Doing(fail), output("x", template="edge/web"))
    (log,) = logs
    assert (log["event"], log["template"]) == ("validator failed", "edge/web")
    assert isinstance(log["exc_info"], ValueError)


async def test_one_that_hangs_is_named_while_the_others_have_answered():
    with Hanging() as hanging:
        async with asking(hanging, Agreeing(), Doing(refuse)) as bus:
            with pytest.raises(RequestTimeout, match="hanging") as raised:
                await ask(bus, ["hanging", "agreeing", "doing"], output("x"), timeout=0.2)
    assert raised.value.result.missing == ("hanging",)
    assert set(raised.value.result.responses) == {"agreeing", "doing"}


async def test_one_that_hangs_on_one_template_answers_for_the_others():
    with Hanging(on="edge/web") as hanging:
        async with asking(hanging) as bus:
            stuck = asyncio.create_task(ask(bus, ["hanging"], output("x", template="edge/web"), timeout=30))
            for name in ("edge/a", "edge/b"):
                result = await ask(bus, ["hanging"], output("x", template=name))
                assert result.responses["hanging"].problems == ()
            assert not stuck.done()
            stuck.cancel()


async def test_two_templates_are_judged_side_by_side():
    """Each call waits until the other is under way, too."""
    meeting = threading.Barrier(2, timeout=5)

    def meet(_: RenderedOutput) -> Iterable[Problem]:
        meeting.wait()
        return ()

    async with asking(Doing(meet)) as bus:
        results = await asyncio.gather(
            *(ask(bus, ["doing"], output("x", template=f"edge/{name}")) for name in "ab")
        )
    assert [result.responses["doing"].problems for result in results] == [(), ()]


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_a_call_that_hangs_is_given_up_for_the_next_of_its_template(asynchronous):
    seen: list[str] = []

    async def ahang(subject: RenderedOutput) -> Iterable[Problem]:
        seen.append(subject.text)
        if len(seen) == 1:
            await asyncio.Event().wait()
        return ()

    def hang(subject: RenderedOutput) -> Iterable[Problem]:
        seen.append(subject.text)
        if len(seen) == 1:
            let_go.wait(60)
        return ()

    let_go = threading.Event()
    validator = DoingAsynchronously(ahang) if asynchronous else Doing(hang)
    async with asking(validator, time_limit=0.1) as bus:
        first = await ask(bus, ["doing"], output("first"))
        second = await ask(bus, ["doing"], output("second"))
    let_go.set()
    assert [str(problem) for problem in first.responses["doing"].problems] == [
        "validator doing did not end within 0.1 s"
    ]
    assert second.responses["doing"].problems == ()


async def test_one_whose_threads_all_hang_takes_no_thread_from_anybody_else():
    with Hanging(on="edge/") as hanging:
        async with asking(hanging, Agreeing()) as bus:
            stuck = [
                asyncio.create_task(ask(bus, ["hanging"], output("x", template=f"edge/{number}"), timeout=30))
                for number in range(THREADS + 1)
            ]
            result = await ask(bus, ["agreeing"], output("x"))
            assert result.responses["agreeing"].problems == ()
            assert await asyncio.wait_for(asyncio.to_thread(lambda: "free"), 5) == "free"
            for task in stuck:
                task.cancel()


async def test_what_a_validator_does_is_caused_by_the_request():
    """B1: also across the thread."""
    causes: list[str | None] = []

    def note(_: RenderedOutput) -> Iterable[Problem]:
        from controller.events import ComponentFailed  # noqa: PLC0415 - any event will do

        causes.append(ComponentFailed(component="", where="", error="").causation_id)
        return ()

    async with asking(Doing(note)) as bus:
        result = await ask(bus, ["doing"], output("x"))
    assert causes == [result.responses["doing"].request_id]
