"""What the debug endpoints show: recent events, subscriptions, state; no text, spec or values (X3)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial

from controller.events import ConfigInvalid, ConfigValidated, IndexSynchronized, ResourceWatchFailed
from controller.observability.remarks import Summary, brief, details
from events import Event, EventBus, RingBuffer

View = Callable[[], object]
"""Makes what is shown, of plain values; called in the main loop."""


def debug_views(
    bus: EventBus, recent: RingBuffer[Summary], state: Mapping[str, View] | None = None
) -> dict[str, View]:
    """The views by name; `state` adds entries to the view of that name, for what the bus does not know."""
    return {
        "events": lambda: [asdict(summary) for summary in recent],
        "subscriptions": partial(_subscriptions, bus),
        "state": partial(_state, bus, state or {}),
    }


def to_json(value: object) -> str:
    """As JSON; of an object that is not plain only its type, as its representation might hold anything."""
    return json.dumps(value, indent=2, default=lambda unknown: f"<{type(unknown).__name__}>") + "\n"


def _subscriptions(bus: EventBus) -> list[dict[str, object]]:
    return [
        {
            "delivery": subscription.delivery.value,
            "leader_only": subscription.leader_only,
            **asdict(subscription.stats()),
        }
        for subscription in bus.subscriptions
    ]


def _state(bus: EventBus, more: Mapping[str, View]) -> dict[str, object]:
    retained: dict[str, type[Event]] = {
        "in_force": ConfigValidated,
        "invalid": ConfigInvalid,
        "synchronized": IndexSynchronized,
        "failing_watches": ResourceWatchFailed,
    }
    return {
        "bus": {"running": bus.running, **asdict(bus.stats())},
        **{name: [details(event, brief) for event in bus.retained(kind)] for name, kind in retained.items()},
        **{name: view() for name, view in more.items()},
    }
