"""The garbage collector, kept off while a first list comes in.

A store that grows by thousands of objects makes the collector run again and again for nothing. The switch
is the process's, so everyone who wants it off shares one counter, with a deadline: it must never stay off.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from contextlib import contextmanager

DEADLINE = 60.0
"""Seconds after which collecting goes on even though a first list is still coming in."""


class GcPause:
    """Counts who wants the collector off. To be used from one loop."""

    def __init__(self) -> None:
        self._holders = 0
        self._deadline: asyncio.TimerHandle | None = None
        self._frozen = False

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Keep the collector off in this block, unless somebody else has turned it off already."""
        self._holders += 1
        if self._holders == 1 and gc.isenabled():
            gc.disable()
            self._freeze_once()
            self._deadline = asyncio.get_running_loop().call_later(DEADLINE, self._resume)
        try:
            yield
        finally:
            self._holders -= 1
            if not self._holders:
                self._resume()

    def _resume(self) -> None:
        if self._deadline is None:
            return
        self._deadline.cancel()
        self._deadline = None
        gc.enable()

    def _freeze_once(self) -> None:
        """Spare all later collections what lives at the first list: modules and classes, which stay.

        Once only, because what is frozen is never collected. What is stored afterwards is not tracked by the
        collector anyway.
        """
        if not self._frozen:
            gc.freeze()
            self._frozen = True


first_lists = GcPause()
"""The process's one."""
