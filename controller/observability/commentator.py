"""Says in one line what happens, event by event, and remembers the last ones for the debug endpoint."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

import structlog

from controller.component import Component, on
from controller.observability.remarks import Detail, brief, details, remark_on
from events import Delivery, Event, RingBuffer

RECENT_EVENTS: Final = 1000
"""How many events are remembered."""

_log = structlog.get_logger("kopfbus.commentator")


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What is remembered of an event: no text, no spec, no values (X3)."""

    id: str
    type: str
    created_at: str
    level: str
    sentence: str
    correlation_id: str
    causation_id: str | None
    details: dict[str, Detail]


class Commentator(Component):
    """Logs every event in a sentence, with its correlation id; an observer, so it may miss some."""

    name = "commentator"
    delivery = Delivery.LOSSY
    buffer_size = 10_000

    def __init__(self) -> None:
        self.recent: RingBuffer[Summary] = RingBuffer(RECENT_EVENTS)

    @on(Event)
    async def comment(self, event: Event) -> None:
        """Log one line, and remember it; only the line shows the source that a problem is about."""
        remark = remark_on(event)
        self.recent.append(
            Summary(
                id=event.id,
                type=event.event_type,
                created_at=event.created_at.isoformat(),
                level=logging.getLevelName(remark.level).lower(),
                sentence=remark.sentence,
                correlation_id=event.correlation_id,
                causation_id=event.causation_id,
                details=details(event, brief),
            )
        )
        _log.log(
            remark.level,
            remark.sentence,
            type=event.event_type,
            correlation_id=event.correlation_id,
            **details(event, str),
        )
