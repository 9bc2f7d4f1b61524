"""One consumer's queue: what it holds back or drops, and how it is read (B4, B8)."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from enum import Enum
from threading import get_ident
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from events.event import Event, EventError
from events.wakeups import Hub, Waiter

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
        if buffer_size < 1:
            raise ValueError(f"subscription {name!r}: buffer_size is {buffer_size}; it must be at least 1")
        for wanted in types:
            if not isinstance(wanted, str) and not (isinstance(wanted, type) and issubclass(wanted, Event)):
                raise EventError(f"subscription {name!r}: {wanted!r} is neither an Event class nor a string")
        self.name = name
        self.types = types
        self.delivery = delivery
        self.leader_only = leader_only
        self._bus = bus
        self._lock = bus._lock  # one lock orders everything (B3)
        self._classes = tuple(wanted for wanted in types if not isinstance(wanted, str))
        self._names = frozenset(wanted for wanted in types if isinstance(wanted, str))
        self._capacity = self._limit = buffer_size
        self._queue: deque[Any] = deque()
        self._waiter: Any = None  # whom the next event has to wake: a future if `_hub` is set, else a lock
        self._parked: Waiter | None = None  # who waits, woken already or not
        self._hub: Hub | None = None  # of the loop that consumes; None for a thread
        self._thread: int | None = None  # the loop's thread, while nobody waits in it
        self._closed = False
        self._dirty = False  # something is to be reset when the queue has been empty
        self._drop_reported = False
        self._delivered = self._conflated = self._high_water = self._accepted = 0
        self._dropped: dict[type[Event], int] = {}

    def __repr__(self) -> str:
        return f"<Subscription {self.name!r} {self.delivery.value}, depth {self.depth}>"

    def _matches(self, cls: type[Event]) -> bool:
        return (
            not self.types
            or issubclass(cls, self._classes)
            or not self._names.isdisjoint(vars(base).get("event_type") for base in cls.__mro__)
        )

    def _offer(self, event: Event, *, exempt: bool = False) -> bool:
        """Queue an event; False if there is no room. An exempt one (replayed, retained) always fits."""
        if exempt:
            self._limit += 1
            self._dirty = True
        elif len(self._queue) >= self._limit:
            return False
        self._queue.append(event)
        return True

    def _count_drop(self, event: Event) -> None:
        cls = type(event)
        self._dropped[cls] = self._dropped.get(cls, 0) + 1
        self._dirty = True

    def _report_due(self) -> bool:
        """Whether a drop is to be reported now: the first one since the queue was empty."""
        due = not self._drop_reported and self.delivery is not Delivery.LOSSY
        self._drop_reported = True
        return due

    @property
    def closed(self) -> bool:
        """Whether `close()` was called, here or on the bus."""
        return self._closed

    @property
    def depth(self) -> int:
        """How many events wait."""
        return len(self._queue)

    @property
    def dropped(self) -> int:
        """How many events were dropped, of all types."""
        return sum(self._dropped.copy().values())

    def stats(self) -> SubscriptionStats:
        """The counts as of now; any thread, without the lock. `accepted` never goes back."""
        delivered = (
            self._delivered
        )  # before the depth: between them an event can be missed, not counted twice
        depth = self.depth
        self._accepted = max(self._accepted, delivered + depth + self._conflated)
        return SubscriptionStats(
            name=self.name,
            types=tuple(w if isinstance(w, str) else w.event_type or w.__name__ for w in self.types),
            depth=depth,
            high_water=max(self._high_water, depth),
            accepted=self._accepted,
            delivered=delivered,
            conflated=self._conflated,
            dropped={cls.event_type: count for cls, count in self._dropped.copy().items()},
        )

    def refill(self) -> int:
        """Queue the retained events that match once more, by time of publication (B6); how many."""
        return self._bus._refill(self)

    def close(self) -> None:
        """Take no more events; what was accepted can still be read. Idempotent, any thread."""
        self._bus._close_subscription(self)

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
            When another consumer waits, or another loop consumes it.
        """
        while True:
            if self._thread != get_ident():
                self._claim(self._bus._hub())
            event = self._take()
            if event is not None:
                return event
            await self._wait()

    async def batch(self) -> list[E_co]:
        """All that waits, at least one event; the list belongs to the caller. Raises as `get`."""
        while True:
            if self._thread != get_ident():
                self._claim(self._bus._hub())
            events = self._take_all()
            if events:
                return events
            await self._wait()

    def get_sync(self, timeout: float | None = None) -> E_co:
        """The next event, in a thread without a loop. TimeoutError after `timeout` seconds, else as `get`."""
        while True:
            self._claim(None)
            with self._lock:  # threads may take turns, and no loop tells them apart
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
        queue = self._queue
        if not queue:
            return None
        if len(queue) > self._high_water:
            self._high_water = len(queue)
        event: E_co = queue.popleft()
        self._delivered += 1
        if self._dirty and not queue:
            self._reset()
        return event

    def _take_all(self) -> list[E_co]:
        if not self._queue:
            return []
        fresh: deque[Any] = deque()
        with self._lock:
            queue, self._queue = self._queue, fresh
            if self._dirty:
                self._reset()
        if len(queue) > self._high_water:
            self._high_water = len(queue)
        self._delivered += len(queue)
        return list(queue)

    def _reset(self) -> None:
        """The queue has been empty: replayed events count no more, and the next drop is reported again."""
        with self._lock:
            if not self._queue:  # still: what is replayed in the meantime needs its room
                self._limit = self._capacity
                self._drop_reported = self._dirty = False

    def _claim(self, hub: Hub | None) -> None:
        """Make the caller the consumer: a loop, or a thread if `hub` is None. One at a time, in one loop."""
        with self._lock:
            if self._hub is not None and self._hub.loop.is_closed():
                self._hub = self._parked = self._waiter = None  # its consumer ended with it
            if self._parked is not None:
                raise RuntimeError(f"subscription {self.name!r} has a consumer that waits: one at a time")
            if self._hub is not None and self._hub is not hub:
                raise RuntimeError(f"subscription {self.name!r} is consumed in another loop")
            self._hub = hub
            self._thread = None if hub is None else hub.thread

    async def _wait(self) -> None:
        hub = self._hub
        if hub is None or hub.loop.is_closed():
            self._thread = None
            return  # the loop of before has ended: claim it anew
        waiter = hub.loop.create_future()
        try:
            if self._park(waiter):
                await waiter
        finally:
            self._unpark(waiter)

    def _wait_sync(self, timeout: float | None) -> None:
        waiter = threading.Lock()
        waiter.acquire()  # the publisher releases it
        try:
            if self._park(waiter) and not waiter.acquire(timeout=-1 if timeout is None else max(0, timeout)):
                raise TimeoutError(f"no event for subscription {self.name!r} within {timeout} s")
        finally:
            self._unpark(waiter)

    def _park(self, waiter: Waiter) -> bool:
        """Show the waiter to the publishers; whether there is something to wait for."""
        with self._lock:
            if self._parked is not None:
                raise RuntimeError(f"subscription {self.name!r} has a consumer that waits: one at a time")
            self._thread = None  # whoever comes meanwhile has to claim it, and is refused
            self._parked = self._waiter = waiter  # first: a signal handler may publish at any moment
            if self._closed and not self._queue:
                raise SubscriptionClosed(f"subscription {self.name!r} is closed")
            return not self._queue

    def _unpark(self, waiter: Waiter) -> None:
        """Nobody waits any more; unless a newer consumer does, after this one's loop was closed."""
        if self._parked is waiter:
            self._parked = self._waiter = None
            if self._hub is not None:
                self._thread = self._hub.thread
