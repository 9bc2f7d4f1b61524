"""What the bus knows of each event type, and what it keeps of its events while it does not run (B5)."""

from __future__ import annotations

from collections import deque
from typing import Any

from events.event import Event, EventError, declared
from events.requests import Request, Response
from events.subscription import Delivery, Subscription


class Route:
    """What there is to do for the events of one exact class; EventError if it is not declared."""

    __slots__ = ("_cls", "direct", "is_request", "is_response", "latest", "plain", "published", "state")

    def __init__(self, cls: type[Event]) -> None:
        if not (issubclass(cls, Event) and declared(cls)):
            raise EventError(f"{cls.__qualname__} is no declared event: declare the class with @event('...')")
        self._cls = cls
        self.published = 0
        self.direct: tuple[Subscription[Any], ...] | None = None
        self.state = cls.event_retain or bool(cls.event_forgets)
        self.is_request = issubclass(cls, Request)
        self.is_response = issubclass(cls, Response)

    def connect(self, subscriptions: tuple[Subscription[Any], ...]) -> None:
        """Set who receives; the tuples are replaced, never changed."""
        matching = [subscription for subscription in subscriptions if subscription._matches(self._cls)]
        self.plain = tuple(s for s in matching if s.delivery is not Delivery.LATEST)
        self.latest = tuple(s for s in matching if s.delivery is Delivery.LATEST)

    def open(self, *, running: bool) -> None:
        """Set `direct`: who gets an event if it only has to be queued; None if there is more to it."""
        simple = not (self.latest or self.state or self.is_request or self.is_response)
        self.direct = self.plain if running and simple else None

    def key(self, event: Event) -> object:
        """The event's key, None for a type without one. EventError if it cannot be looked up."""
        if self._cls.event_key is None:
            return None
        key: object = self._cls.event_key(event)
        try:
            hash(key)
        except TypeError:
            raise EventError(
                f"event {self._cls.event_type!r}: the key {key!r} is no str, int or tuple of them"
            ) from None
        return key


class Backlog:
    """What was published while the bus did not run: the first so many events, and the last of each state.

    A type that retains or forgets is state: without room the last event of each key is kept all the same.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"pre_start_capacity is {capacity}; it must be at least 1")
        self._capacity = capacity
        self._events: deque[Event] = deque()
        self._last: dict[tuple[type[Event], object], Event] = {}

    def __len__(self) -> int:
        return len(self._events) + len(self._last)

    def add(self, event: Event, route: Route) -> Event | None:
        """Keep an event; the one that has to be dropped for it, if any: itself, or an older state."""
        if len(self._events) < self._capacity:
            self._events.append(event)
            return None
        if not route.state:
            return event
        place = (type(event), route.key(event))
        older = self._last.pop(place, None)
        self._last[place] = event
        return older

    def take(self) -> list[Event]:
        """All that was kept, in the order published; it is empty then."""
        kept = [*self._events, *self._last.values()]
        self._events, self._last = deque(), {}
        return kept
