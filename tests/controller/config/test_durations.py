"""Durations: what they mean in seconds, and what is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.config import durations

MILLISECONDS = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000}
parts = st.lists(
    st.tuples(st.integers(0, 99_999), st.sampled_from(sorted(MILLISECONDS))), min_size=1, max_size=4
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("2s", 2.0),
        ("10m", 600.0),
        ("1h30m", 5400.0),
        ("250ms", 0.25),
        ("1m5ms", 60.005),
        ("0s", 0.0),
        ("5s5s", 10.0),
    ],
)
def test_a_duration_is_the_sum_of_its_parts_in_seconds(text, seconds):
    assert durations.seconds(text) == seconds


@pytest.mark.parametrize(
    "text",
    ["", "2", "s", "1.5s", "-2s", "+2s", "1d", "1s\n", " 1s", "123456s", "1s1s1s1s1s", "1S", "1 s", "1µs"],
)
def test_anything_else_is_refused_by_name(text):
    with pytest.raises(ValueError, match="is no duration") as caught:
        durations.seconds(text)
    assert repr(text) in str(caught.value)


@given(parts)
def test_every_sum_of_up_to_four_parts_is_read_exactly(given_parts):
    text = "".join(f"{number}{unit}" for number, unit in given_parts)
    assert len(text) <= durations.LONGEST
    assert durations.seconds(text) == sum(n * MILLISECONDS[unit] for n, unit in given_parts) / 1000
