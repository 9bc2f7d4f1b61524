"""The garbage collector is off during first lists, and never stays off."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator

import pytest

from controller.kube import gcpause
from controller.kube.gcpause import GcPause


@pytest.fixture(autouse=True)
def collector() -> Iterator[None]:
    """Collecting is on before and after each test, and nothing stays frozen."""
    gc.enable()
    yield
    gc.unfreeze()
    gc.enable()


async def test_it_is_off_until_the_last_holder_leaves():
    pause = GcPause()
    with pause.hold():
        with pause.hold():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


async def test_an_error_turns_it_on_again():
    pause = GcPause()
    with pytest.raises(RuntimeError), pause.hold():
        raise RuntimeError
    assert gc.isenabled()


async def test_it_goes_on_at_the_deadline_though_somebody_still_holds_it(monkeypatch):
    monkeypatch.setattr(gcpause, "DEADLINE", 0.0)
    with GcPause().hold():
        assert not gc.isenabled()
        await asyncio.sleep(0.01)
        assert gc.isenabled()


async def test_after_a_deadline_the_next_one_may_have_it_off_again(monkeypatch):
    monkeypatch.setattr(gcpause, "DEADLINE", 0.0)
    pause = GcPause()
    with pause.hold():
        await asyncio.sleep(0.01)
    with pause.hold():
        assert not gc.isenabled()
    assert gc.isenabled()


async def test_a_collector_that_somebody_else_has_turned_off_stays_off():
    gc.disable()
    with GcPause().hold():
        pass
    assert not gc.isenabled()


async def test_what_lives_at_the_first_list_is_frozen_and_nothing_later():
    pause = GcPause()
    with pause.hold():
        frozen = gc.get_freeze_count()
    assert frozen > 0
    kept: list[list[int]] = [[] for _ in range(1000)]
    with pause.hold():
        assert gc.get_freeze_count() <= frozen
    assert len(kept) == 1000
