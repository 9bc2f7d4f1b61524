"""The ring buffer keeps the newest so many items."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from events import RingBuffer


@given(capacity=st.integers(1, 10), items=st.lists(st.integers(), max_size=30), count=st.integers(0, 40))
def test_it_holds_the_newest_items_oldest_first(capacity, items, count):
    ring: RingBuffer[int] = RingBuffer(capacity)
    for item in items:
        ring.append(item)
    kept = items[-capacity:]
    assert list(ring) == ring.last() == kept
    assert len(ring) == len(kept)
    assert ring.last(count) == (kept[-count:] if count else [])


def test_what_it_returns_is_a_copy():
    ring: RingBuffer[int] = RingBuffer(2)
    ring.append(1)
    ring.last().append(2)
    assert ring.last() == [1]


def test_it_may_grow_while_it_is_iterated():
    ring: RingBuffer[int] = RingBuffer(10)
    ring.append(1)
    for item in ring:
        ring.append(item + 1)
    assert ring.last() == [1, 2]


@pytest.mark.parametrize("capacity", [0, -1])
def test_it_holds_at_least_one(capacity):
    with pytest.raises(ValueError, match="at least one"):
        RingBuffer(capacity)
