"""How a waiting consumer is woken: at once in its own loop, in one callback for many from other threads."""

from __future__ import annotations

import asyncio
import threading
from asyncio import current_task
from collections import deque
from collections.abc import Callable
from threading import get_ident
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from events.subscription import Subscription

Todo: TypeAlias = list[Callable[[], object]]
"""What is left for the time after the bus's lock is released: system calls and other people's code."""

Waiter: TypeAlias = "asyncio.Future[None] | threading.Lock"
"""What a consumer waits for: a future of its loop, or a lock that is held until there is something."""


class Hub:
    """Wakes the waiters of one loop; all but `arm` under the bus's lock."""

    __slots__ = ("armed", "loop", "ready", "thread")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.thread = get_ident()
        self.ready: deque[asyncio.Future[None]] = deque()
        self.armed = False

    def wake(self, waiter: asyncio.Future[None], todo: Todo) -> None:
        """Set a future of this loop: at once when called in one of its tasks, else from the loop.

        Outside of a task the loop may be asleep, even in this thread: a signal handler finds it so.
        """
        if waiter.done():
            return
        if self.thread == get_ident() and current_task(self.loop) is not None:
            waiter.set_result(None)
            return
        self.ready.append(waiter)
        if not self.armed:
            self.armed = True
            todo.append(self.arm)

    def arm(self) -> None:
        """Make the loop set what is ready; any thread. A closed loop has nobody to wake."""
        try:
            self.loop.call_soon_threadsafe(self._set_ready)
        except RuntimeError:
            self.ready.clear()
            self.armed = False

    def _set_ready(self) -> None:
        self.armed = False  # first: what is appended from now on arms again
        while self.ready:
            waiter = self.ready.popleft()
            if not waiter.done():
                waiter.set_result(None)


def wake(subscription: Subscription[Any], todo: Todo) -> None:
    """Wake a subscription's consumer if it waits; under the bus's lock."""
    waiter, hub = subscription._waiter, subscription._hub
    if waiter is None:
        return
    if hub is None:  # a thread waits, not a loop
        subscription._waiter = None
        waiter.release()
    else:
        hub.wake(waiter, todo)
        subscription._waiter = None  # last: whoever is interrupted before it leaves it to be woken again
