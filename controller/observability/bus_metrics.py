"""What is read when it is scraped: the bus's counts and what it retains; publishers pay nothing (B9)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from controller.events import ConfigInvalid, ConfigValidated, ResourceWatchFailed
from events import BusStats, EventBus, SubscriptionStats


class BusCollector(Collector):
    """Samples of one bus, taken when asked for; any thread.

    Subscriptions of one name are added up. Those of leader-only components begin at zero in each term.
    """

    def __init__(self, bus: EventBus) -> None:
        self._bus = bus

    def collect(self) -> Iterator[Metric]:
        """All families, anew at each scrape."""
        yield from _bus_families(self._bus.stats())
        yield from _subscription_families([each.stats() for each in self._bus.subscriptions])
        yield from self._state_families()

    def _state_families(self) -> Iterator[Metric]:
        """Counted in what the bus retains: exact, where counting events might miss one."""
        yield _gauge(
            "kopfbus_config_in_force",
            "ConfigTemplates of which a generation is in force in this replica.",
            len(self._bus.retained(ConfigValidated)),
        )
        yield _gauge(
            "kopfbus_config_invalid",
            "ConfigTemplates whose newest generation was refused.",
            len(self._bus.retained(ConfigInvalid)),
        )
        yield _gauge(
            "kopfbus_watch_failing",
            "Watches that do not deliver now, counted for each ConfigTemplate.",
            len(self._bus.retained(ResourceWatchFailed)),
        )


def _bus_families(stats: BusStats) -> Iterator[Metric]:
    yield _counters(
        "kopfbus_bus_events_published_total", "Events published.", ("type",), _one_label(stats.published)
    )
    yield CounterMetricFamily(
        "kopfbus_bus_events_dropped_while_paused_total",
        "Events dropped because the bus was paused, or not started, and its buffer full.",
        value=stats.dropped_while_paused,
    )
    yield _gauge("kopfbus_bus_events_kept", "Events kept until the bus runs.", stats.kept)
    yield _gauge("kopfbus_bus_events_retained", "Events remembered as state.", stats.retained)
    yield _gauge("kopfbus_bus_requests_pending", "Requests that wait for answers.", stats.pending_requests)


def _subscription_families(all_stats: Sequence[SubscriptionStats]) -> Iterator[Metric]:
    depth: Counter[str] = Counter()
    high_water: dict[str, int] = {}
    delivered: Counter[str] = Counter()
    conflated: Counter[str] = Counter()
    dropped: Counter[tuple[str, ...]] = Counter()
    for stats in all_stats:
        depth[stats.name] += stats.depth
        high_water[stats.name] = max(high_water.get(stats.name, 0), stats.high_water)
        delivered[stats.name] += stats.delivered
        conflated[stats.name] += stats.conflated
        dropped.update({(stats.name, kind): count for kind, count in stats.dropped.items()})
    label = ("subscription",)
    prefix = "kopfbus_bus_subscription_"
    yield _gauges(f"{prefix}depth", "Events that wait.", label, _one_label(depth))
    yield _gauges(
        f"{prefix}depth_max", "The most events that have waited at a time.", label, _one_label(high_water)
    )
    yield _counters(f"{prefix}delivered_total", "Events consumed.", label, _one_label(delivered))
    yield _counters(
        f"{prefix}conflated_total", "Events that gave way to a newer one.", label, _one_label(conflated)
    )
    yield _counters(
        f"{prefix}dropped_total", "Events dropped as the buffer was full.", (*label, "type"), dropped
    )


def _one_label(values: Mapping[str, int]) -> dict[tuple[str, ...], int]:
    return {(name,): value for name, value in values.items()}


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _gauges(name: str, text: str, labels: Sequence[str], values: Mapping[tuple[str, ...], int]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family


def _counters(name: str, text: str, labels: Sequence[str], values: Mapping[tuple[str, ...], int]) -> Metric:
    family = CounterMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        family.add_metric(key, value)
    return family
