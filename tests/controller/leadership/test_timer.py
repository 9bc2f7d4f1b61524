"""Limits and back-off follow the injected clock."""

from __future__ import annotations

import asyncio
import math

import pytest

from controller.leadership.timer import back_off, time_limit
from controller.testing import FakeClock


async def wait_for_ever() -> None:
    await asyncio.Event().wait()


async def limited(clock: FakeClock, seconds: float) -> None:
    async with time_limit(clock, seconds):
        await wait_for_ever()


async def test_a_limit_ends_its_body_when_the_clock_says_so_and_not_before():
    clock = FakeClock()
    task = asyncio.create_task(limited(clock, 5))
    await clock.advance(4.9)
    assert not task.done()
    await clock.advance(0.1)
    with pytest.raises(TimeoutError):
        await task


async def test_a_limit_that_is_already_over_ends_the_body_at_its_first_wait():
    clock = FakeClock()
    with pytest.raises(TimeoutError):
        await limited(clock, -1)


async def test_an_infinite_limit_is_none():
    clock = FakeClock()
    task = asyncio.create_task(limited(clock, math.inf))
    await clock.advance(1e9)
    assert not task.done()
    task.cancel()


async def test_a_body_that_ends_in_time_leaves_no_alarm_behind():
    clock = FakeClock()
    async with time_limit(clock, 5):
        await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert clock.sleepers == 0
    assert asyncio.all_tasks() == {asyncio.current_task()}


def test_back_off_doubles_from_the_first_wait_up_to_the_limit():
    waits = [back_off(failures, first=1.0, limit=60.0) for failures in (1, 2, 3, 6, 7, 5000)]
    assert waits == [1, 2, 4, 32, 60, 60]
