"""What the checks of formats have in common: how they say no."""

from __future__ import annotations

TOO_DEEP = "it is nested too deeply"


class Malformed(Exception):
    """A text is not of its format. `line` and `column` count from 1, where the parser tells them."""

    def __init__(self, message: str, line: int | None = None, column: int | None = None) -> None:
        super().__init__(message)
        self.line = line
        self.column = column
