"""Starts and stops components in order, and opens and closes terms of leadership (C4, L2, L3)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import structlog

from controller.clock import Clock
from controller.component import Component
from controller.events import LeaderBecame, LeaderLost
from controller.host import ComponentHost
from events import EventBus

STOP_LEADER_ONLY = 3.0
"""Seconds that leader-only components get to end once their term is over."""
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
        """Stop the sources, let the rest finish for up to `drain` seconds, stop it, close the bus."""
        for host in [host for host in reversed(self._started) if host.component.source]:
            await host.stop()
            self._started.remove(host)
        await self._drain(drain)
        while self._started:
            await self._started.pop().stop()
        self.bus.close()

    async def _drain(self, seconds: float) -> None:
        deadline = self._clock.monotonic() + seconds
        while not all(host.idle for host in self._started):
            if self._clock.monotonic() >= deadline:
                busy = [host.component.name for host in self._started if not host.idle]
                _log.warning("stopped before everything was handled", components=busy)
                return
            await asyncio.sleep(DRAIN_STEP)

    # --- terms

    async def open_term(self, identity: str, term: str, build: Callable[[], Sequence[Component]]) -> None:
        """Take office: the leader-only components of a fresh term begin with the retained state (L2).

        Nothing is awaited between the pause and the replay, so nobody misses or sees anything twice.
        What `build` or a `start` raises is raised after the term was closed again.
        """
        try:
            with self.bus.paused():
                self.bus.publish(LeaderBecame(identity=identity, term=term))
                self._term_hosts = [self._host(component) for component in build()]
                for host in self._term_hosts:
                    host.subscribe()
            for host in self._term_hosts:
                await host.start()
        except BaseException:
            await self.close_term(identity, term, "the office could not be started")
            raise

    async def close_term(self, identity: str, term: str, reason: str) -> None:
        """Leave office: cancel the leader-only components, wait for them, then tell everyone (L3)."""
        hosts, self._term_hosts = self._term_hosts, []
        stopping = [asyncio.create_task(host.stop(), name=f"stop {host.component.name}") for host in hosts]
        if stopping:
            _, late = await asyncio.wait(stopping, timeout=STOP_LEADER_ONLY)
            if late:
                _log.error(
                    "leader-only components did not end in time", components=[t.get_name() for t in late]
                )
        self.bus.publish(LeaderLost(identity=identity, term=term, reason=reason))
