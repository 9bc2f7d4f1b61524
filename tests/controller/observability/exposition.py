"""Reads what /metrics says, as Prometheus would."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample


def parse(text: str) -> dict[str, Metric]:
    """The families by name; counters without their _total."""
    return {family.name: family for family in text_string_to_metric_families(text)}


def scrape(registry: CollectorRegistry) -> dict[str, Metric]:
    """The same of a registry, through the text."""
    return parse(generate_latest(registry).decode())


def samples(registry: CollectorRegistry) -> list[Sample]:
    """All samples of a registry."""
    return [sample for family in scrape(registry).values() for sample in family.samples]


def value(registry: CollectorRegistry, metric: str, labels: Mapping[str, str] | None = None) -> float | None:
    """One sample's value; None if there is no such sample."""
    found = [each.value for each in samples(registry) if (each.name, each.labels) == (metric, labels or {})]
    return found[0] if found else None
