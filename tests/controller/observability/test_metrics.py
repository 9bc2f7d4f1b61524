"""Metrics: what is counted, by names that Prometheus' rules allow and labels that stay few."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

from controller.events import (
    ComponentFailed,
    ConfigInvalid,
    ConfigPublished,
    ConfigPublishFailed,
    ConfigValidated,
    DriftDetected,
    LeaderBecame,
    LeaderElectionStarted,
    LeaderLost,
    Outcome,
    ReconciliationCompleted,
    ReconciliationFailed,
    ResourceIndexUpdated,
    ResourceWatchFailed,
    ResourceWatchRecovered,
    TemplateRendered,
    ValidationFailed,
)
from controller.observability.bus_metrics import BusCollector
from controller.observability.metrics import MOST_VALUES, MetricsComponent
from controller.problems import Problem
from events import Delivery, Event, EventBus
from tests.controller.observability.conftest import Running, handled
from tests.controller.observability.exposition import samples, scrape, value
from tests.controller.observability.samples import one_of_each, sample


@pytest.fixture
def bus() -> EventBus:
    return EventBus()


@pytest.fixture
def counting(running: Running, bus: EventBus):
    """Runs a MetricsComponent, gives it events, and returns it when it has counted them."""

    @asynccontextmanager
    async def run(*events: Event):
        metrics = MetricsComponent(bus, version="1.2.3")
        async with running(bus, metrics) as runtime:
            for each in events:
                bus.publish(each)
            await handled(runtime)
            assert runtime.hosts[0].failures == 0
            yield metrics.registry

    return run


def changed(cls: type[Event], **fields: Any) -> Event:
    return replace(sample(cls), **fields)


async def test_reconciliations_are_counted_by_result_and_timed(counting):
    failed = changed(ReconciliationFailed, phase="validate", seconds=3.0)
    async with counting(sample(ReconciliationCompleted), failed, failed) as registry:
        assert value(registry, "kopfbus_reconcile_total", {"result": "published"}) == 1
        assert value(registry, "kopfbus_reconcile_total", {"result": "error"}) == 2
        assert value(registry, "kopfbus_reconcile_errors_total", {"phase": "validate"}) == 2
        assert value(registry, "kopfbus_reconcile_time_seconds_count") == 3
        assert value(registry, "kopfbus_reconcile_time_seconds_bucket", {"le": "0.025"}) == 1


async def test_every_result_and_phase_starts_at_zero_so_that_the_first_failure_is_a_rise(counting):
    async with counting() as registry:
        for result in (*Outcome, "error"):
            assert value(registry, "kopfbus_reconcile_total", {"result": result}) == 0
        for phase in ("render", "validate", "publish"):
            assert value(registry, "kopfbus_reconcile_errors_total", {"phase": phase}) == 0


async def test_renders_are_timed(counting):
    async with counting(changed(TemplateRendered, seconds=0.5)) as registry:
        assert value(registry, "kopfbus_render_time_seconds_sum") == 0.5


async def test_publications_are_counted_by_result_and_reason_of_failure(counting):
    unchanged = changed(ConfigPublished, changed=False)
    refused = changed(ConfigPublishFailed, reason="TargetConflict")
    async with counting(sample(ConfigPublished), unchanged, refused) as registry:
        assert value(registry, "kopfbus_publish_total", {"result": "published", "reason": ""}) == 1
        assert value(registry, "kopfbus_publish_total", {"result": "unchanged", "reason": ""}) == 1
        assert value(registry, "kopfbus_publish_total", {"result": "failed", "reason": "TargetConflict"}) == 1


async def test_refusals_are_counted_once_for_each_validator(counting):
    found = tuple(Problem(message="no", validator=name) for name in ("size", "size", "haproxy"))
    events = (changed(ValidationFailed, problems=found), changed(ConfigInvalid, problems=found[:1]))
    async with counting(*events, changed(ConfigInvalid, problems=(Problem(message="no"),))) as registry:
        counted = {
            name: value(registry, "kopfbus_validation_failures_total", {"validator": name})
            for name in ("size", "haproxy", "none")
        }
        assert counted == {"size": 2, "haproxy": 1, "none": 1}


async def test_drift_and_failing_components_are_counted(counting):
    async with counting(sample(DriftDetected), sample(ComponentFailed), sample(ComponentFailed)) as registry:
        assert value(registry, "kopfbus_drift_detected_total") == 1
        assert value(registry, "kopfbus_component_failures_total", {"component": "some text"}) == 2


async def test_failing_watches_are_counted_for_ever_and_shown_while_they_fail(counting, bus):
    broken = [changed(ResourceWatchFailed, watch=name) for name in ("a", "b")]
    async with counting(*broken) as registry:
        assert value(registry, "kopfbus_watch_failing") == 2
        bus.publish(changed(ResourceWatchRecovered, watch="a"))
        assert value(registry, "kopfbus_watch_failing") == 1
        failures = value(
            registry, "kopfbus_watch_failures_total", {"kind": "Ingress", "reason": "TemplateError"}
        )
        assert failures == 2


async def test_invalid_configurations_are_shown_until_they_are_mended(counting, bus):
    events = [changed(ConfigInvalid, template=name) for name in ("edge/a", "edge/b")]
    async with counting(sample(ConfigValidated), *events) as registry:
        assert value(registry, "kopfbus_config_invalid") == 2
        assert value(registry, "kopfbus_config_in_force") == 1
        bus.publish(changed(ConfigValidated, template="edge/a"))
        assert value(registry, "kopfbus_config_invalid") == 1
        assert value(registry, "kopfbus_config_in_force") == 2


async def test_a_candidate_is_not_the_master_of_the_lease(counting):
    async with counting(sample(LeaderElectionStarted)) as registry:
        assert value(registry, "leader_election_master_status", {"name": "kopfbus-leader"}) == 0


@pytest.mark.parametrize(("events", "expected"), [((LeaderBecame,), 1), ((LeaderBecame, LeaderLost), 0)])
async def test_taking_and_leaving_office_shows_and_counts(counting, events, expected):
    async with counting(sample(LeaderElectionStarted), *map(sample, events)) as registry:
        assert value(registry, "leader_election_master_status", {"name": "kopfbus-leader"}) == expected
        assert value(registry, "kopfbus_leader_transitions_total") == 1


async def test_without_an_election_there_is_no_master_status(counting):
    async with counting(sample(LeaderBecame)) as registry:
        assert scrape(registry)["leader_election_master_status"].samples == []


async def test_the_version_and_the_process_are_told(counting):
    async with counting() as registry:
        assert value(registry, "kopfbus_build_info", {"version": "1.2.3"}) == 1
        assert value(registry, "process_resident_memory_bytes")
        assert value(registry, "python_gc_collections_total", {"generation": "0"}) is not None


async def test_what_users_can_invent_ends_in_one_series(counting):
    invented = [changed(ResourceWatchFailed, kind=f"Kind{i}", watch=f"w{i}") for i in range(3 * MOST_VALUES)]
    async with counting(*invented) as registry:
        samples = scrape(registry)["kopfbus_watch_failures"].samples
    assert len(samples) == MOST_VALUES + 1
    assert sum(each.value for each in samples) == len(invented)
    assert {each.labels["kind"]: each.value for each in samples}["other"] == 2 * MOST_VALUES


async def test_no_label_names_an_object(counting):
    async with counting(*one_of_each()) as registry:
        values = {text for each in samples(registry) for text in each.labels.values()}
    assert not {"edge/web", "edge", "web", "haproxy", "ingresses"} & values


# --- read at scrape time


def test_the_bus_is_read_when_scraped_and_only_then(bus):
    registry = registry_of(bus)
    queue = bus.subscribe("slow", buffer_size=2, delivery=Delivery.LOSSY)
    bus.start()
    for _ in range(5):
        bus.publish(sample(ResourceIndexUpdated))
    kind = "resource.index.updated"
    assert value(registry, "kopfbus_bus_events_published_total", {"type": kind}) == 5
    assert value(registry, "kopfbus_bus_subscription_depth", {"subscription": "slow"}) == 2
    assert (
        value(registry, "kopfbus_bus_subscription_dropped_total", {"subscription": "slow", "type": kind}) == 3
    )
    queue.get_sync(timeout=1)
    assert value(registry, "kopfbus_bus_subscription_depth", {"subscription": "slow"}) == 1
    assert value(registry, "kopfbus_bus_subscription_depth_max", {"subscription": "slow"}) == 2
    assert value(registry, "kopfbus_bus_subscription_delivered_total", {"subscription": "slow"}) == 1


def test_what_is_kept_dropped_and_retained_is_told():
    bus = EventBus(pre_start_capacity=1)
    registry = registry_of(bus)
    bus.publish(sample(ResourceIndexUpdated))
    bus.publish(sample(ResourceIndexUpdated))
    assert value(registry, "kopfbus_bus_events_kept") == 1
    assert value(registry, "kopfbus_bus_events_dropped_while_paused_total") == 1
    bus.start()
    bus.publish(sample(ConfigValidated))
    assert value(registry, "kopfbus_bus_events_kept") == 0
    assert value(registry, "kopfbus_bus_events_retained") == 1
    assert value(registry, "kopfbus_bus_requests_pending") == 0


def test_a_conflated_event_is_counted(bus):
    bus.subscribe("state", ConfigValidated, delivery=Delivery.LATEST)
    bus.start()
    bus.publish(sample(ConfigValidated))
    bus.publish(sample(ConfigValidated))
    assert value(registry_of(bus), "kopfbus_bus_subscription_conflated_total", {"subscription": "state"}) == 1


def test_subscriptions_of_one_name_are_one_series(bus):
    for _ in range(2):
        bus.subscribe("twin", delivery=Delivery.LOSSY)
    bus.start()
    bus.publish(sample(ConfigValidated))
    samples = scrape(registry_of(bus))["kopfbus_bus_subscription_depth"].samples
    assert [(each.labels, each.value) for each in samples] == [({"subscription": "twin"}, 2)]


# --- the rules of promtool's linter


def lint(family: Metric) -> Iterator[str]:
    """What `promtool check metrics` would object to."""
    if not family.documentation:
        yield "no help"
    if not re.fullmatch(r"[a-z][a-z0-9_]*", family.name):
        yield "not in snake case"
    words = family.name.split("_")
    for word in {"counter", "gauge", "histogram", "summary", "ms", "milliseconds", "minutes", "kb", "mb"} & {
        *words
    }:
        yield f"{word!r} is a type, or no base unit"
    if "time" in words and words[-1] != "seconds":
        yield "a time without its unit"
    for each in family.samples:
        if (family.type == "counter") != each.name.endswith("_total"):
            yield f"{each.name}: _total is for counters, and all of them"
        if family.type == "gauge" and re.search(r"_(count|sum|bucket)$", each.name):
            yield f"{each.name}: a suffix of histograms"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("kopfbus_reconcile", "gauge"),
        ("kopfbus_time", "gauge"),
        ("kopfbus_wait_ms", "gauge"),
        ("aB", "gauge"),
    ],
)
def test_the_linter_can_object(name, kind):
    family = Metric(name, "" if name == "kopfbus_reconcile" else "Help.", kind)
    assert list(lint(family))


async def test_names_units_and_help_follow_prometheus_rules(counting):
    async with counting(*one_of_each()) as registry:
        objections = {name: [*lint(family)] for name, family in scrape(registry).items()}
    assert {name: found for name, found in objections.items() if found} == {}


async def test_our_names_carry_our_prefix_but_for_the_one_that_everybody_knows(counting):
    async with counting(*one_of_each()) as registry:
        names = {name for name in scrape(registry) if not name.startswith(("process_", "python_gc_"))}
    assert {name for name in names if not name.startswith("kopfbus_")} == {"leader_election_master_status"}


async def test_no_series_is_given_twice(counting):
    async with counting(*one_of_each()) as registry:
        series = [(each.name, tuple(sorted(each.labels.items()))) for each in samples(registry)]
    assert len(series) == len(set(series))


def registry_of(bus: EventBus) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(BusCollector(bus))
    return registry
