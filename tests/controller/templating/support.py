"""Jobs for tests, and harmless templates rendered in this process, which is quick."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import HealthCheck, settings

from controller.problems import Problem
from controller.templating.protocol import Failed, Found, Frame, Rendered, RenderJob, Request, WatchData
from controller.templating.rendering import work

OUTPUT = "out.cfg"
MIB = 1 << 20

patient = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""For properties: a busy machine is no failure."""


def kubernetes_object(name: str, namespace: str | None = None, **fields: Any) -> dict[str, Any]:
    """An object with the metadata that every one has."""
    metadata = {"name": name} if namespace is None else {"name": name, "namespace": namespace}
    return {"metadata": metadata, **fields}


def watch(name: str, *objects: dict[str, Any], index_by: tuple[str, ...] = ()) -> WatchData:
    """What a watch found."""
    return WatchData(name, index_by, tuple(map(msgspec.json.encode, objects)))


def job(
    template: str, *watches: WatchData, sensitive: bool = False, values: Any = None, **snippets: str
) -> RenderJob:
    """A job with one output; snippets by name."""
    return RenderJob(
        outputs=((OUTPUT, template),),
        snippets=tuple(snippets.items()),
        values=values or {},
        watches=watches,
        sensitive=sensitive,
    )


def frames(render_job: RenderJob, task: Any = "render") -> list[Frame]:
    """Everything the job reports, done in this process."""
    reported: list[Frame] = []
    work(Request(task, render_job, 5.0, 64 * MIB, MIB), reported.append)
    return reported


def render(template: str, *watches: WatchData, **given: Any) -> str:
    """The text of the one output."""
    last = frames(job(template, *watches, **given))[-1]
    assert isinstance(last, Rendered), last
    return last.outputs[OUTPUT].decode()


def problem(template: str, *watches: WatchData, **given: Any) -> Problem:
    """The problem that ends the render."""
    last = frames(job(template, *watches, **given))[-1]
    assert isinstance(last, Failed), last
    return last.problem


def found(render_job: RenderJob) -> list[Problem]:
    """The problems that a check finds."""
    return [frame.problem for frame in frames(render_job, "check") if isinstance(frame, Found)]
