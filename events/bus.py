"""The bus: subscribing, starting and pausing, scatter-gather (B5, B6, B7); publishing is inherited."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast, overload

from events.event import Event, declared_types
from events.latest import LatestSubscription
from events.publishing import OnDrop, Publisher
from events.requests import BusClosed, Pending, Request, RequestResult
from events.subscription import Delivery, Subscription
from events.wakeups import Hub, wake

MAX_PRE_START_BUFFER_SIZE = 1000
"""How many events a bus keeps while it does not run."""

_log = logging.getLogger("kopfbus.events")
_E = TypeVar("_E", bound=Event)


@dataclass(frozen=True, slots=True)
class BusStats:
    """Counts since the bus was made, in events (B9)."""

    published: dict[str, int]
    dropped_while_paused: int
    kept: int
    retained: int
    pending_requests: int


class EventBus(Publisher):
    """Publish and subscribe between components of one process; every method may be called from any thread.

    Called from inside of another call (by a finalizer or a signal handler that interrupts it), `publish`,
    `close` and their like take effect right after that one.

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
        super().__init__(pre_start_capacity, on_drop)
        self._started = self._started_once = False
        self._pauses = 0

    @overload
    def subscribe(
        self,
        name: str,
        wanted: type[_E],
        /,
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
        if self._closed:
            raise BusClosed(f"subscription {name!r}: the bus is closed")
        make = LatestSubscription if delivery is Delivery.LATEST else Subscription
        subscription: Subscription[Any] = make(
            self, name, types, buffer_size=buffer_size, delivery=delivery, leader_only=leader_only
        )
        self._exclusively(partial(self._add, subscription))
        if self._started_once and not leader_only and delivery is not Delivery.LOSSY:
            _log.warning(
                "subscription %r was made after the bus had started: it may have missed events", name
            )
        return subscription

    def _add(self, subscription: Subscription[Any]) -> None:
        subscription._closed = self._closed
        if self._closed:
            return
        self._connect((*self._subscriptions, subscription))
        self._offer_retained(subscription)

    def _connect(self, subscriptions: tuple[Subscription[Any], ...]) -> None:
        self._subscriptions = subscriptions
        for route in self._routes.values():
            route.connect(subscriptions)
            route.open(running=self._running)

    def _close_subscription(self, subscription: Subscription[Any]) -> None:
        self._exclusively(partial(self._remove, subscription))

    def _remove(self, subscription: Subscription[Any]) -> None:
        self._connect(tuple(s for s in self._subscriptions if s is not subscription))
        subscription._closed = True
        wake(subscription, self._todo)

    def _refill(self, subscription: Subscription[Any]) -> int:
        return self._exclusively(partial(self._offer_retained, subscription)) or 0

    def _offer_retained(self, subscription: Subscription[Any]) -> int:
        if subscription._closed:
            return 0
        matching = [event for event in self._retained.values() if subscription._matches(type(event))]
        for event in matching:
            subscription._offer(event, exempt=True)
        if matching:
            wake(subscription, self._todo)
        return len(matching)

    @property
    def running(self) -> bool:
        """Whether events are delivered now: started, and no `paused()` block open."""
        return self._running

    def start(self) -> None:
        """Deliver what was kept, in order, and everything from now on. Idempotent."""
        first = not self._started_once
        self._exclusively(partial(self._set_running, started=True))
        if first:
            self._warn_of_unknown_types()

    def pause(self) -> None:
        """Keep events from now on, until `start()`. Idempotent."""
        self._exclusively(partial(self._set_running, started=False))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Keep events while the block runs. Blocks nest and overlap; none starts a bus never started."""
        self._exclusively(partial(self._set_running, pauses=1))
        try:
            yield
        finally:
            self._exclusively(partial(self._set_running, pauses=-1))

    def _set_running(self, *, started: bool | None = None, pauses: int = 0) -> None:
        if started is not None:
            self._started = started
            self._started_once = self._started_once or started
        self._pauses += pauses
        self._running = self._started and not self._pauses and not self._closed
        for route in self._routes.values():
            route.open(running=self._running)
        if self._running:
            self._overflowed = set()
            for event in self._backlog.take():
                route = self._route(type(event))
                self._offer(route.plain, event, exempt=True)
                self._complete(event, route, exempt=True)

    def close(self) -> None:
        """End all subscriptions and pending requests; publish returns 0 from now on. Idempotent."""
        self._exclusively(self._close)

    def _close(self) -> None:
        self._closed = True
        self._running = False
        for subscription in self._subscriptions:
            subscription._closed = True
            wake(subscription, self._todo)
        self._connect(())
        for pending in self._pending.copy().values():
            pending.fail(BusClosed("the bus was closed while the request waited"), self._todo)

    def _warn_of_unknown_types(self) -> None:
        known = declared_types()
        for subscription in self._subscriptions:
            for unknown in sorted(subscription._names - known.keys()):
                _log.warning(
                    "subscription %r asks for %r, which no event declares", subscription.name, unknown
                )

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
        pending = Pending(self._hub(), request, expected_responders, min_responses)
        with self._lock:
            if self._closed:
                raise BusClosed(f"{request.event_type}: the bus is closed")
            if self._pending.setdefault(pending.id, pending) is not pending:
                raise ValueError(f"{request.event_type}: request {pending.id} is pending already")
        try:
            self.publish(request)
            return await pending.wait(timeout)
        finally:
            self._pending.pop(pending.id, None)

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

    def stats(self) -> BusStats:
        """The counts as of now; any thread, without the lock."""
        published: Counter[str] = Counter()
        for cls, route in self._routes.copy().items():
            published[cls.event_type] += route.published
        return BusStats(
            published=dict(published),
            dropped_while_paused=self._dropped_while_paused,
            kept=len(self._backlog),
            retained=len(self._retained),
            pending_requests=len(self._pending),
        )

    @property
    def subscriptions(self) -> tuple[Subscription[Any], ...]:
        """All open subscriptions, in the order made."""
        return self._subscriptions

    def retained(self, cls: type[_E]) -> list[_E]:
        """The retained events of exactly this type, by time of publication."""
        with self._lock:
            retained = self._retained.copy()
        return [cast("_E", event) for (kind, _), event in retained.items() if kind is cls]

    def last(self, cls: type[_E], key: object) -> _E | None:
        """The retained event of exactly this type and key; any thread."""
        return cast("_E | None", self._retained.get((cls, key)))
