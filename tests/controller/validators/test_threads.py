"""Threads for calls that may never return."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from contextvars import ContextVar

import pytest

from controller.validators.threads import Threads

_WHO: ContextVar[str] = ContextVar("who", default="nobody")


async def test_the_result_comes_back_from_another_thread():
    assert await Threads("t", 1).run(threading.get_ident) != threading.get_ident()


async def test_what_the_call_raises_is_raised():
    with pytest.raises(ZeroDivisionError):
        await Threads("t", 1).run(lambda: 1 // 0)


async def test_even_stop_iteration_ends_the_wait():
    with pytest.raises(RuntimeError, match="StopIteration"):
        await Threads("t", 1).run(lambda: next(iter(())))


async def test_the_call_sees_the_context_of_its_caller():
    _WHO.set("me")
    assert await Threads("t", 1).run(_WHO.get) == "me"


async def test_no_more_than_the_limit_run_at_a_time():
    threads, let_go, started = Threads("t", 2), threading.Event(), threading.Semaphore(0)

    def call() -> bool:
        started.release()
        return let_go.wait(5)

    calls = [asyncio.create_task(threads.run(call)) for _ in range(3)]
    for _ in range(2):
        assert await asyncio.to_thread(started.acquire, timeout=5)
    assert not started.acquire(blocking=False)
    let_go.set()
    assert await asyncio.gather(*calls) == [True] * 3


async def test_a_thread_is_free_again_when_its_abandoned_call_returns():
    threads, let_go, started = Threads("t", 1), threading.Event(), threading.Event()

    def call() -> None:
        started.set()
        let_go.wait(5)

    abandoned = asyncio.create_task(threads.run(call))
    assert await asyncio.to_thread(started.wait, 5)
    abandoned.cancel()
    with pytest.raises(asyncio.CancelledError):
        await abandoned
    let_go.set()
    assert await asyncio.wait_for(threads.run(lambda: "next"), 5) == "next"


async def test_who_waits_for_a_thread_can_be_cancelled():
    threads, let_go = Threads("t", 1), threading.Event()
    first = asyncio.create_task(threads.run(lambda: let_go.wait(5)))
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(threads.run(lambda: "never"), 0.02)
    let_go.set()
    assert await first
    assert await threads.run(lambda: "next") == "next"


def test_a_call_that_never_returns_does_not_keep_the_process_from_ending():
    program = """
import asyncio, threading
from controller.validators.threads import Threads
async def main():
    try:
        await asyncio.wait_for(Threads("t", 1).run(threading.Event().wait), 0.01)
    except TimeoutError:
        print("given up")
asyncio.run(main())
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=20
    )
    assert (ended.returncode, ended.stdout) == (0, "given up\n"), ended.stderr
