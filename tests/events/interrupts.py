"""Interrupts a function, as a signal would, at each place where the interpreter lets one in.

CPython looks for signals when a Python function begins, after a call returns, and at a jump back. Only there:
between `lock.acquire()` and the next call nothing can happen, so a test that raised at any line would find
faults that are none.
Only the places inside of the package count: what an interrupt does to asyncio's own state is not for the bus
to promise.
"""

from __future__ import annotations

import contextlib
import dis
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import events

TRACED = (str(Path(events.__file__).parent), contextlib.__file__)


class InterruptAt:
    """Runs a function and does something at its n-th such place: raises KeyboardInterrupt by default."""

    def __init__(self, place: int, action: Callable[[], object] | None = None) -> None:
        self._place = place
        self._action = action
        self._seen = 0
        self._before: dict[FrameType, str] = {}

    def run(self, function: Callable[[], object]) -> bool:
        """Whether the function was interrupted; False when it has fewer places."""
        previous = sys.gettrace()
        sys.settrace(self._trace)
        try:
            function()
        except KeyboardInterrupt:
            pass
        finally:
            sys.settrace(previous)
            self._before.clear()
        return self._seen >= self._place

    def _trace(self, frame: FrameType, what: str, argument: Any) -> Any:
        if self._seen >= self._place or not frame.f_code.co_filename.startswith(TRACED):
            return None
        if what == "call":
            frame.f_trace_opcodes = True
            self._check_place()
        elif what == "opcode":
            before = self._before.get(frame, "")
            self._before[frame] = _instructions(frame.f_code)[frame.f_lasti]
            if before.startswith("CALL") or "BACKWARD" in before:
                self._check_place()
        return self._trace

    def _check_place(self) -> None:
        self._seen += 1
        if self._seen == self._place:
            if self._action is None:
                raise KeyboardInterrupt
            self._action()


@cache
def _instructions(code: CodeType) -> dict[int, str]:
    return {each.offset: each.opname for each in dis.get_instructions(code)}
