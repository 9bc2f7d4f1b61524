"""Back-off and time slices."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.kube import pacing
from controller.kube.pacing import Backoff, TimeSlice


@given(st.integers(1, 20))
def test_delays_double_up_to_the_cap_and_keep_at_least_half(tries):
    backoff = Backoff(1.0, 30.0)
    delays = [backoff.next() for _ in range(tries)]
    for number, delay in enumerate(delays):
        full = min(30.0, 2.0**number)
        assert full / 2 <= delay <= full


def test_delays_are_jittered():
    assert len({Backoff(1.0, 30.0).next() for _ in range(10)}) > 1


def test_reset_goes_back_to_the_shortest_delay():
    backoff = Backoff(1.0, 30.0)
    for _ in range(6):
        backoff.next()
    backoff.reset()
    assert backoff.next() <= 1.0


@pytest.mark.parametrize(("seconds", "turns"), [(-1.0, 10), (60.0, 0)])
async def test_others_get_the_loop_when_the_slice_is_used_up_and_only_then(monkeypatch, seconds, turns):
    monkeypatch.setattr(pacing, "TIME_SLICE", seconds)
    taken = 0

    async def other() -> None:
        nonlocal taken
        while True:
            await asyncio.sleep(0)
            taken += 1

    task = asyncio.create_task(other())
    await asyncio.sleep(0)
    before = taken
    time_slice = TimeSlice()
    for _ in range(10):
        await time_slice.turn()
    assert taken - before == turns
    task.cancel()
