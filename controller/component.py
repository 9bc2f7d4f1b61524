"""What a component is: handlers that say what it consumes, and what it may publish (section "components")."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

from events import Delivery, Event, Request, RequestResult

_F = TypeVar("_F", bound=Callable[..., Awaitable[None]])


@dataclass(frozen=True, slots=True)
class Handler:
    """One `@on` method: the types it takes, and the field by which events run side by side."""

    name: str
    types: tuple[type[Event], ...]
    per: str | None


def on(*types: type[Event], per: str | None = None) -> Callable[[_F], _F]:
    """Mark a method as the handler of event types.

    With `per`, events that differ in that field run side by side (a small limit), those that agree in order.
    Raises TypeError if there is no type, or one without that field.
    """
    if not types:
        raise TypeError("@on needs at least one event type: @on(ConfigParsed)")
    for kind in types:
        if per is not None and per not in kind.__dataclass_fields__:
            raise TypeError(f"@on({kind.__name__}, per={per!r}): {kind.__name__} has no such field")

    def mark(method: _F) -> _F:
        method.__handler__ = Handler(method.__name__, types, per)  # type: ignore[attr-defined] # read by handlers()
        return method

    return mark


class Host(Protocol):
    """What a component sees of the runtime that runs it."""

    def publish(self, event: Event) -> int:
        """Publish in the component's name."""
        ...

    async def request(
        self, request: Request, expected_responders: Sequence[str], *, timeout: float
    ) -> RequestResult[Any]:
        """Scatter-gather in the component's name."""
        ...

    def spawn(self, name: str, service: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        """Run a service task."""
        ...


class Component:
    """Base of all components. All of one runs in the main loop; it handles one event at a time, in order.

    A component never imports another: they meet on the bus. The runtime calls, in this order, the
    constructor's caller, `start`, handlers as events come, `stop`; after the death of a service task
    `stop` and `start` again on the same instance.
    """

    name: ClassVar[str]
    publishes: ClassVar[tuple[type[Event], ...]] = ()
    leader_only: ClassVar[bool] = False
    source: ClassVar[bool] = False
    """Sources are started last and stopped first: they bring events in from outside."""
    delivery: ClassVar[Delivery] = Delivery.CRITICAL
    buffer_size: ClassVar[int] = 100

    _host: Host

    @classmethod
    def handlers(cls) -> tuple[Handler, ...]:
        """All `@on` methods, in the order written, inherited ones first."""
        found: dict[str, Handler] = {}
        for base in reversed(cls.__mro__):
            for name, member in vars(base).items():
                if hasattr(member, "__handler__"):
                    found[name] = member.__handler__
        return tuple(found.values())

    @classmethod
    def consumes(cls) -> tuple[type[Event], ...]:
        """The event types it takes."""
        return tuple(dict.fromkeys(kind for handler in cls.handlers() for kind in handler.types))

    def bind(self, host: Host) -> None:
        """Called by the runtime before anything else."""
        self._host = host

    async def start(self) -> None:
        """Prepare, and `spawn` service tasks; awaits no event. It may be called again after `stop`."""

    async def stop(self) -> None:
        """Give back what `start` took; also called when `start` failed half way."""

    async def resync(self) -> None:
        """Make up for dropped events: called after retained ones were queued again (C6)."""

    def publish(self, event: Event) -> int:
        """Publish an event that is declared in `publishes`; any thread."""
        return self._host.publish(event)

    async def request(
        self,
        request: Request,
        expected_responders: Sequence[str],
        *,
        timeout: float = 10.0,
    ) -> RequestResult[Any]:
        """Ask, and gather the answers; `timeout` in seconds. Raises as `EventBus.request`."""
        return await self._host.request(request, expected_responders, timeout=timeout)

    def spawn(self, name: str, service: Callable[[], Awaitable[None]]) -> asyncio.Task[None]:
        """Run a service task until `stop`, or cancelled; its death restarts the component (C2)."""
        return self._host.spawn(name, service)
