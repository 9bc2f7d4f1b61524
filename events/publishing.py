"""Publishing: one lock, one total order, no waiting for anyone, nobody's code under the lock (B2, B3, B4)."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, cast

from events.event import Event
from events.requests import Pending, RequestDropped, Response
from events.routing import Backlog, Route
from events.subscription import Delivery, Subscription
from events.wakeups import Hub, Todo, wake

_log = logging.getLogger("kopfbus.events")
_T = TypeVar("_T")

OnDrop = Callable[[Subscription[Event], Event], None]


class Publisher:
    """The half of the bus that takes events and hands them on; `EventBus` is the other half.

    Everything that changes it runs under the lock and with the flag `_busy`. The lock is reentrant, as a
    finalizer or a signal handler may publish while this very thread holds it; what it asks for then is
    deferred until the outer call is done. Calls of other people's code and of the system wait in `_todo`
    until the lock is released.
    """

    def __init__(self, pre_start_capacity: int, on_drop: OnDrop | None) -> None:
        self._on_drop = on_drop or _warn_of_drop
        self._reports = threading.local()
        self._lock = threading.RLock()
        self._busy = False
        self._deferred: deque[Callable[[], object]] = deque()
        self._todo: Todo = []
        self._subscriptions: tuple[Subscription[Any], ...] = ()
        self._routes: dict[type[Event], Route] = {}
        self._hubs: dict[asyncio.AbstractEventLoop, Hub] = {}
        self._pending: dict[str, Pending] = {}
        self._retained: dict[tuple[type[Event], object], Event] = {}
        self._backlog = Backlog(pre_start_capacity)
        self._overflowed: set[Subscription[Any]] = set()  # those told of it in this pause
        self._dropped_while_paused = 0
        self._running = self._closed = False

    def publish(self, event: Event) -> int:  # noqa: C901, PLR0912 - every call saved here is time saved
        """Hand an event to every matching subscription, without waiting; how many took it.

        0 while the bus is paused or closed, and for an event published from inside publish (a finalizer,
        a signal handler): that one is delivered right after the outer one.

        Raises
        ------
        EventError
            If its class was not declared with `@event`, or its key is unhashable.
        """
        lock = self._lock
        todo: Todo | None = None
        try:
            try:
                lock.acquire()  # inside the try: an interrupt right after it must not leave the lock held
                if self._busy:
                    Route(type(event)).key(event)  # its publisher is to hear of an error, not the outer one
                    self._defer(partial(self._accept, event))
                    return 0
                self._busy = True
                try:
                    try:
                        route = self._routes[type(event)]
                    except KeyError:
                        route = self._route(type(event))
                    receivers = self._admit(event, route) if route.direct is None else route.direct
                    taken = len(receivers)
                    for subscription in receivers:
                        queue = subscription._queue  # not _offer(): a call per subscription doubles the cost
                        if len(queue) < subscription._limit:
                            queue.append(event)
                            if subscription._waiter is not None:
                                wake(subscription, self._todo)
                        else:
                            taken -= 1
                            self._drop(subscription, event)
                    if route.direct is None:
                        taken += self._complete(event, route)
                    route.published += 1
                    if self._todo:
                        todo = self._leave()
                finally:
                    self._busy = False
            finally:
                try:  # noqa: SIM105 - suppress() is Python code: an interrupt in it would keep the lock held
                    lock.release()
                except RuntimeError:  # interrupted while it waited for the lock
                    pass
            if todo is not None:
                self._finish(todo)
        except BaseException:
            self._recover()
            raise
        return taken

    def _exclusively(self, action: Callable[[], _T]) -> _T | None:
        """Do anything else as publish does a delivery; None if it has to wait until that is over."""
        lock = self._lock
        try:
            try:
                lock.acquire()
                if self._busy:
                    self._defer(action)
                    return None
                self._busy = True
                try:
                    result = action()
                    todo = self._leave()
                finally:
                    self._busy = False
            finally:
                try:  # noqa: SIM105 - as in publish
                    lock.release()
                except RuntimeError:
                    pass
            self._finish(todo)
        except BaseException:
            self._recover()
            raise
        return result

    def _leave(self) -> Todo:
        """Catch up on what was asked for from inside; what is to be done once the lock is released."""
        while self._deferred:
            self._deferred.popleft()()
        todo, self._todo = self._todo, []
        return todo

    def _finish(self, todo: Todo) -> None:
        for call in todo:
            call()
        if self._deferred:  # since _leave() has looked
            self._exclusively(_nothing)

    def _recover(self) -> None:
        """After an interrupt: wake whom the delivery that was cut short has passed over."""
        self._exclusively(self._wake_all)

    def _wake_all(self) -> None:
        for subscription in self._subscriptions:
            if subscription._queue:
                wake(subscription, self._todo)
        self._todo.extend(hub.arm for hub in list(self._hubs.values()) if hub.ready)

    def _defer(self, action: Callable[[], object]) -> None:
        self._deferred.append(action)
        self._todo.append(_nothing)  # publish looks only there

    def _route(self, cls: type[Event]) -> Route:
        route = self._routes.get(cls)
        if route is None:
            route = Route(cls)
            route.connect(self._subscriptions)
            route.open(running=self._running)
            self._routes[cls] = route
        return route

    def _accept(self, event: Event) -> None:
        route = self._route(type(event))
        self._offer(self._admit(event, route), event)
        self._complete(event, route)
        route.published += 1

    def _admit(self, event: Event, route: Route) -> tuple[Subscription[Any], ...]:
        """What comes before a delivery that is not simple, and who of `plain` is to get the event."""
        if self._closed:
            return ()
        if route.state or route.latest:
            route.key(event)  # an error now, before anybody has got it
        if route.is_response:
            response = cast("Response", event)
            pending = self._pending.get(response.request_id)
            if pending is not None:
                pending.answer(response, self._todo)
        if self._running:
            return route.plain
        dropped = self._backlog.add(event, route)
        if dropped is not None:
            self._overflow(dropped, event, route)
        return ()

    def _complete(self, event: Event, route: Route, *, exempt: bool = False) -> int:
        """What comes after `plain` has got it; how many LATEST subscriptions took it."""
        if not self._running:
            return 0
        taken = self._offer(route.latest, event, exempt=exempt)
        if route.state:
            self._remember(event, route)
        if route.is_request and (pending := self._pending.get(event.id)) is not None:
            pending.delivered()
        return taken

    def _offer(
        self, subscriptions: tuple[Subscription[Any], ...], event: Event, *, exempt: bool = False
    ) -> int:
        taken = 0
        for subscription in subscriptions:
            if subscription._offer(event, exempt=exempt and subscription.delivery is not Delivery.LOSSY):
                taken += 1
                wake(subscription, self._todo)
            else:
                self._drop(subscription, event)
        return taken

    def _drop(self, subscription: Subscription[Any], event: Event) -> None:
        subscription._count_drop(event)
        if subscription._report_due():
            self._todo.append(partial(self._report, subscription, event))

    def _remember(self, event: Event, route: Route) -> None:
        """Retain and forget (B6); a retained event moves to the end: they are kept by time of publication."""
        key = route.key(event)
        for forgotten in event.event_forgets:
            self._retained.pop((forgotten, key), None)
        if event.event_retain:
            self._retained.pop((type(event), key), None)
            self._retained[type(event), key] = event

    def _overflow(self, dropped: Event, event: Event, route: Route) -> None:
        """Count what the backlog had no room for; each subscription is reported once per pause."""
        self._dropped_while_paused += 1
        replaced = dropped is not event
        for subscription in route.plain if replaced else route.plain + route.latest:
            subscription._count_drop(dropped)
            if subscription.delivery is not Delivery.LOSSY and subscription not in self._overflowed:
                self._overflowed.add(subscription)
                self._todo.append(partial(self._report, subscription, dropped))
        for subscription in route.latest if replaced else ():
            subscription._conflated += 1
        if route.is_request and (pending := self._pending.get(dropped.id)) is not None:
            error = RequestDropped(f"{dropped.event_type}: the bus is paused and its buffer is full")
            pending.fail(error, self._todo)

    def _report(self, subscription: Subscription[Any], event: Event) -> None:
        """Call `on_drop`, never nested: the drops that it causes itself are reported after it."""
        waiting = getattr(self._reports, "waiting", None)
        if waiting is not None:
            waiting.append((subscription, event))
            return
        waiting = self._reports.waiting = deque([(subscription, event)])
        try:
            while waiting:
                subscription, event = waiting.popleft()
                try:
                    self._on_drop(subscription, event)
                except Exception:
                    _log.exception("on_drop failed for subscription %r", subscription.name)
        finally:
            self._reports.waiting = None


def _nothing() -> None:
    pass


def _warn_of_drop(subscription: Subscription[Any], event: Event) -> None:
    _log.warning("subscription %r is full and drops %s", subscription.name, event.event_type)
