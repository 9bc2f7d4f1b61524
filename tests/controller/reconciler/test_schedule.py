"""When a ConfigTemplate is rendered, as arithmetic: changes (P2), retries (P9), repairs (P6)."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.events import Trigger
from controller.reconciler.schedule import CALM, REPAIRS_AT_ONCE, Repairs, Schedule

INTERVAL = 2.0


def schedule(*, fired: float | None = None) -> Schedule:
    made = Schedule(INTERVAL, 600.0)
    if fired is not None:
        made.fire(fired)
    return made


def test_the_first_change_fires_at_once():
    assert schedule().change(1000.0)


def test_a_change_within_the_interval_waits_for_its_end():
    subject = schedule(fired=1000.0)
    assert not subject.change(1000.5)
    assert (subject.due, subject.reason) == (1002.0, Trigger.RESOURCES)


def test_further_changes_do_not_push_the_timer_back():
    subject = schedule(fired=1000.0)
    for now in (1000.5, 1001.0, 1001.9):
        subject.change(now)
    assert subject.due == 1002.0


def test_a_change_after_the_interval_fires_at_once():
    assert schedule(fired=1000.0).change(1002.0)


def test_after_firing_the_next_look_comes_with_the_drift_interval():
    subject = schedule(fired=1000.0)
    assert (subject.due, subject.reason) == (1600.0, Trigger.INTERVAL)


@given(st.lists(st.integers(0, 160).map(lambda eighths: eighths / 8), max_size=30))
def test_no_change_is_lost_and_at_most_one_fires_per_interval(times: list[float]):
    """P2, whatever the times of the changes."""
    subject = schedule()
    fires: list[float] = []
    for now in sorted(times):
        while subject.due is not None and subject.due <= now:
            fires.append(subject.due)
            subject.fire(subject.due)
        if subject.change(now):
            fires.append(now)
            subject.fire(now)
    if subject.due is not None and subject.reason is Trigger.RESOURCES:
        fires.append(subject.due)
    assert all(later - earlier >= INTERVAL for earlier, later in pairwise(fires))
    for now in times:
        assert any(now <= fire <= now + INTERVAL for fire in fires)


def test_retries_double_with_jitter():
    """P9: 1 s, 2 s, 4 s ..."""
    delays = []
    for failures in range(9):
        subject = schedule(fired=1000.0)
        subject.failures = failures
        subject.retry(1000.0)
        delays.append((subject.due or 0.0) - 1000.0)
    for number, delay in enumerate(delays):
        assert 2**number <= delay <= 1.2 * 2**number


def test_a_retry_comes_with_the_drift_interval_at_the_latest():
    subject = schedule(fired=1000.0)
    subject.failures = 20
    subject.retry(1001.0)
    assert (subject.due, subject.reason) == (1600.0, Trigger.INTERVAL)


def test_a_retry_does_not_push_back_what_is_planned():
    subject = schedule(fired=1000.0)
    subject.change(1000.0)
    subject.failures = 5
    subject.retry(1000.0)
    assert (subject.due, subject.reason) == (1002.0, Trigger.RESOURCES)


def test_the_first_repairs_are_made_at_once():
    repairs = Repairs()
    for _ in range(REPAIRS_AT_ONCE):
        assert repairs.drifted(1000.0, 600.0)
        assert repairs.at == 1000.0


def test_further_repairs_wait_twice_as_long_each_time():
    repairs, now, delays = Repairs(REPAIRS_AT_ONCE, 1000.0), 1000.0, []
    for _ in range(12):
        repairs.drifted(now, 600.0)
        delays.append(repairs.at - now)
        now = repairs.at
    assert delays[:4] == [1.0, 2.0, 4.0, 8.0]
    assert delays[-1] == 600.0


def test_drift_that_waits_for_its_repair_is_not_counted_again():
    """However often somebody writes meanwhile, the wait stays as it is."""
    repairs = Repairs(REPAIRS_AT_ONCE, 1000.0)
    repairs.drifted(1000.0, 600.0)
    assert not any(repairs.drifted(now, 600.0) for now in (1000.1, 1000.5, 1000.9))
    assert (repairs.count, repairs.at) == (REPAIRS_AT_ONCE + 1, 1001.0)


@pytest.mark.parametrize("waited", [0.0, 500.0])
def test_a_target_left_alone_after_its_repair_is_repaired_at_once_again(waited):
    repairs = Repairs(20, 1000.0 + waited)
    repairs.drifted(1000.0 + waited + CALM, 600.0)
    assert (repairs.count, repairs.at) == (1, 1000.0 + waited + CALM)
