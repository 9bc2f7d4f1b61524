"""The flow of events, from the components' declarations: who publishes each type, and who takes it (C3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from controller import events as catalogue
from controller.component import Component
from controller.events import ComponentFailed, LeaderBecame, LeaderLost
from events import Delivery, Event, Request, Response, declared_types

RUNTIME = "runtime"
RUNTIME_PUBLISHES: tuple[type[Event], ...] = (LeaderBecame, LeaderLost, ComponentFailed)
"""What no component publishes, but that which runs them."""


@dataclass(frozen=True, slots=True)
class Flow:
    """One event type: the names of those who publish it, who act on it, and who only watch it go by."""

    type: type[Event]
    publishers: tuple[str, ...]
    consumers: tuple[str, ...]
    observers: tuple[str, ...]

    @property
    def name(self) -> str:
        """The type string."""
        return self.type.event_type

    @property
    def saying(self) -> str:
        """What the event says: the first line of its docstring."""
        return (self.type.__doc__ or "").strip().partition("\n")[0]


def flows(components: Iterable[type[Component]]) -> list[Flow]:
    """The flow of every type in the catalogue, in the order of declaration.

    Observers are the components with lossy delivery. A response is consumed by whoever publishes its request.
    """
    found = list(components)
    types = _catalogue()
    publishers = {kind: _publishers(kind, found) for kind in types}
    consumers = {kind: _takers(kind, found, observers=False) for kind in types}
    for kind in types:
        if issubclass(kind, Response):
            consumers[kind] += publishers[_request_of(kind, types)]
    return [
        Flow(kind, publishers[kind], consumers[kind], _takers(kind, found, observers=True)) for kind in types
    ]


def component_name(component: type[Component]) -> str:
    """Its name; where each instance has its own, that of the class."""
    return getattr(component, "name", "") or component.__name__


def _catalogue() -> list[type[Event]]:
    members = {getattr(catalogue, name) for name in catalogue.__all__}
    return [kind for kind in declared_types().values() if kind in members]


def _publishers(kind: type[Event], components: Sequence[type[Component]]) -> tuple[str, ...]:
    names = [component_name(component) for component in components if kind in component.publishes]
    return _distinct([*names, *([RUNTIME] if kind in RUNTIME_PUBLISHES else [])])


def _takers(kind: type[Event], components: Sequence[type[Component]], *, observers: bool) -> tuple[str, ...]:
    return _distinct(
        component_name(component)
        for component in components
        if (component.delivery is Delivery.LOSSY) is observers and issubclass(kind, component.consumes())
    )


def _request_of(response: type[Event], types: Sequence[type[Event]]) -> type[Event]:
    """The request that a response answers: they share all of their type strings but the end."""
    domain = response.event_type.rpartition(".")[0]
    return next(
        kind for kind in types if issubclass(kind, Request) and kind.event_type.rpartition(".")[0] == domain
    )


def _distinct(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
