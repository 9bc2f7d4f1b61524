"""Secrets in events and in a failing component's hands show nowhere that an operator can look (X3)."""

from __future__ import annotations

import re
from typing import Literal

import aiohttp
import pytest

from controller.component import Component, on
from controller.events import ComponentFailed, ValidationCompleted
from controller.observability.commentator import Commentator
from controller.observability.debug import debug_views
from controller.observability.http import HttpServer
from controller.observability.logs import configure_logging
from controller.observability.metrics import MetricsComponent
from events import EventBus
from events.testing import EventRecorder
from tests.controller.observability.conftest import handled
from tests.controller.observability.samples import SECRET, one_of_each

PATHS = (
    "/metrics",
    "/livez?verbose",
    "/readyz?verbose",
    "/debug/events",
    "/debug/subscriptions",
    "/debug/state",
)


class Clumsy(Component):
    """Fails with the text in a local variable, and the event in its error."""

    name = "clumsy"

    @on(ValidationCompleted)
    async def publish_it(self, event: ValidationCompleted) -> None:
        text = event.outputs[0].text
        raise ValueError(f"cannot write {len(text)} characters of {event!r}")


@pytest.mark.usefixtures("restored_logging")
@pytest.mark.parametrize("form", ["console", "json"])
async def test_a_secret_shows_in_no_log_metric_or_debug_output(
    running, capsys, form: Literal["console", "json"]
):
    configure_logging(format=form, level="debug")
    bus, commentator = EventBus(), Commentator()
    metrics = MetricsComponent(bus, version="1.2.3")
    http = HttpServer(
        "127.0.0.1:0",
        registry=metrics.registry,
        readiness={"list": lambda: True},
        liveness={"main-loop": lambda: True},
        debug=debug_views(bus, commentator.recent),
    )
    answers = {}
    async with (
        EventRecorder(bus) as recorder,
        running(bus, commentator, metrics, http, Clumsy()) as runtime,
        aiohttp.ClientSession(f"http://127.0.0.1:{http.port}") as session,
    ):
        for each in one_of_each():
            bus.publish(each)
        await recorder.wait_for(ComponentFailed, lambda event: event.component == "clumsy")
        await handled(runtime)
        for path in PATHS:
            async with session.get(path) as response:
                assert response.status == 200
                answers[path] = await response.text()
    logged = capsys.readouterr()
    for text in (logged.err, logged.out, *answers.values()):
        assert SECRET not in text
    assert re.search(r"cannot write 6 characters", logged.err)
    assert "Traceback" in logged.err
    assert "edge/web" in answers["/debug/events"]
