"""An API server that says what a test has scripted and remembers what it was asked; and an audience."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from controller.kube.informer import Informer
from controller.kube.selection import Selection, WatchFailure
from controller.kube.store import Changes
from controller.testing import FakeClock

SELECTION = Selection("example.org/v1", "Thing")
THINGS = "/apis/example.org/v1/things"
EXPIRED = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}


class Pulse:
    """Wakes those who wait for a condition, whenever something has happened."""

    patience = 5.0
    """Seconds after which a test gives up waiting."""

    def __init__(self) -> None:
        self._happened = asyncio.Event()

    def beat(self) -> None:
        self._happened.set()

    async def until(self, condition: Callable[[], object]) -> None:
        async with asyncio.timeout(self.patience):
            while not condition():
                self._happened.clear()
                await self._happened.wait()


@dataclass
class Answer:
    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)

    def response(self) -> web.Response:
        text = self.body if isinstance(self.body, str) else json.dumps(self.body)
        return web.Response(status=self.status, text=text, headers=self.headers)


def refusal(status: int, reason: str, message: str = "no", **headers: str) -> Answer:
    body = {"kind": "Status", "status": "Failure", "code": status, "reason": reason, "message": message}
    return Answer(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


class Watch:
    """One open watch, seen from the server."""

    def __init__(self, request: web.Request, response: web.StreamResponse) -> None:
        self.path = request.path
        self.query = dict(request.query)
        self.cut_off = False
        self.over = asyncio.Event()
        self._response = response

    async def send(self, event_type: str, obj: dict[str, Any]) -> None:
        await self.write(json.dumps({"type": event_type, "object": obj}).encode() + b"\n")

    async def bookmark(self, version: int) -> None:
        await self.send("BOOKMARK", {"kind": "Thing", "metadata": {"resourceVersion": str(version)}})

    async def write(self, data: bytes) -> None:
        await self._response.write(data)

    def end(self) -> None:
        """End the stream cleanly, as the server does after timeoutSeconds."""
        self.over.set()

    def cut(self) -> None:
        """Break the connection."""
        self.cut_off = True
        self.over.set()


class StandIn:
    """Serves the kind Thing. Tests script the answers: given one after the other, the last one for ever."""

    def __init__(self, pulse: Pulse) -> None:
        self.pulse = pulse
        self.url = ""
        self.requests: list[web.Request] = []
        self.bodies: list[bytes] = []
        self._answers: dict[tuple[str, str], deque[Answer | asyncio.Event]] = defaultdict(deque)
        self._watch_refusals: deque[Answer] = deque()
        self._watches: list[Watch] = []
        self._taken = 0
        self.serve_kinds("Thing", "Room")

    def serve_kinds(self, *kinds: str) -> None:
        resources = [
            {"kind": kind, "name": f"{kind.lower()}s", "namespaced": kind != "Room"} for kind in kinds
        ] + [{"kind": "Thing", "name": "things/status", "namespaced": True}]
        self.answer("/apis/example.org/v1", Answer(body={"kind": "APIResourceList", "resources": resources}))

    def answer(self, path: str, *answers: Answer | asyncio.Event, method: str = "GET") -> None:
        """Script the answers to a path from now on; an Event among them holds the next one back until set."""
        self._answers[method, path] = deque(answers)
        self.pulse.beat()

    def lists(self, *answers: Answer | asyncio.Event, path: str = THINGS) -> None:
        self.answer(path, *answers)

    def refuse_watches(self, *answers: Answer) -> None:
        self._watch_refusals.extend(answers)

    def asked(
        self, path: str = THINGS, *, watch: bool = False, limit: str | None = None
    ) -> list[dict[str, str]]:
        """The queries of the requests that came for this path."""
        queries = [dict(request.query) for request in self.requests if request.path == path]
        chosen = [query for query in queries if ("watch" in query) == watch]
        return [query for query in chosen if limit is None or query.get("limit") == limit]

    async def next_watch(self) -> Watch:
        """The next watch that was opened."""
        await self.pulse.until(lambda: len(self._watches) > self._taken)
        self._taken += 1
        return self._watches[self._taken - 1]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        self.bodies.append(await request.read())
        self.pulse.beat()
        if "watch" in request.query:
            return await self._watch(request)
        answers = self._answers[request.method, request.path]
        while answers and isinstance(answers[0], asyncio.Event):
            gate = answers.popleft()
            assert isinstance(gate, asyncio.Event)
            await gate.wait()
        if not answers:
            return refusal(404, "NotFound", "the server could not find the requested resource").response()
        answer = answers.popleft() if len(answers) > 1 else answers[0]
        assert isinstance(answer, Answer)
        return answer.response()

    async def _watch(self, request: web.Request) -> web.StreamResponse:
        if self._watch_refusals:
            return self._watch_refusals.popleft().response()
        response = web.StreamResponse()
        await response.prepare(request)
        watch = Watch(request, response)
        self._watches.append(watch)
        self.pulse.beat()
        await watch.over.wait()
        if watch.cut_off and request.transport is not None:
            request.transport.abort()
        return response

    def end_watches(self) -> None:
        for watch in self._watches:
            watch.end()


def thing(
    name: str, version: int, *, namespace: str = "default", uid: str = "", **fields: Any
) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": uid or f"uid-of-{name}",
            "resourceVersion": str(version),
            "managedFields": [{"manager": "somebody", "time": str(version)}],
        },
        "spec": fields,
    }


def page(version: int, *items: Any, following: str = "") -> Answer:
    metadata = {"resourceVersion": str(version), "continue": following}
    return Answer(body={"kind": "ThingList", "metadata": metadata, "items": list(items)})


class Audience:
    """Takes an informer's callbacks and keeps them."""

    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse
        self.changes: list[Changes] = []
        self.failures: list[WatchFailure] = []
        self.recovered: list[WatchFailure] = []
        self.synced = 0

    def on_change(self, changes: Changes) -> None:
        self.changes.append(changes)
        self._pulse.beat()

    def on_synced(self) -> None:
        self.synced += 1
        self._pulse.beat()

    def on_failed(self, failure: WatchFailure) -> None:
        self.failures.append(failure)
        self._pulse.beat()

    def on_recovered(self, failure: WatchFailure) -> None:
        self.recovered.append(failure)
        self._pulse.beat()


class PulsingClock(FakeClock):
    """Tells the test when somebody goes to sleep, and for how long."""

    def __init__(self, pulse: Pulse) -> None:
        super().__init__()
        self._pulse = pulse
        self.naps: list[float] = []
        """The lengths of all sleeps that took time."""

    async def sleep(self, seconds: float) -> None:
        if seconds > 0:
            self.naps.append(seconds)
        self._pulse.beat()
        await super().sleep(seconds)


def names(informer: Informer) -> list[str]:
    """What is in the store, in its order."""
    return [obj.name for obj in informer.store.snapshot()]


async def nap(
    clock: PulsingClock, until: Callable[[Callable[[], object]], Awaitable[None]], count: int = 1
) -> float:
    """Wait for the informer's count-th sleep, let it pass, and return how long it was."""
    await until(lambda: len(clock.naps) >= count and clock.sleepers)
    seconds = clock.naps[count - 1]
    await clock.advance(seconds)
    return seconds
