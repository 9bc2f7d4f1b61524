"""Durations as Kubernetes writes them (`90s`, `1h30m`, `500ms`), in seconds."""

from __future__ import annotations

import re

PATTERN = "^([0-9]{1,5}(h|m|s|ms)){1,4}$"
LONGEST = 28
"""Characters: four parts of five digits and two letters."""

_PART = re.compile("([0-9]{1,5})(h|ms|m|s)")
_MILLISECONDS = {"h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}


def seconds(text: str) -> float:
    """The sum of the parts, as Go's time.ParseDuration counts them. Raises ValueError for any other text."""
    if re.fullmatch(PATTERN, text) is None:
        raise ValueError(f"{text!r} is no duration: write numbers with h, m, s or ms, as in 1h30m")
    # Whole milliseconds first: adding floats would make 100ms and 0s100ms differ.
    return sum(int(number) * _MILLISECONDS[unit] for number, unit in _PART.findall(text)) / 1000
