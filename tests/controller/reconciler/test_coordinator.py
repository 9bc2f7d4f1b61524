"""From a trigger to a validated render, or to the reason why there is none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from controller.events import (
    ConfigValidated,
    OutputValidationRequest,
    OutputValidationResponse,
    ReconciliationStarted,
    ReconciliationTriggered,
    TemplateRendered,
    TemplateRenderFailed,
    Trigger,
    ValidationCompleted,
    ValidationFailed,
)
from controller.problems import Problem
from controller.reconciler.coordinator import Coordinator
from controller.reconciler.schedule import RENDERER_FAILED
from controller.templating.renderer import RenderFailed, RenderJob, WatchData
from controller.testing import FakeClock, settle
from tests.support.bench import TURNS, Bench, at_work
from tests.support.news import PROBLEM, TEMPLATE, validated

VALIDATORS = ("format", "size")
SECRETS = [{"name": "secrets", "apiVersion": "v1", "kind": "Secret"}]
SOURCES = [{"name": "sources", "apiVersion": "v1", "kind": "ConfigMap", "indexBy": ["metadata.name"]}]


class World:
    """What the coordinator asks: the generation in force, the stores, the renderer."""

    def __init__(self) -> None:
        self.config: ConfigValidated | None = validated()
        self.watched: tuple[WatchData, ...] | None = ()
        self.jobs: list[RenderJob] = []
        self.answer: dict[str, str] | RenderFailed = {"hosts": "a.example\n"}
        self.free = asyncio.Event()
        self.free.set()

    def in_force(self, template: str) -> ConfigValidated | None:
        return self.config

    def snapshot(self, template: str, uid: str, generation: int) -> tuple[WatchData, ...] | None:
        return self.watched

    async def render(self, job: RenderJob) -> dict[str, str]:
        self.jobs.append(job)
        await self.free.wait()
        if isinstance(self.answer, RenderFailed):
            raise self.answer
        return self.answer


@pytest.fixture
async def world() -> World:
    return World()


@pytest.fixture
async def bench(world: World) -> AsyncIterator[Bench]:
    renderer: Any = world
    coordinator = Coordinator(world.in_force, world.snapshot, renderer, VALIDATORS)
    async with at_work(coordinator, FakeClock()) as bench:
        yield bench


def trigger(template: str = TEMPLATE) -> ReconciliationTriggered:
    return ReconciliationTriggered(template=template, reason=Trigger.RESOURCES)


async def answered(bench: Bench, **problems: tuple[Problem, ...]) -> None:
    """All validators answer the last request."""
    request = bench.of(OutputValidationRequest)[-1]
    for name in VALIDATORS:
        await bench.publish(
            OutputValidationResponse(request_id=request.id, responder=name, problems=problems.get(name, ()))
        )


async def test_a_render_that_every_validator_likes_may_be_published(bench, world):
    asked = trigger()
    await bench.publish(asked)
    assert bench.of(ValidationCompleted) == []
    await answered(bench)
    done = bench.of(ValidationCompleted)[0]
    assert (done.uid, done.generation, done.reconciliation) == ("uid-1", 1, asked.id)
    assert [(out.name, out.text, out.target.name) for out in done.outputs] == [
        ("hosts", "a.example\n", "proxy")
    ]


async def test_one_validators_no_is_enough(bench):
    """P3."""
    await bench.publish(trigger())
    await answered(bench, size=(PROBLEM,))
    assert bench.of(ValidationCompleted) == []
    refused = bench.of(ValidationFailed)[0]
    assert (refused.reason, refused.problems) == ("OutputInvalid", (PROBLEM,))


async def test_a_problem_may_bring_its_own_reason(bench):
    await bench.publish(trigger())
    await answered(bench, size=(Problem(message="broke down", reason="ValidatorFailed"),))
    assert bench.of(ValidationFailed)[0].reason == "ValidatorFailed"


async def test_a_validator_that_does_not_answer_is_named(bench, monkeypatch):
    monkeypatch.setattr("controller.reconciler.coordinator.VALIDATION_TIMEOUT", 0.01)
    await bench.publish(trigger())
    request = bench.of(OutputValidationRequest)[-1]
    await bench.publish(OutputValidationResponse(request_id=request.id, responder="format"))
    async with asyncio.timeout(2):
        while not bench.of(ValidationFailed):
            await settle()
    refused = bench.of(ValidationFailed)[0]
    assert refused.reason == "ValidationTimeout"
    assert [problem.validator for problem in refused.problems] == ["size"]


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("template", "RenderFailed"), ("limit", "RenderLimitExceeded"), ("internal", RENDERER_FAILED)],
)
async def test_a_failed_render_is_told_with_whose_fault_it_is(bench, world, kind, reason):
    world.answer = RenderFailed(kind, PROBLEM)
    await bench.publish(trigger())
    failed = bench.of(TemplateRenderFailed)[0]
    assert (failed.reason, failed.problem) == (reason, PROBLEM)
    assert bench.of(OutputValidationRequest) == []


async def test_what_is_in_force_now_is_rendered_not_what_was_at_the_trigger(bench, world):
    world.config = validated(5)
    await bench.publish(trigger())
    assert bench.of(ReconciliationStarted)[0].generation == 5


@pytest.mark.parametrize("missing", ["config", "watched"])
async def test_without_a_configuration_or_its_stores_nothing_is_rendered(bench, world, missing):
    setattr(world, missing, None)
    await bench.publish(trigger())
    assert (world.jobs, bench.of(ReconciliationStarted)) == ([], [])


async def test_a_trigger_during_a_render_leads_to_another_with_newer_objects(bench, world):
    """P2: the change came after the snapshot."""
    world.config = validated(watches=SOURCES)
    world.watched = (WatchData("sources", ("metadata.name",), (b"{}",)),)
    world.free.clear()
    await bench.publish(trigger())
    world.watched = (WatchData("sources", ("metadata.name",), (b"{}", b"{}")),)
    await bench.publish(trigger())
    world.free.set()
    await settle(TURNS)
    await answered(bench)
    assert [len(job.watches[0].objects) for job in world.jobs] == [1, 2]


async def test_a_long_render_does_not_hold_up_others(bench, world):
    """P8."""
    world.free.clear()
    await bench.publish(trigger(), trigger("edge/other"))
    assert len(world.jobs) == 2


async def test_who_watches_secrets_is_rendered_without_quoting_them(bench, world):
    """X3: the renderer and everyone after it are told."""
    target = {"kind": "Secret", "name": "proxy", "key": "hosts"}
    world.config = validated(watches=SECRETS, outputs=[{"name": "hosts", "template": "x", "target": target}])
    await bench.publish(trigger())
    assert world.jobs[0].sensitive
    request = bench.of(OutputValidationRequest)[0]
    assert all(out.sensitive for out in request.outputs)
    assert "a.example" not in repr(request)


async def test_the_size_of_an_output_is_told_in_bytes(bench, world):
    world.answer = {"hosts": "äöü"}
    await bench.publish(trigger())
    assert bench.of(TemplateRendered)[0].outputs == (("hosts", 6),)
