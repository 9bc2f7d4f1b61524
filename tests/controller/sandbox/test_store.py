"""The store: one counter, and a history that can be asked for any recent state."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.sandbox.builtin_kinds import CONFIG_MAP, SECRET
from controller.sandbox.store import HistoryGone, Store


def obj(name: str) -> dict[str, dict[str, str]]:
    return {"metadata": {"namespace": "ns", "name": name}}


def test_every_write_has_a_version_of_its_own():
    store = Store(10)
    store.put(CONFIG_MAP, obj("a"))
    store.put(SECRET, obj("a"))
    store.remove(CONFIG_MAP, ("ns", "a"))
    assert [change.version for change in store.since(0)] == [1, 2, 3]
    assert store.version == 3


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=30), st.integers(1, 40))
def test_every_state_in_the_history_can_be_had_back(writes, window):
    store = Store(window)
    states = {0: store.all(CONFIG_MAP)}
    for name, keep in writes:
        if keep:
            store.put(CONFIG_MAP, obj(name))
        elif ("ns", name) in store.all(CONFIG_MAP):
            store.remove(CONFIG_MAP, ("ns", name))
        states[store.version] = store.all(CONFIG_MAP)
    for version in range(max(0, store.version - window), store.version + 1):
        assert store.as_of(CONFIG_MAP, version) == states[version]


def test_a_version_beyond_the_window_is_gone():
    store = Store(3)
    for _ in range(7):
        store.put(CONFIG_MAP, obj("a"))
    with pytest.raises(HistoryGone) as gone:
        store.since(0)
    assert gone.value.oldest <= 7 - 3
    assert len(store.since(gone.value.oldest)) == 7 - gone.value.oldest


def test_nothing_has_happened_after_a_version_from_the_future():
    store = Store(3)
    store.put(CONFIG_MAP, obj("a"))
    assert store.since(100) == []


def test_forgetting_keeps_the_objects_and_the_counter():
    store = Store(3)
    store.put(CONFIG_MAP, obj("a"))
    store.put(CONFIG_MAP, obj("b"))
    store.forget_history()
    assert store.since(2) == []
    with pytest.raises(HistoryGone):
        store.since(1)
    assert len(store.all(CONFIG_MAP)) == 2


async def test_waiting_ends_with_the_first_write_beyond():
    store = Store(3)
    waiting = asyncio.create_task(store.wait_beyond(1))
    store.put(CONFIG_MAP, obj("a"))
    await asyncio.sleep(0)
    assert not waiting.done()
    store.put(CONFIG_MAP, obj("a"))
    await asyncio.wait_for(waiting, 1)
