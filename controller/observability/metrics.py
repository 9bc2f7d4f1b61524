"""What Prometheus gets to see of the events; names follow controller-runtime's and client-go's.

No label carries the name of an object: how many there are is for the users to choose. Which ConfigTemplate
it is about is said by its conditions, the Kubernetes Events on it and the log.
"""

from __future__ import annotations

from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    GCCollector,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)

from controller.component import Component, on
from controller.events import (
    ComponentFailed,
    ConfigInvalid,
    ConfigPublished,
    ConfigPublishFailed,
    DriftDetected,
    LeaderBecame,
    LeaderElectionStarted,
    LeaderLost,
    Outcome,
    ReconciliationCompleted,
    ReconciliationFailed,
    ResourceWatchFailed,
    TemplateRendered,
    ValidationFailed,
)
from controller.observability.bus_metrics import BusCollector
from controller.problems import Problem
from events import Delivery, EventBus

BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
"""Seconds, for all histograms."""

MOST_VALUES: Final = 100
"""How many values of a label are told apart that users or plug-ins can invent; the rest is `other`."""


class Values:
    """Keeps the number of a label's values within bounds: a user may watch as many kinds as he can name."""

    def __init__(self, most: int = MOST_VALUES) -> None:
        self._most = most
        self._known: set[str] = set()

    def __call__(self, value: str) -> str:
        """The value itself, or `other` once there are too many."""
        if value not in self._known and len(self._known) >= self._most:
            return "other"
        self._known.add(value)
        return value


class MetricsComponent(Component):
    """Counts what happens; an observer, so in a storm it may miss some.

    `registry` also holds what is read at scrape time: the bus, the process, the garbage collector.
    """

    name = "metrics"
    delivery = Delivery.LOSSY
    buffer_size = 10_000

    def __init__(self, bus: EventBus, *, version: str) -> None:
        # In the text format each would be a series of its own that nobody reads.
        disable_created_metrics()  # type: ignore[no-untyped-call] # the library leaves it bare
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.registry.register(BusCollector(bus))
        self._gauge("kopfbus_build_info", "The version that runs; always 1.", "version").labels(version).set(
            1
        )
        self._define_pipeline()
        self._define_trouble()
        self._define_leadership()

    def _define_pipeline(self) -> None:
        self._reconciled = self._counter(
            "kopfbus_reconcile_total", "Reconciliations, by what came of them.", "result"
        )
        self._reconcile_errors = self._counter(
            "kopfbus_reconcile_errors_total", "Reconciliations that failed, by phase.", "phase"
        )
        self._reconcile_time = self._histogram(
            "kopfbus_reconcile_time_seconds", "From the start of a reconciliation to its end."
        )
        self._render_time = self._histogram(
            "kopfbus_render_time_seconds",
            "Rendering all outputs of a ConfigTemplate; failed renders left out.",
        )
        self._publications = self._counter(
            "kopfbus_publish_total", "Publications; the reason is set for failed ones.", "result", "reason"
        )
        for outcome in (*Outcome, "error"):
            self._reconciled.labels(str(outcome))
        for phase in ("render", "validate", "publish"):
            self._reconcile_errors.labels(phase)

    def _define_trouble(self) -> None:
        self._watch_failures = self._counter(
            "kopfbus_watch_failures_total", "Watches that ceased to deliver.", "kind", "reason"
        )
        self._validation_failures = self._counter(
            "kopfbus_validation_failures_total",
            "Refused configurations and outputs, once for each validator that found a problem.",
            "validator",
        )
        self._drift = self._counter(
            "kopfbus_drift_detected_total", "Targets found to differ from what was published."
        )
        self._component_failures = self._counter(
            "kopfbus_component_failures_total", "Exceptions in handlers and service tasks.", "component"
        )
        self._kinds, self._reasons, self._validators = Values(), Values(), Values()

    def _define_leadership(self) -> None:
        self._lease = ""
        self._master = self._gauge(
            "leader_election_master_status", "1 while this replica holds the Lease of that name.", "name"
        )
        self._transitions = self._counter(
            "kopfbus_leader_transitions_total", "How often this replica has taken office."
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str) -> Histogram:
        return Histogram(name, text, buckets=BUCKETS, registry=self.registry)

    @on(TemplateRendered)
    async def rendered(self, event: TemplateRendered) -> None:
        """Time a render."""
        self._render_time.observe(event.seconds)

    @on(ReconciliationCompleted)
    async def completed(self, event: ReconciliationCompleted) -> None:
        """Count and time a reconciliation that ended well."""
        self._reconciled.labels(str(event.outcome)).inc()
        self._reconcile_time.observe(event.seconds)

    @on(ReconciliationFailed)
    async def failed(self, event: ReconciliationFailed) -> None:
        """Count and time one that ended badly."""
        self._reconciled.labels("error").inc()
        self._reconcile_errors.labels(event.phase).inc()
        self._reconcile_time.observe(event.seconds)

    @on(ConfigPublished)
    async def published(self, event: ConfigPublished) -> None:
        """Count a publication, apart if nothing had to be written."""
        self._publications.labels("published" if event.changed else "unchanged", "").inc()

    @on(ConfigPublishFailed)
    async def publish_failed(self, event: ConfigPublishFailed) -> None:
        """Count a failed publication."""
        self._publications.labels("failed", self._reasons(event.reason)).inc()

    @on(ResourceWatchFailed)
    async def watch_failed(self, event: ResourceWatchFailed) -> None:
        """Count a failing watch."""
        self._watch_failures.labels(self._kinds(event.kind), self._reasons(event.reason)).inc()

    @on(ConfigInvalid, ValidationFailed)
    async def refused(self, event: ConfigInvalid | ValidationFailed) -> None:
        """Count who refused: each validator once, `none` for what no validator found."""
        for validator in _finders(event.problems):
            self._validation_failures.labels(self._validators(validator)).inc()

    @on(DriftDetected)
    async def drifted(self, event: DriftDetected) -> None:
        """Count a drift."""
        self._drift.inc()

    @on(ComponentFailed)
    async def component_failed(self, event: ComponentFailed) -> None:
        """Count a component's failure."""
        self._component_failures.labels(event.component).inc()

    @on(LeaderElectionStarted)
    async def standing(self, event: LeaderElectionStarted) -> None:
        """Learn the Lease's name; without an election there is none, and no series."""
        self._lease = event.lease.rpartition("/")[2]
        self._master.labels(self._lease).set(0)

    @on(LeaderBecame)
    async def took_office(self, event: LeaderBecame) -> None:
        """Count and show it."""
        self._transitions.inc()
        if self._lease:
            self._master.labels(self._lease).set(1)

    @on(LeaderLost)
    async def left_office(self, event: LeaderLost) -> None:
        """Show it."""
        if self._lease:
            self._master.labels(self._lease).set(0)


def _finders(problems: tuple[Problem, ...]) -> set[str]:
    return {problem.validator or "none" for problem in problems} or {"none"}
