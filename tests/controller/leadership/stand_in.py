"""A Lease on an API server of a few lines, replicas that compete for it, and faults by script."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from controller.clock import Clock
from controller.kube.errors import ApiError, ApiUnreachable
from controller.kube.resource import LEASES, Resource
from controller.leadership.elector import Elector
from controller.leadership.fence import Term
from controller.leadership.timings import LeaseTimings
from controller.testing import FakeClock, settle

NAME, NAMESPACE = "kopfbus", "edge"
RELEASED = "kopfbus.dev/released"


@dataclass(frozen=True)
class Fault:
    """What happens to one call; the server acts after `before` seconds, its answer takes `after`."""

    before: float = 0.0
    after: float = 0.0
    refused: int = 0
    """Answered with this status instead of being carried out."""
    lost: Literal["", "request", "answer"] = ""
    error: BaseException = field(default_factory=lambda: ApiUnreachable("cut off"))


HANGS = Fault(before=math.inf)
NONE = Fault()


class LeaseServer:
    """Holds the Lease as a real server does: a write needs its uid and resourceVersion, and is watched."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.lease: dict[str, Any] | None = None
        self.version = 100
        self.transitions: list[int] = []
        """leaseTransitions of each write that changed the holder to somebody or took it anew."""
        self.watches: list[asyncio.Queue[dict[str, Any] | None]] = []
        self.requests: set[asyncio.Task[dict[str, Any]]] = set()

    @property
    def holder(self) -> str | None:
        return self.lease["spec"].get("holderIdentity") if self.lease else None

    def get(self) -> dict[str, Any]:
        if self.lease is None:
            raise ApiError(404, "NotFound", "no such Lease")
        return copy.deepcopy(self.lease)

    def create(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        if self.lease is not None:
            raise ApiError(409, "AlreadyExists", "exists")
        created = copy.deepcopy(dict(obj))
        created["metadata"]["uid"] = f"uid-{self.version + 1}"
        return self._store("ADDED", created)

    def replace(self, obj: Mapping[str, Any]) -> dict[str, Any]:
        if self.lease is None:
            raise ApiError(409, "Conflict", "uid mismatch")
        ours, theirs = self.lease["metadata"], obj["metadata"]
        if (ours["uid"], ours["resourceVersion"]) != (theirs.get("uid"), theirs.get("resourceVersion")):
            raise ApiError(409, "Conflict", "modified")
        return self._store("MODIFIED", copy.deepcopy(dict(obj)))

    def edit(self, **spec: Any) -> None:
        """Somebody else's change, as with kubectl."""
        lease = self.get()
        lease["spec"] = {**lease.get("spec", {}), **spec}
        self.replace(lease)

    def put(self, obj: dict[str, Any]) -> None:
        """Somebody else's Lease, whatever is in it, in place of the one there is."""
        if self.lease is None:
            self.create({"metadata": {"name": NAME, "namespace": NAMESPACE}})
        kept = self.get()["metadata"]
        self.replace({**obj, "metadata": {**kept, **obj.get("metadata", {})}})

    def delete(self) -> None:
        assert self.lease is not None
        self.version += 1
        self.lease["metadata"]["resourceVersion"] = str(self.version)
        gone, self.lease = self.lease, None
        self._tell("DELETED", gone)

    def cut_watches(self) -> None:
        for watch in self.watches:
            watch.put_nowait(None)

    def _store(self, kind: str, obj: dict[str, Any]) -> dict[str, Any]:
        before = (self.lease or {}).get("spec") or {}
        self.version += 1
        obj["metadata"]["resourceVersion"] = str(self.version)
        self.lease = obj
        after = obj.get("spec") or {}
        if after.get("holderIdentity") and after.get("acquireTime") != before.get("acquireTime"):
            self.transitions.append(after.get("leaseTransitions", 0))
        self._tell(kind, obj)
        return copy.deepcopy(obj)

    def _tell(self, kind: str, obj: dict[str, Any]) -> None:
        for watch in self.watches:
            watch.put_nowait({"type": kind, "object": copy.deepcopy(obj)})


class Connection:
    """One replica's client: `script` says what happens to its next calls, `always` to all others."""

    def __init__(self, server: LeaseServer, clock: ProcessClock) -> None:
        self.server = server
        self.clock = clock
        self.script: dict[str, list[Fault]] = {}
        self.always = NONE
        self.calls: list[str] = []
        self.watching = True
        self.watch_delay = 0.0
        self.streams = 0

    async def get(
        self, resource: Resource, name: str, namespace: str | None = None, *, timeout: float = 30.0
    ) -> dict[str, Any]:
        assert (resource, name, namespace) == (LEASES, NAME, NAMESPACE)
        return await self._call("get", self.server.get)

    async def create(
        self, resource: Resource, obj: Mapping[str, Any], *, timeout: float = 30.0
    ) -> dict[str, Any]:
        return await self._call("create", lambda: self.server.create(obj))

    async def replace(
        self, resource: Resource, obj: Mapping[str, Any], *, timeout: float = 30.0
    ) -> dict[str, Any]:
        return await self._call("replace", lambda: self.server.replace(obj))

    @contextlib.asynccontextmanager
    async def stream(
        self, path: str, query: Mapping[str, str], *, idle_timeout: float
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        assert path == LEASES.path(NAMESPACE)
        assert query == {"watch": "true", "fieldSelector": f"metadata.name={NAME}"}
        self.streams += 1
        if not self.watching:
            raise ApiUnreachable("no watch")
        queue: asyncio.Queue[dict[str, Any] | None] = asyncio.Queue()
        if self.server.lease is not None:
            queue.put_nowait({"type": "ADDED", "object": self.server.get()})
        self.server.watches.append(queue)
        try:
            yield self._lines(queue)
        finally:
            self.server.watches.remove(queue)

    async def _lines(self, queue: asyncio.Queue[dict[str, Any] | None]) -> AsyncIterator[bytes]:
        while (event := await queue.get()) is not None:
            if self.watch_delay:
                await self.clock.sleep(self.watch_delay)
            await self.clock.awake.wait()
            yield json.dumps(event).encode()

    async def _call(self, method: str, act: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The request lives on its own: whoever stops waiting for it does not stop it."""
        self.calls.append(method)
        planned = self.script.get(method)
        fault = planned.pop(0) if planned else self.always
        request = asyncio.get_running_loop().create_task(self._carry_out(fault, act))
        self.server.requests.add(request)
        request.add_done_callback(self._over)
        try:
            return await asyncio.shield(request)
        finally:
            await self.clock.awake.wait()

    async def _carry_out(self, fault: Fault, act: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        await self._on_the_way(fault.before)
        if fault.lost == "request":
            raise fault.error
        if fault.refused:
            raise ApiError(fault.refused, "Refused", "by script")
        answer = act()
        await self._on_the_way(fault.after)
        if fault.lost == "answer":
            raise fault.error
        return answer

    async def _on_the_way(self, seconds: float) -> None:
        """Outside of the process, which may be stopped meanwhile."""
        await self.server.clock.sleep(seconds)

    def _over(self, request: asyncio.Task[dict[str, Any]]) -> None:
        self.server.requests.discard(request)
        if not request.cancelled():
            request.exception()


class ProcessClock:
    """The clock as one process sees it: it goes on while the process is stopped, but nothing rings."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.awake = asyncio.Event()
        self.awake.set()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        await self.awake.wait()


async def nothing(*_: object) -> None:
    """An office that has nothing to do."""


class Replica:
    """An elector with its connection, and a record of what it was told."""

    def __init__(
        self,
        identity: str,
        server: LeaseServer,
        clock: Clock,
        timings: LeaseTimings | None = None,
        *,
        on_started: Callable[[Term], Awaitable[None]] = nothing,
        on_stopped: Callable[[Term, str], Awaitable[None]] = nothing,
        witness: Callable[[], None] = lambda: None,
    ) -> None:
        self.identity = identity
        self.clock = ProcessClock(clock)
        self.connection = Connection(server, self.clock)
        self.terms: list[Term] = []
        self.stops: list[tuple[Term, str]] = []
        self.leaders: list[str] = []
        self._starting, self._stopping, self._witness = on_started, on_stopped, witness
        self.elector = Elector(
            self.connection,
            name=NAME,
            namespace=NAMESPACE,
            identity=identity,
            timings=timings or LeaseTimings(),
            clock=self.clock,
            on_started=self._on_started,
            on_stopped=self._on_stopped,
            on_new_leader=self.leaders.append,
        )
        self.running: asyncio.Task[None] | None = None

    @property
    def term(self) -> Term:
        return self.terms[-1]

    @property
    def leads(self) -> bool:
        return any(not term.fence.closed for term in self.terms)

    async def start(self) -> Replica:
        self.running = asyncio.get_running_loop().create_task(self.elector.run())
        await settle()
        return self

    async def stop(self) -> None:
        """Stop cleanly; needs no time to pass unless a call hangs."""
        assert self.running is not None
        self.running.cancel()
        await settle(60)
        assert self.running.cancelled()

    async def _on_started(self, term: Term) -> None:
        self.terms.append(term)
        self._witness()
        await self._starting(term)

    async def _on_stopped(self, term: Term, reason: str) -> None:
        assert term.fence.closed
        self.stops.append((term, reason))
        await self._stopping(term, reason)


class Cluster:
    """What a test needs: a server, a clock, and replicas that are stopped at its end."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.server = LeaseServer(self.clock)
        self.replicas: list[Replica] = []
        self.open_fences = 0
        """The most that were open at one moment."""

    def replica(self, identity: str, timings: LeaseTimings | None = None, **office: Any) -> Replica:
        replica = Replica(identity, self.server, self.clock, timings, witness=self._count_fences, **office)
        self.replicas.append(replica)
        return replica

    async def pass_time(self, seconds: float, step: float = 0.5) -> None:
        """Let time pass in small steps; at no moment may two writers pass their fences."""
        for _ in range(round(seconds / step)):
            await self.clock.advance(step)
            self._count_fences()
            assert self.open_fences <= 1

    async def leader_and_standby(self) -> tuple[Replica, Replica]:
        """One that leads, and one that waits."""
        leader, standby = self.replica("a"), self.replica("b")
        await leader.start()
        await standby.start()
        assert leader.leads
        assert not standby.leads
        return leader, standby

    async def seconds_until(self, replica: Replica, limit: float = 100.0) -> float:
        """How long it takes until that replica is in its next term, to a quarter of a second."""
        terms, began = len(replica.terms), self.clock.monotonic()
        while len(replica.terms) == terms:
            assert self.clock.monotonic() - began < limit, "it never takes office"
            await self.pass_time(0.25, step=0.25)
        return self.clock.monotonic() - began

    async def close(self) -> None:
        """End everything; what hangs is given the time to give up."""
        for replica in self.replicas:
            replica.clock.awake.set()
        tasks = [replica.running for replica in self.replicas if replica.running] + [*self.server.requests]
        for task in tasks:
            task.cancel()
        for _ in range(100):
            if all(task.done() for task in tasks):
                return
            await self.clock.advance(20)
        raise AssertionError("an elector does not stop")

    def _count_fences(self) -> None:
        """Fences only ever close: if two are ever open, then when the later one opens."""
        fences = [term.fence for replica in self.replicas for term in replica.terms]
        self.open_fences = max(self.open_fences, sum(not fence.closed for fence in fences))
