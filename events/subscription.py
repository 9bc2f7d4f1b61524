"""One consumer's queue: what it holds back, conflates or drops, and how it is read (B4, B8)."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, deque
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Generic, TypeVar

from events.event import Event, declared

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from events.bus import EventBus

E_co = TypeVar("E_co", bound=Event, covariant=True)


class Delivery(Enum):
    """What a subscription promises when its consumer is slower than the publishers."""

    CRITICAL = "critical"
    """A full buffer drops the newest event; counted and reported."""
    LOSSY = "lossy"
    """As CRITICAL, but counted silently: for observers."""
    LATEST = "latest"
    """Of each key and type only the newest waits; nothing that has a key is ever dropped: for state."""


class SubscriptionClosed(RuntimeError):
    """The subscription is closed and everything it had accepted has been read."""


@dataclass(frozen=True, slots=True)
class SubscriptionStats:
    """Counts since the subscription was made, in events (B9)."""

    name: str
    types: tuple[str, ...]
    depth: int
    high_water: int
    accepted: int
    delivered: int
    conflated: int
    dropped: dict[str, int]


class Hub:
    """Wakes the waiters of one loop; wake-ups from other threads are gathered into one loop callback."""

    __slots__ = ("armed", "loop", "ready", "thread")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.thread = threading.get_ident()
        self.ready: deque[asyncio.Future[None]] = deque()
        self.armed = False

    def arm(self) -> None:
        """Make the loop drain `ready`; any thread. A closed loop has nobody to wake."""
        try:
            self.loop.call_soon_threadsafe(self._drain)
        except RuntimeError:
            self.ready.clear()
            self.armed = False

    def _drain(self) -> None:
        self.armed = False  # before draining: what is appended from now on arms again
        while self.ready:
            waiter = self.ready.popleft()
            if not waiter.done():
                waiter.set_result(None)


class Place:
    """A key's place in a LATEST queue: at most one event per type, in the order published."""

    __slots__ = ("events", "key")

    def __init__(self, key: object) -> None:
        self.key = key
        self.events: dict[type[Event], Event] = {}


class Subscription(Generic[E_co]):
    """A bounded queue of the events that match its types.

    One consumer at a time, in one loop or one thread; anything else is a RuntimeError. Publishers
    append under the bus's lock; leaving the `with` block closes it.
    """

    def __init__(
        self,
        bus: EventBus,
        name: str,
        types: tuple[type[Event] | str, ...],
        *,
        buffer_size: int,
        delivery: Delivery,
        leader_only: bool,
    ) -> None:
        self.name = name
        self.types = types
        self.delivery = delivery
        self.leader_only = leader_only
        self._bus = bus
        self._lock = bus._lock  # one lock orders everything (B3)
        self._capacity = self._limit = buffer_size
        self._queue: deque[Event | Place] = deque()
        self._places: dict[object, Place] = {}
        self._taken: deque[Event] = deque()  # the rest of a place that was taken as a whole
        self._waiter: asyncio.Future[None] | threading.Lock | None = None
        self._hub: Hub | None = None
        self._parked = False
        self._closed = False
        self._dirty = False  # something is to be reset when the queue has been empty
        self._drop_reported = False
        self._delivered = self._conflated = self._high_water = 0
        self._dropped: Counter[type[Event]] = Counter()

    def __repr__(self) -> str:
        return f"<Subscription {self.name!r} {self.delivery.value}, depth {self.depth}>"

    # --- for the bus, under its lock

    def _matches(self, cls: type[Event]) -> bool:
        return not self.types or any(
            any(
                declared(base) and base.event_type == wanted
                for base in cls.__mro__
                if issubclass(base, Event)
            )
            if isinstance(wanted, str)
            else issubclass(cls, wanted)
            for wanted in self.types
        )

    def _offer(self, event: Event, *, exempt: bool = False) -> bool:
        """Queue an event; False when the buffer was full. An exempt one (replayed, retained) always fits."""
        if self.delivery is Delivery.LATEST and event.event_key is not None:
            self._offer_latest(event)
            return True
        queue = self._queue
        if exempt:
            self._limit += 1
            self._dirty = True
        elif len(queue) - len(self._places) >= self._limit:
            self._drop(event)
            return False
        queue.append(event)
        return True

    def _offer_latest(self, event: Event) -> None:
        cls = type(event)
        key = (cls.event_key_fields, cls.event_key(event))  # type: ignore[misc] # the caller has seen a key
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = Place(key)
            self._queue.append(place)
        elif place.events.pop(cls, None) is not None:
            self._conflated += 1
        place.events[cls] = event

    def _drop(self, event: Event) -> None:
        self._dropped[type(event)] += 1
        self._dirty = True

    def _report_due(self) -> bool:
        """Whether a drop is to be reported now: the first one since the queue was empty."""
        due = not self._drop_reported and self.delivery is not Delivery.LOSSY
        self._drop_reported = True
        return due

    # --- for the consumer

    @property
    def closed(self) -> bool:
        """Whether `close()` was called, here or on the bus."""
        return self._closed

    @property
    def depth(self) -> int:
        """How many events wait."""
        if not self._places:
            return len(self._queue) + len(self._taken)
        with self._lock:
            waiting = sum(len(place.events) for place in self._places.values())
            return len(self._queue) - len(self._places) + waiting + len(self._taken)

    @property
    def dropped(self) -> int:
        """How many events were dropped, of all types."""
        return sum(self._dropped.values())

    def stats(self) -> SubscriptionStats:
        """The counts as of now; any thread."""
        with self._lock:
            depth = self.depth
            return SubscriptionStats(
                name=self.name,
                types=tuple(
                    wanted if isinstance(wanted, str) else wanted.event_type for wanted in self.types
                ),
                depth=depth,
                high_water=max(self._high_water, depth),
                accepted=self._delivered + depth + self._conflated,
                delivered=self._delivered,
                conflated=self._conflated,
                dropped={cls.event_type: count for cls, count in self._dropped.items()},
            )

    def refill(self) -> int:
        """Queue the retained events that match once more, by time of publication (B6); how many."""
        return self._bus._refill(self)  # the bus holds what is retained

    def close(self) -> None:
        """Take no more events; what was accepted can still be read. Idempotent, any thread."""
        self._bus._remove(self)  # the bus holds the routes

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    async def get(self) -> E_co:
        """The next event; waits for one. Cancellation loses nothing.

        Raises
        ------
        SubscriptionClosed
            When it is closed and empty.
        RuntimeError
            When another consumer waits, or it is consumed in another loop.
        """
        while True:
            event = self._take()
            if event is not None:
                return event
            await self._wait()

    async def batch(self) -> list[E_co]:
        """All that waits, at least one event; the list belongs to the caller. Raises as `get`."""
        while True:
            events = self._take_all()
            if events:
                return events
            await self._wait()

    def get_sync(self, timeout: float | None = None) -> E_co:
        """The next event, in a thread without a loop. TimeoutError after `timeout` seconds, else as `get`."""
        while True:
            event = self._take()
            if event is not None:
                return event
            self._wait_sync(timeout)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> E_co:
        try:
            return await self.get()
        except SubscriptionClosed:
            raise StopAsyncIteration from None

    def _take(self) -> E_co | None:
        if self._parked:
            self._refuse_second_consumer()
        if self._taken:
            self._delivered += 1
            return self._taken.popleft()  # type: ignore[return-value] # the route has matched the type
        queue = self._queue
        if not queue:
            return None
        if len(queue) > self._high_water:
            self._high_water = len(queue)
        event = self._take_place() if self.delivery is Delivery.LATEST else queue.popleft()
        if self._dirty and not queue:
            self._reset()
        self._delivered += 1
        return event  # type: ignore[return-value] # the route has matched the type

    def _take_place(self) -> Event:
        with self._lock:
            entry = self._queue.popleft()
            if isinstance(entry, Event):
                return entry
            del self._places[entry.key]
            self._taken.extend(entry.events.values())
            return self._taken.popleft()

    def _take_all(self) -> list[E_co]:
        if self._parked:
            self._refuse_second_consumer()
        if not self._queue and not self._taken:
            return []
        with self._lock:
            self._high_water = max(self._high_water, self.depth)
            events = list(self._taken)
            self._taken.clear()
            for entry in self._queue:
                if isinstance(entry, Event):
                    events.append(entry)
                else:
                    events.extend(entry.events.values())
            self._queue.clear()
            self._places.clear()
        if self._dirty:
            self._reset()
        self._delivered += len(events)
        return events  # type: ignore[return-value] # the route has matched the types

    def _reset(self) -> None:
        """The queue has been empty: replayed events count no more, and the next drop is reported again."""
        with self._lock:
            self._limit = self._capacity
            self._drop_reported = self._dirty = False

    def _refuse_second_consumer(self) -> None:
        if self._hub is not None and self._hub.loop.is_closed():
            self._parked, self._hub, self._waiter = False, None, None  # its consumer ended with its loop
            return
        raise RuntimeError(f"subscription {self.name!r} has a consumer already: one at a time, in one loop")

    async def _wait(self) -> None:
        hub = self._bus._hub()  # hubs are shared by the bus's subscriptions
        if self._hub is not hub and self._hub is not None and not self._hub.loop.is_closed():
            raise RuntimeError(f"subscription {self.name!r} is consumed in another loop")
        waiter = hub.loop.create_future()
        self._hub = hub
        self._park(waiter)
        try:
            await waiter
        finally:
            with self._lock:
                self._parked, self._waiter = False, None

    def _park(self, waiter: asyncio.Future[None] | threading.Lock) -> None:
        """Show the waiter to the publishers; made before, as making it can run a finalizer that publishes."""
        with self._lock:
            if self._queue:
                _release(waiter)
                return
            if self._closed:
                raise SubscriptionClosed(f"subscription {self.name!r} is closed")
            self._parked = True
            self._waiter = waiter

    def _wait_sync(self, timeout: float | None) -> None:
        if self._hub is not None:
            raise RuntimeError(f"subscription {self.name!r} is consumed in a loop, not by a thread")
        waiter = threading.Lock()
        waiter.acquire()  # released by the publisher
        self._park(waiter)
        try:
            if not waiter.acquire(timeout=-1 if timeout is None else timeout):
                raise TimeoutError(f"no event for subscription {self.name!r} within {timeout} s")
        finally:
            with self._lock:
                self._parked, self._waiter = False, None


def _release(waiter: asyncio.Future[None] | threading.Lock) -> None:
    if isinstance(waiter, asyncio.Future):
        waiter.set_result(None)
    else:
        waiter.release()
