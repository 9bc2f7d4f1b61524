"""Threads for other people's code: one that never returns costs its owner a thread, and nobody else anything.

An executor will not do: the interpreter joins its threads when it exits, so that a validator that hangs would
keep the whole process from ending. Daemon threads end with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from threading import Thread
from typing import NoReturn, TypeVar

T = TypeVar("T")


class Threads:
    """Runs calls in daemon threads, at most `limit` at a time. Belongs to one event loop."""

    def __init__(self, name: str, limit: int) -> None:
        self._name = name
        self._free = asyncio.Semaphore(limit)

    async def run(self, call: Callable[[], T]) -> T:
        """The call's result, or what it raises; waits for a free thread. The context is handed on (B1).

        Cancelling gives up the wait, not the thread: that one is free again when the call returns.
        """
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Callable[[], T]] = loop.create_future()
        context = copy_context()

        def work() -> None:
            outcome = context.run(_outcome, call)
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._end, ended, outcome)

        try:
            Thread(target=work, name=self._name, daemon=True).start()
        except RuntimeError:  # the system gives no more threads
            self._free.release()
            raise
        return (await ended)()

    def _end(self, ended: asyncio.Future[Callable[[], T]], outcome: Callable[[], T]) -> None:
        self._free.release()
        if not ended.done():
            ended.set_result(outcome)


def _outcome(call: Callable[[], T]) -> Callable[[], T]:
    """What gives the call's result, or raises its error, again: a future would not take StopIteration."""
    try:
        result = call()
    except BaseException as error:
        return partial(_raise, error)
    return lambda: result


def _raise(error: BaseException) -> NoReturn:
    raise error
