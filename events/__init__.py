"""An in-process event bus: thread-safe, ordered, bounded, with replay and scatter-gather."""

from events.bus import MAX_PRE_START_BUFFER_SIZE, BusStats, EventBus
from events.event import Event, EventError, declared_types, event, handling
from events.requests import (
    BusClosed,
    Request,
    RequestDropped,
    RequestResult,
    RequestTimeout,
    Response,
)
from events.ringbuffer import RingBuffer
from events.subscription import Delivery, Subscription, SubscriptionClosed, SubscriptionStats

__all__ = [
    "MAX_PRE_START_BUFFER_SIZE",
    "BusClosed",
    "BusStats",
    "Delivery",
    "Event",
    "EventBus",
    "EventError",
    "Request",
    "RequestDropped",
    "RequestResult",
    "RequestTimeout",
    "Response",
    "RingBuffer",
    "Subscription",
    "SubscriptionClosed",
    "SubscriptionStats",
    "declared_types",
    "event",
    "handling",
]
