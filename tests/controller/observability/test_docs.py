"""docs/observability.md lists the metrics and log lines that the code has: no more, no fewer, no others."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

from controller.events import ConfigValidated
from controller.observability.metrics import MetricsComponent
from controller.observability.remarks import REMARKS
from events import Delivery, EventBus
from tests.controller.observability.conftest import handled
from tests.controller.observability.exposition import scrape
from tests.controller.observability.samples import one_of_each, sample

PAGE = Path(__file__).parents[3] / "docs" / "observability.md"
LIBRARYS_OWN = ("process_", "python_gc_")


def section(heading: str) -> list[str]:
    """The rows of the table below a heading of the page."""
    text = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    return [line for line in text.splitlines() if line.startswith("| `")]


def row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def code(words: Iterable[str]) -> str:
    return ", ".join(f"`{word}`" for word in words)


def metric_row(family: Metric) -> str:
    name = f"{family.name}_total" if family.type == "counter" else family.name
    labels = {label for each in family.samples for label in each.labels} - {"le"}
    return row(f"`{name}`", family.type, code(sorted(labels)), family.documentation)


@pytest.fixture
async def exercised(running) -> AsyncIterator[CollectorRegistry]:
    """A registry after one event of each type and a drop, so that every label has been used."""
    bus = EventBus()
    metrics = MetricsComponent(bus, version="1.2.3")
    bus.subscribe("full", ConfigValidated, buffer_size=1, delivery=Delivery.LOSSY)
    async with running(bus, metrics) as runtime:
        for each in (*one_of_each(), sample(ConfigValidated)):
            bus.publish(each)
        await handled(runtime)
        yield metrics.registry


async def test_the_metrics_table_is_that_of_the_code(exercised):
    ours = [family for name, family in sorted(scrape(exercised).items()) if not name.startswith(LIBRARYS_OWN)]
    assert section("Metrics") == [metric_row(family) for family in ours]


def test_the_table_of_log_lines_is_that_of_the_code():
    rows = [
        row(
            f"`{cls.event_type}`",
            logging.getLevelName(remark.level).lower(),
            remark.sentence,
            code(remark.fields),
        )
        for cls, remark in sorted(REMARKS.items(), key=lambda item: item[0].event_type)
    ]
    assert section("Log lines") == rows
