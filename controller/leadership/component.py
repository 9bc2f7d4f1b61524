"""Turns elections into events and terms: who stands, who took office, who left it (L2, L3, L7)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar, Protocol

import structlog

from controller.clock import Clock
from controller.component import Component
from controller.events import LeaderElectionStarted, LeaderObserved
from controller.leadership.access import LeaseClient
from controller.leadership.elector import Elector
from controller.leadership.fence import Fence, Term
from controller.leadership.timings import LeaseTimings
from controller.timers import wait_at_most
from events import Event

STAND_AT_LATEST = 30.0
"""Seconds after the start after which a candidate stands, synced or not (L1)."""
LAST_WRITES = 5.0
"""Seconds that writes in flight get when a replica without election stops; with one, its timings decide."""
STANDALONE = "standalone"
"""The name of the one term of a replica without election (L7)."""

_log = structlog.get_logger("kopfbus.leadership")

Build = Callable[[Term], Sequence[Component]]
"""Makes the leader-only components of a term; called without awaiting anything."""


class Office(Protocol):
    """What opens and closes terms: the runtime."""

    async def open_term(self, identity: str, term: str, build: Callable[[], Sequence[Component]]) -> None:
        """Start a term's components."""
        ...

    async def close_term(self, identity: str, term: str, reason: str) -> None:
        """End them."""
        ...


def term_name(term: Term) -> str:
    """How events name a term."""
    return term.resource_version or STANDALONE


class Leadership(Component):
    """Takes part in the election, and holds office while it has the Lease."""

    name = "leadership"
    publishes: ClassVar[tuple[type[Event], ...]] = (LeaderElectionStarted, LeaderObserved)
    source = True

    def __init__(
        self,
        client: LeaseClient,
        *,
        lease_name: str,
        lease_namespace: str,
        identity: str,
        timings: LeaseTimings,
        clock: Clock,
        build: Build,
        synced: Callable[[], Awaitable[None]],
    ) -> None:
        self._identity = identity
        self._lease = f"{lease_namespace}/{lease_name}"
        self._timings = timings
        self._clock = clock
        self._build = build
        self._synced = synced
        self._office: Office | None = None
        self.elector = Elector(
            client,
            name=lease_name,
            namespace=lease_namespace,
            identity=identity,
            timings=timings,
            clock=clock,
            on_started=self._take_office,
            on_stopped=self._leave_office,
            on_new_leader=self._observed,
        )

    def attach(self, office: Office) -> None:
        """Name the runtime, which is made of components and therefore after them."""
        self._office = office

    @property
    def is_leader(self) -> bool:
        """Whether this replica may write now."""
        return self.elector.is_leader

    async def start(self) -> None:
        """Stand for election as soon as this replica is warm."""
        self.spawn("election", self._run)

    async def verify(self, term: Term) -> bool:
        """Whether the Lease, read afresh, is still this term's (L4).

        Raises KubeError or TimeoutError when it cannot be read.
        """
        return await self.elector.verify(term)

    async def _run(self) -> None:
        await self._warm_up()
        self.publish(LeaderElectionStarted(identity=self._identity, lease=self._lease))
        await self.elector.run()

    async def _warm_up(self) -> None:
        synced = asyncio.ensure_future(self._synced())
        try:
            if await wait_at_most(self._clock, STAND_AT_LATEST, synced):
                _log.warning("standing for election before everything is synced", seconds=STAND_AT_LATEST)
            else:
                await synced  # raises what kept it from finding out
        finally:
            synced.cancel()

    async def _take_office(self, term: Term) -> None:
        assert self._office is not None  # noqa: S101 - attached before the start
        await self._office.open_term(self._identity, term_name(term), lambda: self._build(term))

    async def _leave_office(self, term: Term, reason: str) -> None:
        """Wait for the writes in flight, then end the term's components (L3)."""
        assert self._office is not None  # noqa: S101 - attached before the start
        if not await term.fence.wait_idle(self._timings.lease_duration - self._timings.renew_deadline):
            _log.warning("a write has not ended: the Lease is left to run out", term=term_name(term))
        await self._office.close_term(self._identity, term_name(term), reason)

    def _observed(self, leader: str) -> None:
        self.publish(LeaderObserved(leader=leader, is_self=leader == self._identity))


class Standalone(Component):
    """Holds office for as long as it runs, without a Lease (L7)."""

    name = "leadership"
    source = True

    def __init__(self, *, identity: str, clock: Clock, build: Build) -> None:
        self._clock = clock
        self._identity = identity
        self._build = build
        self._office: Office | None = None
        self._term: Term | None = None

    def attach(self, office: Office) -> None:
        """Name the runtime, which is made of components and therefore after them."""
        self._office = office

    @property
    def is_leader(self) -> bool:
        """Whether this replica may write now."""
        return self._term is not None and not self._term.fence.closed

    async def start(self) -> None:
        """Take office."""
        assert self._office is not None  # noqa: S101 - attached before the start
        term = self._term = Term(self._identity, "", 0, Fence.standalone(self._clock))
        await self._office.open_term(self._identity, term_name(term), lambda: self._build(term))

    async def stop(self) -> None:
        """Leave office, as with a Lease."""
        if self._term is None or self._office is None:
            return
        self._term.fence.close("the process ends")
        await self._term.fence.wait_idle(LAST_WRITES)
        await self._office.close_term(self._identity, term_name(self._term), "the process ends")
        self._term = None

    async def verify(self, term: Term) -> bool:
        """Without a Lease nobody else can be in office."""
        return not term.fence.closed
