"""The composition root: the one place that knows every component."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from importlib.metadata import version

import structlog

from controller.clock import Clock, SystemClock
from controller.component import Component
from controller.config.gate import Gate
from controller.config.loader import Loader
from controller.events import ConfigValidated
from controller.handlers import register
from controller.kube.client import KubeClient
from controller.kube.config_source import ConfigSource
from controller.kube.kopf_thread import KopfThread
from controller.kube.watcher import Watcher
from controller.leadership.component import Leadership, Standalone, term_name
from controller.leadership.elector import make_identity
from controller.leadership.fence import Term
from controller.leadership.writer import Writer
from controller.observability.commentator import Commentator
from controller.observability.debug import debug_views
from controller.observability.http import HttpServer
from controller.observability.metrics import MetricsComponent
from controller.publisher.announcer import Announcer
from controller.publisher.drift import DriftWatch
from controller.publisher.publisher import Publisher
from controller.publisher.status import StatusWriter
from controller.reconciler.coordinator import Coordinator
from controller.reconciler.reconciler import Reconciler
from controller.runtime import Runtime
from controller.settings import Settings
from controller.templating.renderer import Renderer
from controller.validators.builtin import AccessPolicy, all_validators
from controller.validators.component import ConfigValidatorHost, OutputValidatorHost, hosted
from controller.validators.interface import Stage
from events import EventBus

DRAIN = 20.0
"""Seconds that a stopping replica gives to what is in hand; Kubernetes' own patience is 30 s."""
WARM_STEP = 0.05
"""Seconds between two looks at whether the replica is warm."""

COMPONENTS: tuple[type[Component], ...] = (
    Commentator,
    MetricsComponent,
    HttpServer,
    ConfigValidatorHost,
    OutputValidatorHost,
    Watcher,
    Gate,
    Loader,
    ConfigSource,
    KopfThread,
    Leadership,
    Standalone,
    Announcer,
    StatusWriter,
    DriftWatch,
    Publisher,
    Coordinator,
    Reconciler,
)
"""Every class of component that an application may run, for those who want to know without running one."""

_log = structlog.get_logger("kopfbus")


class Application:
    """One replica: all components, wired. `strict` makes undeclared publications errors, as tests want it."""

    def __init__(
        self, settings: Settings, client: KubeClient, *, clock: Clock | None = None, strict: bool = False
    ) -> None:
        self.settings = settings
        self._client = client
        self._clock = clock or SystemClock()
        self.bus = EventBus()
        self.identity = make_identity(settings.identity)
        self.renderer = Renderer()
        self._beat = time.monotonic()
        trusted = settings.trusted_namespaces or (client.default_namespace,)
        policy = AccessPolicy(frozenset(trusted), settings.allow_secrets)
        self.validators = all_validators(self.renderer, policy)
        self.target_kinds = ("ConfigMap", "Secret") if settings.allow_secrets else ("ConfigMap",)
        self._source = ConfigSource(client, self._clock, settings.namespaces)
        self._watcher = Watcher(client, self._clock)
        self._kopf = KopfThread(
            client, register, namespaces=settings.namespaces, ready=self._source.wait_listed
        )
        self.leadership = self._leadership()
        self._commentator = Commentator()
        self._metrics = MetricsComponent(self.bus, version=version("kopfbus"))
        self.http = self._http()
        self.runtime = Runtime(self.bus, self.components(), clock=self._clock, strict=strict)
        self.leadership.attach(self.runtime)

    def components(self) -> list[Component]:
        """All-replica components in the order of starting; the last source is the first to stop."""
        return [
            self._commentator,
            self._metrics,
            self.http,
            *(hosted(validator) for validator in self.validators),
            self._watcher,
            Gate(self._names(Stage.CONFIG)),
            Loader(self._source.listing),
            self._source,
            self._kopf,
            self.leadership,
        ]

    def leader_only(self, term: Term) -> list[Component]:
        """The components of one term, fresh: what they know of the past is what the bus has retained."""
        writer = Writer(
            self._client, term, self.leadership.verify, timeout=self.settings.timings.renew_deadline
        )
        name = term_name(term)
        return [
            Announcer(self._client, self.identity),
            StatusWriter(self._client, writer, self._clock, self._watcher.snapshot),
            DriftWatch(
                self._client,
                self._clock,
                term.resource_version,
                target_kinds=self.target_kinds,
                namespaces=self.settings.namespaces,
            ),
            Publisher(self._client, writer, self._publishable, self._clock, target_kinds=self.target_kinds),
            Coordinator(self._in_force, self._watcher.snapshot, self.renderer, self._names(Stage.OUTPUT)),
            Reconciler(name, self._clock),
        ]

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set. Raises what keeps it from starting."""
        await self.renderer.start()
        beating = asyncio.create_task(self._heartbeat(), name="heartbeat")
        try:
            await self.runtime.start()
            _log.info("running", identity=self.identity, server=self._client.server)
            await stop.wait()
            _log.info("stopping")
            self.http.going_down()
        finally:
            await self.runtime.stop(drain=DRAIN)
            await self.renderer.stop()
            beating.cancel()

    def _names(self, stage: Stage) -> Sequence[str]:
        return tuple(validator.name for validator in self.validators if validator.stage is stage)

    def _in_force(self, template: str) -> ConfigValidated | None:
        return self.bus.last(ConfigValidated, template)

    def _publishable(self, template: str, uid: str) -> ConfigValidated | None:
        """The generation in force, unless the ConfigTemplate is gone, going, replaced or suspended (P3)."""
        config, standing = self._in_force(template), self._source.standing(template)
        if config is None or standing is None or standing.deleting or standing.suspended:
            return None
        return config if config.uid == standing.uid == uid else None

    def _leadership(self) -> Leadership | Standalone:
        settings = self.settings
        if settings.standalone:
            return Standalone(identity=self.identity, clock=self._clock, build=self.leader_only)
        return Leadership(
            self._client,
            lease_name=settings.lease_name,
            lease_namespace=settings.lease_namespace or self._client.default_namespace,
            identity=self.identity,
            timings=settings.timings,
            clock=self._clock,
            build=self.leader_only,
            synced=self._warm,
        )

    def _http(self) -> HttpServer:
        return HttpServer(
            self.settings.http_address,
            registry=self._metrics.registry,
            readiness={"config-templates": self._configs_listed, "watches": lambda: self._watcher.tried},
            liveness={
                "main-loop": lambda: time.monotonic() - self._beat,
                "kopf-loop": lambda: self._kopf.silence,
            },
            debug=debug_views(self.bus, self._commentator.recent),
        )

    def _configs_listed(self) -> bool | str:
        if self._source.listed:
            return True
        return str(self._source.failure) if self._source.failure is not None else False

    async def _warm(self) -> None:
        while not self._watcher.warm:
            await self._clock.sleep(WARM_STEP)

    async def _heartbeat(self) -> None:
        while True:
            self._beat = time.monotonic()
            await asyncio.sleep(1.0)
