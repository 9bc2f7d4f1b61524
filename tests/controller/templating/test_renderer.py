"""Rendering in child processes: results, limits, and what one job may not do to another (P8)."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

from controller.templating import process
from controller.templating import renderer as renderer_module
from controller.templating.renderer import Renderer, RenderFailed, RenderJob
from tests.controller.templating.processes import children, runs, until
from tests.controller.templating.support import MIB, OUTPUT, job, kubernetes_object, watch

ENDLESS = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
HOLDS_THE_INTERPRETER = "{{ 9 ** (9 ** 9) }}"


@asynccontextmanager
async def running(**limits: Any) -> AsyncIterator[Renderer]:
    """A renderer that is up, and gone afterwards."""
    renderer = Renderer(**limits)
    await renderer.start()
    try:
        yield renderer
    finally:
        await renderer.stop()


def worker_of(renderer: Renderer) -> int:
    """The process id of the fork server."""
    assert renderer._worker
    return renderer._worker.pid


def open_files() -> int:
    """How many file descriptors this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def failure(renderer: Renderer, render_job: RenderJob) -> RenderFailed:
    """What the render fails with."""
    with pytest.raises(RenderFailed) as raised:
        await renderer.render(render_job)
    return raised.value


async def test_every_output_is_rendered():
    async with running() as renderer:
        texts = await renderer.render(
            RenderJob(
                outputs=(("a", "{{ values.n }}é"), ("b", "{% include 's' %}")),
                snippets=(("s", "{{ web.get('x').metadata.name }}"),),
                values=MappingProxyType({"n": 1}),
                watches=(watch("web", kubernetes_object("x")),),
            )
        )
    assert texts == {"a": "1é", "b": "x"}


async def test_the_first_render_starts_what_it_needs():
    renderer = Renderer()
    assert await renderer.render(job("x")) == {OUTPUT: "x"}
    await renderer.stop()


async def test_a_template_problem_ends_the_render():
    async with running() as renderer:
        failed = await failure(renderer, job("x\n{{ nope }}"))
    assert failed.kind == "template"
    assert (failed.problem.line, failed.problem.column) == (2, 4)
    assert str(failed) == str(failed.problem)


async def test_a_check_gives_all_problems():
    async with running() as renderer:
        problems = await renderer.check(
            job("{% if %}", a="{{ 1 | nope }}", b="{{ undefined_is_not_checked }}")
        )
    assert [one.template for one in problems] == [OUTPUT, "a"]


async def test_equal_jobs_render_equal_bytes_in_different_processes():
    template = "{{ (values.a.keys() - values.b.keys()) | list }}{{ web | to_yaml }}{{ web | sort_by('x') }}"
    values = {"a": {f"key-{n}": n for n in range(50)}, "b": {}}
    web = watch("web", *(kubernetes_object(f"o{n}", x=n % 3) for n in range(20)))
    texts = []
    for _ in range(2):
        async with running() as renderer:
            texts += [(await renderer.render(job(template, web, values=values)))[OUTPUT] for _ in range(2)]
    assert len(set(texts)) == 1


@pytest.mark.parametrize("template", [ENDLESS, HOLDS_THE_INTERPRETER])
async def test_a_render_beyond_its_time_is_ended(template):
    async with running(time_limit=0.6) as renderer:
        failed = await failure(renderer, job(template))
        assert failed.kind == "limit"
        assert (
            str(failed) == f"spec.outputs[0].template: {OUTPUT}: rendering exceeded its time limit of 0.6 s"
        )
        await until(lambda: not children(worker_of(renderer)))


@pytest.mark.parametrize(
    "template", ["{{ ('x' * 10 ** 9) | length }}", "{% set big = 'x' * 10 ** 9 %}", "{{ [0] * 10 ** 9 }}"]
)
async def test_a_render_beyond_its_memory_is_ended(template):
    async with running(memory_limit=64 * MIB) as renderer:
        failed = await failure(renderer, job(template))
    assert failed.kind == "limit"
    assert failed.problem.message == "rendering exceeded its memory limit of 64 MiB"


async def test_what_the_job_brings_along_does_not_count_as_its_memory():
    async with running(memory_limit=32 * MIB) as renderer:
        texts = await renderer.render(job("{{ values.big | length }}", values={"big": "x" * (40 * MIB)}))
    assert texts == {OUTPUT: str(40 * MIB)}


@pytest.mark.parametrize(
    "template",
    ["{{ 'x' * 10 ** 8 }}", "{% for a in range(99999) %}{{ 'x' * 1000 }}{% endfor %}", "é" * 6 * MIB],
)
async def test_more_output_than_allowed_is_refused(template):
    async with running() as renderer:
        failed = await failure(renderer, job(template))
    assert failed.kind == "limit"
    assert failed.problem.message == "the outputs together exceed their limit of 10 MiB"


async def test_the_output_limit_holds_for_all_outputs_together():
    outputs = tuple((name, "{{ 'x' * 600 }}") for name in ("a", "b"))
    async with running(output_limit=1000) as renderer:
        failed = await failure(renderer, RenderJob(outputs, (), {}, ()))
    assert failed.problem.template == "b"


@pytest.mark.parametrize(
    ("template", "snippet"),
    [("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", ""), ("{% include 's' %}", "{% include 's' %}")],
)
async def test_endless_recursion_is_a_template_problem(template, snippet):
    async with running() as renderer:
        failed = await failure(renderer, job(template, s=snippet))
    assert failed.kind == "template"
    assert "endless recursion" in failed.problem.message


@pytest.mark.parametrize(
    "source", ["{{ " + "(" * 50_000, "{{ 1" + " + 1" * 50_000 + " }}", "{% if 1 %}" * 20_000]
)
async def test_a_monstrous_template_is_a_problem_not_a_crash(source):
    async with running() as renderer:
        assert len(await renderer.check(job(source))) == 1


async def test_a_check_that_hangs_keeps_the_problems_found_before():
    async with running(time_limit=0.6) as renderer:
        # The argument of autoescape is the one expression that Jinja evaluates while it compiles.
        problems = await renderer.check(
            job("{% if %}", s="{% autoescape 9 ** (9 ** 9) %}{% endautoescape %}")
        )
    assert [(one.template, one.message.partition(",")[0]) for one in problems] == [
        (OUTPUT, "Expected an expression"),
        ("s", "compiling exceeded its time limit of 0.6 s"),
    ]


@pytest.mark.parametrize("template", [ENDLESS, HOLDS_THE_INTERPRETER])
async def test_a_render_that_hangs_delays_no_other(template):
    async with running(time_limit=60) as renderer:
        bad = [asyncio.create_task(renderer.render(job(template))) for _ in range(3)]
        await until(lambda: len(children(worker_of(renderer))) == len(bad))
        assert await renderer.render(job("good")) == {OUTPUT: "good"}
        assert not any(task.done() for task in bad)
        for task in bad:
            task.cancel()
        await asyncio.wait(bad)


async def test_more_jobs_than_run_at_once_are_all_done():
    async with running() as renderer:
        texts = await asyncio.gather(*(renderer.render(job(f"{n}")) for n in range(20)))
        await until(lambda: not children(worker_of(renderer)))
    assert [text[OUTPUT] for text in texts] == [str(n) for n in range(20)]


async def test_a_cancelled_render_leaves_no_process_behind():
    async with running(time_limit=60) as renderer:
        task = asyncio.create_task(renderer.render(job(ENDLESS)))
        await until(lambda: bool(children(worker_of(renderer))))
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        await until(lambda: not children(worker_of(renderer)))


async def test_renders_leave_no_file_descriptors_behind():
    async with running() as renderer:
        before = open_files()
        for template in ("x", "{{ nope }}", "{{ 'x' * 10 ** 8 }}"):
            await asyncio.gather(renderer.render(job(template)), return_exceptions=True)
        await until(lambda: open_files() == before)


async def test_the_kernel_holds_the_limits():
    async with running(time_limit=60, memory_limit=100 * MIB) as renderer:
        task = asyncio.create_task(renderer.render(job(ENDLESS)))
        await until(lambda: bool(children(worker_of(renderer))))
        (child,) = children(worker_of(renderer))
        await until(lambda: resource.prlimit(child, resource.RLIMIT_NOFILE)[0] < 100)
        assert 100 * MIB < resource.prlimit(child, resource.RLIMIT_AS)[0] < 300 * MIB
        assert resource.prlimit(child, resource.RLIMIT_CPU) == (61, 62)
        assert resource.prlimit(child, resource.RLIMIT_CORE) == (0, 0)
        task.cancel()


async def test_a_child_that_cannot_die_at_its_limit_is_killed(monkeypatch):
    monkeypatch.setattr(renderer_module, "_GRACE", 0.1)
    async with running(time_limit=1.0) as renderer:
        task = asyncio.create_task(failure(renderer, job(ENDLESS)))
        await until(lambda: bool(children(worker_of(renderer))))
        (child,) = children(worker_of(renderer))
        os.kill(child, signal.SIGSTOP)
        assert (await task).kind == "limit"
        await until(lambda: not runs(child))


async def test_a_child_killed_from_outside_is_told_and_harms_nothing():
    async with running(time_limit=60) as renderer:
        task = asyncio.create_task(failure(renderer, job(ENDLESS)))
        await until(lambda: bool(children(worker_of(renderer))))
        os.kill(children(worker_of(renderer))[0], signal.SIGKILL)
        failed = await task
        assert failed.kind == "internal"
        assert "killed (SIGKILL)" in str(failed)
        assert await renderer.render(job("next")) == {OUTPUT: "next"}


async def test_a_dead_worker_is_replaced():
    async with running() as renderer:
        first = worker_of(renderer)
        os.kill(first, signal.SIGKILL)
        await until(lambda: not runs(first))
        assert await renderer.render(job("next")) == {OUTPUT: "next"}
        assert worker_of(renderer) != first


async def test_a_render_in_flight_survives_one_death_of_the_worker_but_not_two():
    async with running(time_limit=60) as renderer:
        task = asyncio.create_task(failure(renderer, job(ENDLESS)))
        for _ in range(2):
            await until(lambda: not renderer._starting.locked() and bool(children(worker_of(renderer))))
            child, worker = children(worker_of(renderer))[0], worker_of(renderer)
            os.kill(worker, signal.SIGKILL)
            await until(lambda: not runs(child) and not runs(worker))  # noqa: B023  awaited in this turn
        failed = await task
        assert failed.kind == "internal"
        assert "died twice" in str(failed)
        assert await renderer.render(job("next")) == {OUTPUT: "next"}


async def test_a_worker_that_does_not_answer_is_replaced(monkeypatch):
    monkeypatch.setattr(renderer_module, "_GRACE", 0.1)
    monkeypatch.setattr(process, "_ANSWER_LIMIT", 0.1)
    async with running(time_limit=0.6) as renderer:
        first = worker_of(renderer)
        os.kill(first, signal.SIGSTOP)
        assert await renderer.render(job("next")) == {OUTPUT: "next"}
        await until(lambda: not runs(first))


def test_starting_again_waits_longer_with_each_death():
    renderer = Renderer()
    pauses = []
    for renderer._deaths in range(9):
        pauses.append(renderer._pause())
    assert pauses == [0, 0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0]


async def test_a_worker_that_cannot_start_is_told(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RenderFailed, match=r"did not start \(exit code 1\)") as raised:
        await Renderer().start()
    assert raised.value.kind == "internal"


async def test_an_interpreter_that_is_missing_is_told(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(RenderFailed, match="No such file"):
        await Renderer().start()


async def test_stop_ends_the_worker_and_what_it_does():
    async with running(time_limit=60) as renderer:
        task = asyncio.create_task(failure(renderer, job(ENDLESS)))
        await until(lambda: bool(children(worker_of(renderer))))
        worker, child = worker_of(renderer), children(worker_of(renderer))[0]
        await renderer.stop()
        assert "stopped" in str(await task)
        await until(lambda: not runs(worker) and not runs(child))
        assert (await failure(renderer, job("x"))).kind == "internal"


@pytest.mark.parametrize("value", [object(), 2**70, "\ud800"])
async def test_values_that_are_no_json_are_refused(value):
    async with running() as renderer:
        failed = await failure(renderer, job("x", values={"value": value}))
    assert failed.kind == "template"
    assert "the values hold something" in str(failed)


async def test_a_limit_reached_by_a_sensitive_job_tells_no_data():
    async with running(output_limit=10) as renderer:
        failed = await failure(renderer, job("{{ values.a * 100 }}", values={"a": "hunter2"}, sensitive=True))
    assert "hunter2" not in str(failed)


def test_the_worker_gets_no_secrets_in_its_environment(monkeypatch):
    monkeypatch.setenv("API_TOKEN", "hunter2")
    assert "hunter2" not in str(process._environment())
