"""Splitting a stream into lines."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from controller.kube.stream import LineSplitter

TEXTS = st.lists(st.sampled_from([b"a", b"bc", b"\n", b"\n\n", b"\r", b" "]), max_size=30).map(b"".join)


@given(TEXTS, st.lists(st.integers(min_value=0, max_value=40), max_size=10))
def test_lines_do_not_depend_on_how_the_text_was_cut(text: bytes, cuts: list[int]):
    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    splitter = LineSplitter()
    lines = []
    for start, end in pairwise(edges):
        lines += splitter.feed(text[start:end])
    assert lines == [line for line in text.split(b"\n")[:-1] if line]


def test_a_line_may_be_of_any_length():
    splitter = LineSplitter()
    chunk = b"x" * 65536
    for _ in range(100):
        assert splitter.feed(chunk) == []
    assert splitter.feed(b"\n") == [chunk * 100]


def test_an_unfinished_line_is_kept_back():
    splitter = LineSplitter()
    assert splitter.feed(b"whole\nhal") == [b"whole"]
    assert splitter.feed(b"f\n") == [b"half"]
