"""Says in one line what happens, event by event, and remembers the last ones for the debug endpoint."""

from __future__ import annotations

from typing import Final

import structlog

from controller.component import Component, on
from controller.observability.remarks import Summary, details, remark_on, summarize
from events import Delivery, Event, RingBuffer

RECENT_EVENTS: Final = 1000
"""How many events are remembered."""

_log = structlog.get_logger("kopfbus.commentator")


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
        self.recent.append(summarize(event))
        _log.log(
            remark.level,
            remark.sentence,
            type=event.event_type,
            correlation_id=event.correlation_id,
            **details(event, str),
        )
