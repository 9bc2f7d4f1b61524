"""The last so many items, for debug endpoints and tests."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Generic, TypeVar

_T = TypeVar("_T")


class RingBuffer(Generic[_T]):
    """Keeps the newest `capacity` items. Appending and copying are atomic under the interpreter lock."""

    __slots__ = ("_items",)

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"a ring buffer holds at least one item, not {capacity}")
        self._items: deque[_T] = deque(maxlen=capacity)

    def append(self, item: _T) -> None:
        """Add the newest item; the oldest goes when there is no room."""
        self._items.append(item)

    def last(self, count: int | None = None) -> list[_T]:
        """The newest `count` items (all of them by default), oldest first."""
        items = list(self._items.copy())
        return items if count is None else items[max(0, len(items) - count) :]

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[_T]:
        return iter(self.last())
