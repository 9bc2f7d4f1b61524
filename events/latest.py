"""The LATEST queue: of each key and type only the newest waits, so that state is never dropped (B4)."""

from __future__ import annotations

from collections import deque
from typing import Any

from events.event import Event
from events.subscription import E_co, Subscription


class Place:
    """A key's place in the queue: at most one event per type, in the order published."""

    __slots__ = ("events", "key")

    def __init__(self, key: object) -> None:
        self.key = key
        self.events: dict[type[Event], Event] = {}


class LatestSubscription(Subscription[E_co]):
    """A subscription whose queue holds places of keys, and events of types without one."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._places: dict[object, Place] = {}
        self._waiting = 0  # events in the queue
        self._taken: deque[E_co] = deque()  # the rest of a place: taking a place takes all of it

    @property
    def depth(self) -> int:
        """How many events wait."""
        return self._waiting + len(self._taken)

    def _offer(self, event: Event, *, exempt: bool = False) -> bool:
        cls = type(event)
        if cls.event_key is not None:
            self._offer_keyed(event, cls, (cls.event_key_fields, cls.event_key(event)))
            return True
        if exempt:
            self._limit += 1
            self._dirty = True
        elif len(self._queue) - len(self._places) >= self._limit:
            return False
        self._queue.append(event)
        self._waiting += 1
        return True

    def _offer_keyed(self, event: Event, cls: type[Event], key: object) -> None:
        place = self._places.get(key)
        if place is None:
            place = self._places[key] = Place(key)
            self._queue.append(place)
        older = place.events.get(cls)
        if older is event:
            return  # a refill of what waits already
        if older is None:
            self._waiting += 1
        else:
            self._conflated += 1
            del place.events[cls]
        place.events[cls] = event

    def _take(self) -> E_co | None:
        while not self._taken:
            if not self._queue:
                return None
            self._high_water = max(self._high_water, self._waiting)
            with self._lock:
                self._take_place()
        event = self._taken.popleft()
        self._delivered += 1
        if self._dirty and not self._taken:
            self._reset()
        return event

    def _take_all(self) -> list[E_co]:
        self._high_water = max(self._high_water, self.depth)
        with self._lock:
            for _ in range(len(self._queue)):
                self._take_place()
            if self._dirty:
                self._reset()
        events = list(self._taken)
        self._taken.clear()
        self._delivered += len(events)
        return events

    def _take_place(self) -> None:
        """Move what has the first place; step by step safe from what a finalizer publishes in between."""
        entry = self._queue.popleft()
        if isinstance(entry, Place):
            del self._places[entry.key]
            events: list[Any] = list(entry.events.values())
        else:
            events = [entry]
        count = len(events)
        self._waiting -= count  # nothing is called between reading and writing it
        self._taken.extend(events)
