"""Starts and stops components in order, and opens and closes terms of leadership (C4, L2, L3)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from controller.clock import Clock
from controller.component import Component
from controller.events import LeaderBecame, LeaderLost
from controller.host import ComponentHost
from controller.timers import wait_at_most
from events import EventBus

STOP_LEADER_ONLY = 3.0
"""Seconds that leader-only components get to end once their term is over."""
STOP_COMPONENTS = 5.0
"""Seconds that all other components together get to end once everything is drained."""
DRAIN_STEP = 0.02
"""Seconds between two looks at whether everything has been handled."""

_log = structlog.get_logger("kopfbus.runtime")


class Runtime:
    """Runs all components of one replica, in one loop.

    `components` in the order of starting, sources anywhere among them; they are started last.
    """

    def __init__(
        self, bus: EventBus, components: Sequence[Component], *, clock: Clock, strict: bool = False
    ) -> None:
        self.bus = bus
        self._clock = clock
        self._strict = strict
        ordered = sorted(components, key=lambda component: component.source)  # stable: keeps the given order
        self._hosts = [self._host(component) for component in ordered]
        self._started: list[ComponentHost] = []
        self._term_hosts: list[ComponentHost] = []

    def _host(self, component: Component) -> ComponentHost:
        return ComponentHost(component, self.bus, self._clock, strict=self._strict)

    @property
    def hosts(self) -> tuple[ComponentHost, ...]:
        """Every component at work, those of the term included."""
        return (*self._hosts, *self._term_hosts)

    async def start(self) -> None:
        """Subscribe all, start all but the sources, then the bus, then the sources. Raises as they do."""
        for host in self._hosts:
            host.subscribe()
        for host in self._hosts:
            if host.component.source:
                self.bus.start()
            self._started.append(host)
            await host.start()
        self.bus.start()

    async def stop(self, *, drain: float) -> None:
        """Stop the sources and let the rest finish, for up to `drain` seconds; stop it, close the bus."""
        deadline = self._clock.monotonic() + drain
        for host in [host for host in reversed(self._started) if host.component.source]:
            self._started.remove(host)
            await self._stop_host(host, deadline)
        await self._drain(deadline)
        deadline = self._clock.monotonic() + STOP_COMPONENTS
        while self._started:
            await self._stop_host(self._started.pop(), deadline)
        self.bus.close()

    async def _stop_host(self, host: ComponentHost, deadline: float) -> None:
        """Stop a component; one that hangs is left behind: the process ends within its grace period."""
        stopping = asyncio.create_task(host.stop(), name=f"stop {host.component.name}")
        if await wait_at_most(self._clock, deadline - self._clock.monotonic(), stopping):
            _log.error("a component did not end in time", component=host.component.name)

    async def _drain(self, deadline: float) -> None:
        while not all(host.idle for host in self._started):
            if self._clock.monotonic() >= deadline:
                busy = [host.component.name for host in self._started if not host.idle]
                _log.warning("stopped before everything was handled", components=busy)
                return
            await self._clock.sleep(DRAIN_STEP)

    # --- terms

    async def open_term(self, identity: str, term: str, build: Callable[[], Sequence[Component]]) -> None:
        """Take office: the leader-only components of a fresh term begin with the retained state (L2).

        Nothing is awaited between the pause and the replay, so nobody misses or sees anything twice.
        Raises what `build` or a `start` raises; the term is to be closed then, as after any other.
        """
        with self.bus.paused():
            self.bus.publish(LeaderBecame(identity=identity, term=term))
            self._term_hosts = [self._host(component) for component in build()]
            for host in self._term_hosts:
                host.subscribe()
        for host in self._term_hosts:
            await host.start()

    async def close_term(self, identity: str, term: str, reason: str) -> None:
        """Leave office: cancel the leader-only components, wait for them, then tell everyone (L3)."""
        hosts, self._term_hosts = self._term_hosts, []
        stopping = [asyncio.create_task(host.stop(), name=host.component.name) for host in hosts]
        late = await wait_at_most(self._clock, STOP_LEADER_ONLY, *stopping)
        if late:
            names = [task.get_name() for task in stopping if task in late]
            _log.error("leader-only components did not end in time", components=names)
        self.bus.publish(LeaderLost(identity=identity, term=term, reason=reason))
