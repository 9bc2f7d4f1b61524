"""LIST, then WATCH, for ever: keeps one namespace's part of a store equal to the server's (S1, S3, S5).

Named after client-go's Reflector, which it follows where a real API server leaves no choice.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import nullcontext

import msgspec
import structlog

from controller.clock import Clock
from controller.kube.client import KubeClient
from controller.kube.errors import ApiError, ApiUnreachable, KubeError
from controller.kube.gcpause import first_lists
from controller.kube.pacing import Backoff, TimeSlice
from controller.kube.resource import Resource
from controller.kube.selection import ScopeMismatch, Selection, WatchFailure, explain
from controller.kube.store import Changes, ObjectDecoder, Store, StoredObject, Tally, UndecodableObject
from controller.kube.stream import LineStream
from controller.kube.wire import ListMeta, MalformedAnswer, Page, bookmarked, decode_event, decode_page

PAGE = 500
"""Objects per LIST request."""
PAGE_TIMEOUT = 60.0
"""Seconds for one page."""
PROBE_TIMEOUT = 5.0
"""Seconds for asking where the server stands; a connection that has gone silent must not take longer."""
BACKOFF = (0.8, 30.0)
"""Seconds between tries while the server is in trouble: at first and at most, as in client-go's reflector."""
LASTING_BACKOFF = (5.0, 60.0)
"""Seconds between tries of what somebody has to allow or install first."""
CATCH_UP = 0.1
"""Seconds in which an open watch may prove that the store is fresh; a full list takes about as long."""

_log = structlog.get_logger("kopfbus.informer")


class Reflector:
    """One LIST/WATCH loop; see Informer for the callbacks. Belongs to one loop."""

    def __init__(
        self,
        client: KubeClient,
        selection: Selection,
        namespace: str,
        store: Store,
        decoder: ObjectDecoder,
        *,
        clock: Clock,
        idle_timeout: float,
        on_change: Callable[[Changes], None],
        on_listed: Callable[[], None],
        on_failed: Callable[[WatchFailure], None],
        on_recovered: Callable[[WatchFailure], None],
    ) -> None:
        self._client = client
        self._selection = selection
        self._namespace = namespace
        self._store = store
        self._decoder = decoder
        self._clock = clock
        self._idle_timeout = idle_timeout
        self._on_change = on_change
        self._on_listed = on_listed
        self._on_failed = on_failed
        self._on_recovered = on_recovered
        self._resource: Resource | None = None
        self._version = ""
        """Where the store stands; empty: to be listed."""
        self._moved = asyncio.Event()
        self._tally = Tally()
        self._backoff = Backoff(*BACKOFF)
        self._lasting_backoff = Backoff(*LASTING_BACKOFF)
        self._running = False
        self._leash: asyncio.Timeout | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self.listed = False
        self.tried = False
        self.failure: WatchFailure | None = None

    async def run(self) -> None:
        """Go on until cancelled."""
        self._version = ""
        self._running = True
        try:
            while True:
                delay = await self._turn()
                await self._interruptible(self._clock.sleep(delay))
        finally:
            self._running = False
            self._answer(self._waiting, ApiUnreachable(f"the watch of {self._selection.kind} was stopped"))

    async def refresh(self) -> None:
        """Make sure that the store is at least as new as a LIST begun now (L8). Raises KubeError."""
        before = self._version
        target = await self._newest_version()
        # A server behind the store was restored from a backup: the store's state is nobody's any more.
        if _reached(target, before) and await self._catch_up(target):
            return
        await self._relist()

    async def _turn(self) -> float:
        """List if needed, then watch until that ends; returns the seconds to wait before the next turn."""
        try:
            while not self._version or self._waiting:
                await self._list()
            return await self._interruptible(self._watch())
        except KubeError as error:
            return self._failed(error)

    async def _interruptible(self, work: Awaitable[float | None]) -> float:
        """Do something that a wish for a relist ends early."""
        try:
            async with asyncio.timeout(None) as leash:
                self._leash = leash
                return await work or 0.0
        except TimeoutError:
            if not leash.expired():
                raise
            return 0.0
        finally:
            self._leash = None

    # --- LIST

    async def _list(self) -> None:
        waiting, self._waiting = self._waiting, []
        try:
            await self._list_pages()
        except KubeError as error:
            self._answer(waiting, error)
            raise
        except BaseException:
            self._waiting += waiting  # run() answers them: it is being stopped
            raise
        finally:
            self.tried = True
        self._answer(waiting, None)

    async def _list_pages(self) -> None:
        resource = await self._discover()
        objects: list[StoredObject] = []
        with nullcontext() if self.listed else first_lists.hold():
            meta = await self._take_page(resource, "", objects)
            # All pages show the state of the first one.
            version = meta.resource_version
            if not version:
                raise ApiUnreachable(
                    f"{self._client.server}: a list without resourceVersion cannot be watched"
                )
            while meta.following:
                meta = await self._take_page(resource, meta.following, objects)
            changes = self._store.replace_all(objects, self._namespace or None)
        self._move_to(version)
        if changes:
            self._on_change(changes)
        if not self.listed:
            self.listed = True
            self._on_listed()

    async def _take_page(self, resource: Resource, following: str, objects: list[StoredObject]) -> ListMeta:
        """Decode one page into `objects`; its body is gone before the next one is asked for."""
        page = await self._page(resource, PAGE, following)
        time_slice = TimeSlice()
        for item in page.items or ():
            obj = self._decoded(item)
            if obj is not None:
                objects.append(self._store.reuse(obj))
            await time_slice.turn()
        return page.metadata

    async def _page(
        self,
        resource: Resource,
        limit: int,
        following: str = "",
        timeout: float = PAGE_TIMEOUT,
    ) -> Page:
        query = {**self._selection.query, "limit": str(limit)}
        if following:
            query["continue"] = following
        path = resource.path(self._namespace or None)
        body = await self._client.request("GET", path, query=query, timeout=timeout)
        try:
            return decode_page(body)
        except MalformedAnswer as error:
            raise ApiUnreachable(f"{self._client.server}: the answer is no list: {error}") from error

    async def _discover(self) -> Resource:
        if self._resource is None:
            resource = await self._client.discover(self._selection.api_version, self._selection.kind)
            if self._namespace and not resource.namespaced:
                raise ScopeMismatch(resource.kind)
            self._resource = resource
        return self._resource

    # --- WATCH

    async def _watch(self) -> float:
        """Follow the server's events until the stream ends; returns the seconds to wait then."""
        resource = await self._discover()
        query = {
            **self._selection.query,
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": self._version,
            # Spread, so that the watches do not all come back at once.
            "timeoutSeconds": str(random.randint(300, 600)),  # noqa: S311 - spreads load, keeps no secret
        }
        path = resource.path(self._namespace or None)
        opened = self._clock.monotonic()
        async with self._client.stream(path, query, idle_timeout=self._idle_timeout) as stream:
            self._recovered()
            delivered = await self._follow(stream)
        if not delivered:
            # Either nothing happened, or the resourceVersion lies in the future of a restored server,
            # which would stay silent for ever. Only a list tells.
            self._version = ""
            if self._clock.monotonic() - opened < self._idle_timeout / 3:
                return self._backoff.next()
        return 0.0

    async def _follow(self, stream: LineStream) -> bool:
        """Apply what comes until the stream ends, cleanly or not; false if nothing came."""
        delivered = False
        try:
            while lines := await stream.batch():
                await self._apply_all(lines)
                delivered = True
                self._backoff.reset()
        except ApiUnreachable as error:
            _log.debug("watch cut", kind=self._selection.kind, namespace=self._namespace, error=str(error))
        except TimeoutError:
            self._version = ""
        return delivered

    async def _apply_all(self, lines: list[bytes]) -> None:
        time_slice = TimeSlice()
        try:
            for line in lines:
                self._apply(line)
                await time_slice.turn()
        finally:
            if changes := self._tally.take():
                self._on_change(changes)

    def _apply(self, line: bytes) -> None:
        try:
            event = decode_event(line)
            if event.type == "BOOKMARK":
                self._move_to(bookmarked(event))
                return
        except MalformedAnswer as error:
            self._skipped(error)
            return
        if event.type == "ERROR":
            self._version = ""
            raise ApiError.from_body(500, bytes(event.object))
        obj = self._decoded(event.object)
        if obj is not None:
            self._apply_object(event.type, obj)

    def _apply_object(self, event_type: str, obj: StoredObject) -> None:
        if event_type == "DELETED":
            change = self._store.delete(obj.namespace, obj.name)
        else:
            change = self._store.apply(obj)
        self._tally.add(change, (obj.namespace, obj.name))
        self._move_to(obj.resource_version)

    def _decoded(self, document: msgspec.Raw) -> StoredObject | None:
        try:
            return self._decoder.decode(document)
        except UndecodableObject as error:
            self._skipped(error)
            return None

    def _skipped(self, error: Exception) -> None:
        _log.warning(
            "undecodable object skipped",
            kind=self._selection.kind,
            namespace=self._namespace,
            error=str(error),
        )

    # --- failures and freshness

    def _failed(self, error: KubeError) -> float:
        """Report a failure if it is a new one; returns the seconds to wait."""
        if isinstance(error, ApiError) and error.status == 410:
            self._version = ""  # too old to resume from: no failure, only a reason to list again
            return self._backoff.next()
        failure = explain(error, self._selection, self._namespace, self._resource)
        if failure.status == 404:
            self._resource = None
        known, self.failure = self.failure, failure
        if known is None or (known.reason, known.status) != (failure.reason, failure.status):
            self._on_failed(failure)
        backoff = self._lasting_backoff if failure.lasting else self._backoff
        asked_for = error.retry_after if isinstance(error, ApiError) else None
        return max(backoff.next(), asked_for or 0.0)

    def _recovered(self) -> None:
        self._lasting_backoff.reset()
        failure, self.failure = self.failure, None
        if failure is not None:
            self._on_recovered(failure)

    def _move_to(self, version: str) -> None:
        if version:
            self._version = version
            self._moved.set()

    async def _newest_version(self) -> str:
        page = await self._page(await self._discover(), 1, timeout=PROBE_TIMEOUT)
        return page.metadata.resource_version or ""

    async def _catch_up(self, target: str) -> bool:
        """Wait a little for the watch to reach that version."""
        try:
            async with asyncio.timeout(CATCH_UP):
                while not _reached(self._version, target):
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            return False
        return True

    async def _relist(self) -> None:
        """Have the loop list now, and wait for it. A list under way does not count: it began before."""
        if not self._running:
            raise ApiUnreachable(f"the watch of {self._selection.kind} does not run")
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        if self._leash is not None:
            self._leash.reschedule(asyncio.get_running_loop().time())
            self._leash = None
        await waiter

    @staticmethod
    def _answer(waiting: list[asyncio.Future[None]], error: KubeError | None) -> None:
        for waiter in waiting:
            if waiter.done():
                continue
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)


def _reached(version: str, target: str) -> bool:
    """Whether a store at `version` has everything up to `target`; unknown when they are no numbers."""
    if version.isdecimal() and target.isdecimal():
        return int(version) >= int(target)
    return version == target != ""
