"""The bus: one lock, one total order, no waiting for anyone (B2, B3, B5, B6, B7)."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar, cast, overload

from events.event import Event, EventError, declared, declared_types
from events.requests import (
    BusClosed,
    Pending,
    Request,
    RequestDropped,
    RequestResult,
    RequestTimeout,
    Response,
    check_responders,
)
from events.subscription import Delivery, Hub, Subscription

MAX_PRE_START_BUFFER_SIZE = 1000
"""How many events a bus keeps while it does not run."""

_log = logging.getLogger("kopfbus.events")
_E = TypeVar("_E", bound=Event)

OnDrop = Callable[[Subscription[Event], Event], None]


@dataclass(frozen=True, slots=True)
class BusStats:
    """Counts since the bus was made, in events (B9)."""

    published: dict[str, int]
    dropped_while_paused: int
    kept: int
    retained: int
    pending_requests: int


class Route:
    """What is to be done with the events of one exact class; replaced when subscriptions change."""

    __slots__ = ("cls", "forgets", "is_request", "is_response", "key", "latest", "plain", "retain")

    def __init__(self, cls: type[Event], subscriptions: tuple[Subscription[Any], ...]) -> None:
        matching = [subscription for subscription in subscriptions if subscription._matches(cls)]
        self.cls = cls
        self.plain = tuple(s for s in matching if s.delivery is not Delivery.LATEST)
        self.latest = tuple(s for s in matching if s.delivery is Delivery.LATEST)
        self.key = cls.event_key
        self.retain = cls.event_retain
        self.forgets = cls.event_forgets
        self.is_request = issubclass(cls, Request)
        self.is_response = issubclass(cls, Response)

    @property
    def subscriptions(self) -> tuple[Subscription[Any], ...]:
        """All that match."""
        return self.plain + self.latest


class _After:
    """What has to be done outside the lock once a delivery is over: system calls and other people's code."""

    __slots__ = ("calls", "drops")

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []
        self.drops: list[tuple[Subscription[Any], Event]] = []


class EventBus:
    """Publish and subscribe between components of one process; every method may be called from any thread.

    Parameters
    ----------
    pre_start_capacity
        How many events are kept while the bus does not run; more are dropped and counted.
    on_drop
        Called as `on_drop(subscription, event)` in the publishing thread when a subscription that is
        not LOSSY begins to drop (B4). A warning is logged by default.
    """

    def __init__(
        self, pre_start_capacity: int = MAX_PRE_START_BUFFER_SIZE, on_drop: OnDrop | None = None
    ) -> None:
        if pre_start_capacity < 1:
            raise ValueError(f"pre_start_capacity is {pre_start_capacity}; it must be at least 1")
        self._capacity = pre_start_capacity
        self._on_drop = on_drop or _warn_of_drop
        self._lock = threading.RLock()
        self._busy = False
        self._deferred: deque[Event] = deque()
        self._subscriptions: tuple[Subscription[Any], ...] = ()
        self._routes: dict[type[Event], Route] = {}
        self._hubs: dict[asyncio.AbstractEventLoop, Hub] = {}
        self._pending: dict[str, Pending] = {}
        self._retained: dict[tuple[type[Event], object], Event] = {}
        self._kept: deque[Event] = deque()
        self._kept_state: dict[tuple[type[Event], object], Event] = {}
        self._overflow_reported = False
        self._dropped_while_paused = 0
        self._published: dict[type[Event], int] = {}
        self._started = self._started_once = self._closed = False
        self._pauses = 0
        self._notices = threading.local()

    # --- publishing

    def publish(self, event: Event) -> int:
        """Hand an event to every matching subscription, without waiting; how many took it.

        0 while the bus is paused or closed, and for an event published from inside publish (a finalizer,
        a signal handler): that one is delivered right after the outer one.

        Raises
        ------
        EventError
            If its class was not declared with `@event`.
        """
        after = None
        taken = 0
        lock = self._lock
        try:
            lock.acquire()  # inside the try: an interrupt right after it must not leave the lock held
            if self._busy:
                self._route(type(event))
                self._deferred.append(event)
                return 0
            self._busy = True
            try:
                after = _After()
                taken = self._accept(event, after)
                while self._deferred:
                    self._accept(self._deferred.popleft(), after)
            finally:
                self._busy = False
        finally:
            with suppress(RuntimeError):  # interrupted while waiting for the lock: never held
                lock.release()
        if after.calls or after.drops:
            self._finish(after)
        return taken

    def _route(self, cls: type[Event]) -> Route:
        route = self._routes.get(cls)
        if route is None:
            if not (isinstance(cls, type) and issubclass(cls, Event) and declared(cls)):
                raise EventError(
                    f"{cls.__qualname__} is no declared event: declare the class with @event('...')"
                )
            route = Route(cls, self._subscriptions)
            self._routes = {**self._routes, cls: route}
        return route

    def _accept(self, event: Event, after: _After) -> int:
        """Deliver, or keep for later; under the lock."""
        cls = event.__class__
        route = self._routes.get(cls) or self._route(cls)
        if self._closed:
            return 0
        self._published[cls] = self._published.get(cls, 0) + 1
        if route.is_response:
            self._answer(cast("Response", event), after)
        if self._pauses or not self._started:
            self._keep(event, route, after)
            return 0
        return self._deliver(event, route, after)

    def _deliver(self, event: Event, route: Route, after: _After) -> int:
        taken = 0
        thread = 0
        for subscription in route.plain:
            queue = subscription._queue  # inlined: a call per subscription doubles the cost
            if len(queue) < subscription._limit:
                queue.append(event)
                taken += 1
                if subscription._waiter is not None:
                    thread = thread or threading.get_ident()
                    _wake(subscription, thread, after)
            else:
                self._drop(subscription, event, after)
        for subscription in route.latest:
            if subscription._offer(event):
                taken += 1
                if subscription._waiter is not None:
                    _wake(subscription, threading.get_ident(), after)
            else:
                self._drop(subscription, event, after)
        if route.key is not None:
            self._remember(event, route)
        if route.is_request:
            self._request_delivered(event, after)
        return taken

    def _drop(self, subscription: Subscription[Any], event: Event, after: _After) -> None:
        if subscription.delivery is not Delivery.LATEST:
            subscription._drop(event)  # LATEST has counted it in _offer
        if subscription._report_due():
            after.drops.append((subscription, event))

    def _remember(self, event: Event, route: Route) -> None:
        """Retain and forget (B6); a retained event moves to the end: they are kept by time of publication."""
        if not (route.retain or route.forgets):
            return
        key = route.key(event)  # type: ignore[misc] # the caller has seen a key
        for forgotten in route.forgets:
            self._retained.pop((forgotten, key), None)
        if route.retain:
            self._retained.pop((route.cls, key), None)
            self._retained[route.cls, key] = event

    def _keep(self, event: Event, route: Route, after: _After) -> None:
        """Keep an event until the bus runs (B5). Without room, state survives and the rest is counted."""
        if len(self._kept) < self._capacity:
            self._kept.append(event)
            return
        if route.retain or route.forgets:
            key = (route.cls, route.key(event))  # type: ignore[misc] # both need a key
            self._kept_state.pop(key, None)
            self._kept_state[key] = event
            return
        self._dropped_while_paused += 1
        for subscription in route.subscriptions:
            subscription._drop(event)
            if not self._overflow_reported and subscription.delivery is not Delivery.LOSSY:
                after.drops.append((subscription, event))
        self._overflow_reported = True
        if route.is_request and (pending := self._pending.get(event.id)) is not None:
            pending.error = RequestDropped(f"{event.event_type}: the bus is paused and its buffer is full")
            _settle(pending.delivered, pending.hub, after)

    def _finish(self, after: _After) -> None:
        for call in after.calls:
            call()
        if after.drops:
            self._notify(after.drops)

    def _notify(self, drops: list[tuple[Subscription[Any], Event]]) -> None:
        """Report drops, outside the lock, never nested: what `on_drop` itself causes is reported after it."""
        waiting = getattr(self._notices, "waiting", None)
        if waiting is not None:
            waiting.extend(drops)
            return
        waiting = self._notices.waiting = deque(drops)
        try:
            while waiting:
                subscription, event = waiting.popleft()
                try:
                    self._on_drop(subscription, event)
                except Exception:
                    _log.exception("on_drop failed for subscription %r", subscription.name)
        finally:
            self._notices.waiting = None

    # --- subscribing

    @overload
    def subscribe(
        self,
        name: str,
        *types: type[_E],
        buffer_size: int = ...,
        delivery: Delivery = ...,
        leader_only: bool = ...,
    ) -> Subscription[_E]: ...
    @overload
    def subscribe(
        self,
        name: str,
        *types: type[Event] | str,
        buffer_size: int = ...,
        delivery: Delivery = ...,
        leader_only: bool = ...,
    ) -> Subscription[Event]: ...
    def subscribe(
        self,
        name: str,
        *types: type[Event] | str,
        buffer_size: int = 100,
        delivery: Delivery = Delivery.CRITICAL,
        leader_only: bool = False,
    ) -> Subscription[Any]:
        """Make a subscription; no type means every event.

        Parameters
        ----------
        types
            Event classes (their subclasses included) or dotted type strings.
        buffer_size
            How many events may wait.
        delivery
            What happens when more would wait.
        leader_only
            Made when the process takes office: being late is no mistake then.

        Made after the first start, it begins with the retained events that match it (B6).
        """
        if buffer_size < 1:
            raise ValueError(f"subscription {name!r}: buffer_size is {buffer_size}; it must be at least 1")
        subscription: Subscription[Any] = Subscription(
            self, name, types, buffer_size=buffer_size, delivery=delivery, leader_only=leader_only
        )
        with self._exclusive():
            if self._closed:
                raise BusClosed(f"subscription {name!r}: the bus is closed")
            self._subscriptions += (subscription,)
            self._routes = {}
            late = self._started_once
            if late:
                self._offer_retained(subscription)
        if late and not leader_only and delivery is not Delivery.LOSSY:
            _log.warning(
                "subscription %r was made after the bus had started: it may have missed events", name
            )
        return subscription

    def _remove(self, subscription: Subscription[Any]) -> None:
        after = _After()
        with self._exclusive():
            self._subscriptions = tuple(s for s in self._subscriptions if s is not subscription)
            self._routes = {}
            subscription._closed = True
            _wake(subscription, threading.get_ident(), after)
        self._finish(after)

    def _refill(self, subscription: Subscription[Any]) -> int:
        after = _After()
        with self._exclusive():
            count = self._offer_retained(subscription)
            _wake(subscription, threading.get_ident(), after)
        self._finish(after)
        return count

    def _offer_retained(self, subscription: Subscription[Any]) -> int:
        matching = [event for event in self._retained.values() if subscription._matches(type(event))]
        for event in matching:
            subscription._offer(event, exempt=True)
        return len(matching)

    # --- start, pause, close

    @property
    def running(self) -> bool:
        """Whether events are delivered now: started, and no `paused()` block open."""
        return self._started and not self._pauses and not self._closed

    def start(self) -> None:
        """Deliver what was kept, in order, and everything from now on. Idempotent."""
        first = not self._started_once
        self._resume(started=True)
        if first:
            self._warn_of_unknown_types()

    def pause(self) -> None:
        """Keep events from now on, until `start()`. Idempotent."""
        with self._exclusive():
            self._started = False

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Keep events while the block runs. Blocks nest and overlap; none starts a bus never started."""
        with self._exclusive():
            self._pauses += 1
        try:
            yield
        finally:
            self._resume(unpause=True)

    def _resume(self, *, started: bool = False, unpause: bool = False) -> None:
        after = _After()
        with self._exclusive(after):
            self._started = self._started or started
            self._started_once = self._started_once or started
            self._pauses -= unpause
            if self.running:
                self._replay(after)
        self._finish(after)

    def _replay(self, after: _After) -> None:
        kept, self._kept = self._kept, deque()
        kept.extend(self._kept_state.values())
        self._kept_state = {}
        self._overflow_reported = False
        thread = threading.get_ident()
        for event in kept:
            route = self._route(type(event))
            for subscription in route.subscriptions:
                exempt = subscription.delivery is not Delivery.LOSSY
                if subscription._offer(event, exempt=exempt):
                    _wake(subscription, thread, after)
            if route.key is not None:
                self._remember(event, route)
            if route.is_request:
                self._request_delivered(event, after)

    def close(self) -> None:
        """End all subscriptions and pending requests; publish returns 0 from now on. Idempotent."""
        after = _After()
        with self._exclusive():
            self._closed = True
            subscriptions, self._subscriptions = self._subscriptions, ()
            self._routes = {}
            for subscription in subscriptions:
                subscription._closed = True
                _wake(subscription, threading.get_ident(), after)
            for pending in self._pending.values():
                pending.error = BusClosed("the bus was closed while the request waited")
                _settle(pending.delivered, pending.hub, after)
                _settle(pending.answered, pending.hub, after)
        self._finish(after)

    @contextmanager
    def _exclusive(self, after: _After | None = None) -> Iterator[None]:
        """Hold the lock as publish does: what is published meanwhile by a finalizer waits until the end."""
        own = after or _After()
        with self._lock:
            outer, self._busy = self._busy, True
            try:
                yield
                while not outer and self._deferred:
                    self._accept(self._deferred.popleft(), own)
            finally:
                self._busy = outer
        if after is None:
            self._finish(own)

    def _warn_of_unknown_types(self) -> None:
        known = declared_types()
        for subscription in self._subscriptions:
            for wanted in subscription.types:
                if isinstance(wanted, str) and wanted not in known:
                    _log.warning(
                        "subscription %r asks for %r, which no event declares", subscription.name, wanted
                    )

    # --- scatter-gather

    async def request(
        self,
        request: Request,
        expected_responders: Sequence[str],
        *,
        timeout: float | None = 10.0,
        min_responses: int | None = None,
    ) -> RequestResult[Any]:
        """Publish a request and gather the answers that name its id.

        Parameters
        ----------
        expected_responders
            Who has to answer; answers of others count for nothing.
        timeout
            Seconds to wait for delivery and, from delivery, for the answers; None waits for ever.
        min_responses
            How many of the expected suffice; all by default.

        Raises
        ------
        RequestTimeout
            Not all answered; it holds the partial result.
        RequestDropped
            The bus was paused and its buffer full.
        BusClosed
            Before or while it waited.
        ValueError
            No responder, one named twice, a minimum out of range, or the request is pending already.
        """
        minimum = check_responders(expected_responders, min_responses)
        hub = self._hub()
        pending = Pending(hub, expected_responders, minimum)
        with self._lock:
            if self._closed:
                raise BusClosed(f"{request.event_type}: the bus is closed")
            if request.id in self._pending:
                raise ValueError(f"{request.event_type}: request {request.id} is pending already")
            self._pending[request.id] = pending
        try:
            self.publish(request)
            for phase, waiter in (("delivered", pending.delivered), ("answered", pending.answered)):
                timer = (
                    None
                    if timeout is None or waiter.done()
                    else hub.loop.call_later(timeout, _expire, waiter)
                )
                try:
                    await waiter
                except TimeoutError:
                    raise self._timed_out(request, pending, phase, timeout) from None
                finally:
                    if timer is not None:
                        timer.cancel()
                if pending.error is not None:
                    raise pending.error
            return pending.result()
        finally:
            with self._lock:
                self._pending.pop(request.id, None)

    def _timed_out(
        self, request: Request, pending: Pending, phase: str, timeout: float | None
    ) -> RequestTimeout:
        with self._lock:
            result = pending.result()
        if phase == "delivered":
            what = "the bus stayed paused"
        else:
            what = f"no answer from {', '.join(result.missing)}"
        return RequestTimeout(f"{request.event_type}: {what} within {timeout} s", result)

    def _answer(self, response: Response, after: _After) -> None:
        pending = self._pending.get(response.request_id)
        if pending is not None and pending.answer(response):
            _settle(pending.delivered, pending.hub, after)
            _settle(pending.answered, pending.hub, after)

    def _request_delivered(self, event: Event, after: _After) -> None:
        pending = self._pending.get(event.id)
        if pending is not None:
            _settle(pending.delivered, pending.hub, after)

    def _hub(self) -> Hub:
        """The running loop's hub."""
        loop = asyncio.get_running_loop()
        hub = self._hubs.get(loop)
        if hub is None:
            with self._lock:
                self._hubs = {known: old for known, old in self._hubs.items() if not known.is_closed()}
                hub = self._hubs[loop] = Hub(loop)
        hub.thread = threading.get_ident()
        return hub

    # --- seeing in

    def stats(self) -> BusStats:
        """The counts as of now; any thread."""
        with self._lock:
            return BusStats(
                published={cls.event_type: count for cls, count in self._published.items()},
                dropped_while_paused=self._dropped_while_paused,
                kept=len(self._kept) + len(self._kept_state),
                retained=len(self._retained),
                pending_requests=len(self._pending),
            )

    @property
    def subscriptions(self) -> tuple[Subscription[Any], ...]:
        """All open subscriptions, in the order made."""
        return self._subscriptions

    def last(self, cls: type[_E], key: object) -> _E | None:
        """The retained event of exactly this type and key; any thread."""
        return cast("_E | None", self._retained.get((cls, key)))

    def retained(self, cls: type[_E]) -> list[_E]:
        """The retained events of exactly this type, by time of publication."""
        with self._lock:
            return [cast("_E", event) for (kind, _), event in self._retained.items() if kind is cls]


def _wake(subscription: Subscription[Any], thread: int, after: _After) -> None:
    """Wake a consumer that really waits: directly in its own thread's loop, else gathered by its hub."""
    waiter = subscription._waiter
    if waiter is None:
        return
    subscription._waiter = None
    hub = subscription._hub
    if isinstance(waiter, asyncio.Future):
        if hub is not None:
            _settle(waiter, hub, after, thread)
    else:
        after.calls.append(waiter.release)


def _settle(waiter: asyncio.Future[None], hub: Hub, after: _After, thread: int | None = None) -> None:
    if waiter.done():
        return
    if hub.thread == (thread or threading.get_ident()):
        with suppress(RuntimeError):  # its loop is closed: nobody waits any more
            waiter.set_result(None)
        return
    hub.ready.append(waiter)
    if not hub.armed:
        hub.armed = True
        after.calls.append(hub.arm)


def _expire(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())


def _warn_of_drop(subscription: Subscription[Any], event: Event) -> None:
    _log.warning("subscription %r is full and drops %s", subscription.name, event.event_type)
