"""What an event is: an immutable fact with an identity, a time, and a place in a chain of causes (B1)."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from dataclasses import fields as fields_of
from datetime import UTC, datetime
from operator import attrgetter
from time import time_ns
from typing import Any, ClassVar, TypeVar, dataclass_transform

_Cause = tuple[str, str]
"""A cause's id and its correlation id; the event itself is not kept alive."""
_Stamp = tuple[int, int, _Cause | None, str]
"""Number, nanoseconds since the epoch, cause, and the process it was created in."""

_cause: ContextVar[_Cause | None] = ContextVar("kopfbus_cause", default=None)
_numbers = itertools.count(1)
_process = os.urandom(8).hex()


def _after_fork() -> None:
    global _process  # noqa: PLW0603 - a child process must not repeat its parent's ids
    _process = os.urandom(8).hex()


os.register_at_fork(after_in_child=_after_fork)


def _stamp() -> _Stamp:
    """All an event knows of its creation, in one tuple: one frozen field is cheaper than four."""
    return next(_numbers), time_ns(), _cause.get(), _process


class EventError(TypeError):
    """An event class is declared wrongly, or not at all."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Event:
    """Base of all events: frozen, slotted, compared by identity; safe to share between threads.

    Declare a type with `@event("dotted.name")`; payloads are not copied, so hand in immutable ones.
    """

    event_type: ClassVar[str] = ""
    event_key: ClassVar[Callable[[Any], Any] | None] = None
    event_key_fields: ClassVar[tuple[str, ...]] = ()
    event_retain: ClassVar[bool] = False
    event_forgets: ClassVar[tuple[type[Event], ...]] = ()
    event_fact: ClassVar[bool] = False

    _stamp: _Stamp = field(init=False, repr=False, default_factory=_stamp)

    @property
    def id(self) -> str:
        """Unique across threads and processes; the same wherever the event is taken."""
        return f"{self._stamp[3]}-{self._stamp[0]}"

    @property
    def created_at(self) -> datetime:
        """When it was created: aware, UTC, microseconds."""
        return datetime.fromtimestamp(self._stamp[1] / 1e9, UTC)

    @property
    def correlation_id(self) -> str:
        """The id of the event that began the chain; its own when it began one."""
        cause = self._stamp[2]
        return self.id if cause is None else cause[1]

    @property
    def causation_id(self) -> str | None:
        """The id of the event that was being handled when this one was created."""
        cause = self._stamp[2]
        return None if cause is None else cause[0]


_E = TypeVar("_E", bound=Event)
_declared: dict[str, type[Event]] = {}


@dataclass_transform(frozen_default=True, kw_only_default=True, eq_default=False, field_specifiers=(field,))
def event(
    name: str,
    *,
    key: str | tuple[str, ...] | None = None,
    retain: bool = False,
    forgets: Iterable[type[Event]] = (),
    fact: bool = False,
) -> Callable[[type[_E]], type[_E]]:
    """Declare an event type.

    Parameters
    ----------
    name
        The dotted type string, one class each.
    key
        The field, or fields, that identify what the event is about.
    retain
        The bus remembers the last event of each key and gives it to late subscribers (B6). Needs a key.
    forgets
        Retained types whose event of the same key is dropped when this one is delivered.
    fact
        Only observers consume it; told to the tests that look for types without a consumer.

    Raises
    ------
    EventError
        If the name is taken by another class, or key, retain and forgets contradict each other.
    """
    fields = (key,) if isinstance(key, str) else tuple(key or ())
    forgotten = tuple(forgets)

    def declare(cls: type[_E]) -> type[_E]:
        _check(cls, name, fields, retain=retain, forgets=forgotten)
        made = dataclass(frozen=True, slots=True, kw_only=True, eq=False)(cls)
        missing = set(fields) - {known.name for known in fields_of(made)}
        if missing:
            raise EventError(f"event {name!r}: the key {min(missing)!r} is no field of {cls.__qualname__}")
        made.event_type = sys.intern(name)
        made.event_key_fields = fields
        made.event_key = staticmethod(attrgetter(*fields)) if fields else None
        made.event_retain = retain
        made.event_forgets = forgotten
        made.event_fact = fact
        _declared[name] = made
        return made

    return declare


def _check(
    cls: type[Event], name: str, fields: tuple[str, ...], *, retain: bool, forgets: tuple[type[Event], ...]
) -> None:
    if not name or not all(part.isidentifier() for part in name.split(".")):
        raise EventError(f"event {name!r}: the type string is dotted identifiers, like 'config.parsed'")
    if not issubclass(cls, Event):
        raise EventError(f"event {name!r}: {cls.__qualname__} does not inherit from Event")
    known = _declared.get(name)
    if known is not None and (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):
        raise EventError(f"event {name!r} is already declared by {known.__module__}.{known.__qualname__}")
    if (retain or forgets) and not fields:
        raise EventError(f"event {name!r}: retain and forgets need a key")
    for other in forgets:
        if not other.event_retain or other.event_key_fields != fields:
            raise EventError(
                f"event {name!r} forgets {other.event_type!r}, which is not retained by the same key"
            )


def declared(cls: type[Event]) -> bool:
    """Whether this very class was declared with `@event`; a subclass of a declared one is not."""
    return "event_type" in cls.__dict__ and cls.event_type != ""


def declared_types() -> dict[str, type[Event]]:
    """All declared types by their type string."""
    return dict(_declared)


@contextmanager
def handling(cause: Event | None) -> Iterator[None]:
    """Events created inside name `cause` as theirs, across await, tasks created here and asyncio.to_thread.

    None begins anew: what is created inside starts chains of its own.
    """
    token = _cause.set(None if cause is None else (cause.id, cause.correlation_id))
    try:
        yield
    finally:
        _cause.reset(token)
