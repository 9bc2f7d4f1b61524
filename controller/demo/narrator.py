"""Tells the story: with rich on a terminal, in plain lines otherwise."""

from __future__ import annotations

import difflib
import os
import sys

from rich.console import Console
from rich.panel import Panel
from rich.syntax import Syntax
from rich.text import Text

MOST_LINES = 24
"""How much of a text is shown."""


class Narrator:
    """Prints to stdout. `plain` is decided by NO_COLOR and by whether stdout is a terminal."""

    def __init__(self) -> None:
        self.plain = bool(os.environ.get("NO_COLOR")) or not sys.stdout.isatty()
        self._console = Console(no_color=self.plain, highlight=False)
        self._step = 0

    def step(self, title: str) -> None:
        """Begin a chapter."""
        self._step += 1
        if self.plain:
            print(f"\n{self._step}. {title}", flush=True)  # noqa: T201 - this is what the demo is for
        else:
            self._console.print()
            self._console.rule(f"[bold cyan]{self._step}. {title}", align="left")

    def say(self, text: str) -> None:
        """A sentence."""
        if self.plain:
            print(f"   {text}", flush=True)  # noqa: T201 - likewise
        else:
            self._console.print(Text(f"   {text}"))

    def good(self, text: str) -> None:
        """Something came true."""
        if self.plain:
            print(f"   ok: {text}", flush=True)  # noqa: T201 - likewise
        else:
            self._console.print(Text.assemble(("   ✓ ", "bold green"), text))

    def bad(self, text: str) -> None:
        """Something did not come true."""
        if self.plain:
            print(f"   FAILED: {text}", flush=True)  # noqa: T201 - likewise
        else:
            self._console.print(Text.assemble(("   ✗ ", "bold red"), text))

    def show(self, title: str, text: str, language: str = "text") -> None:
        """What the cluster says."""
        lines = text.rstrip().splitlines()
        if len(lines) > MOST_LINES:
            lines = [*lines[:MOST_LINES], f"... {len(lines) - MOST_LINES} more lines"]
        if self.plain:
            print(f"   --- {title}", *(f"   | {line}" for line in lines), sep="\n", flush=True)  # noqa: T201 - likewise
        else:
            body = Syntax("\n".join(lines), language, theme="ansi_dark", background_color="default")
            self._console.print(Panel(body, title=title, title_align="left", border_style="dim"))

    def diff(self, title: str, before: str, after: str) -> None:
        """What has changed."""
        lines = difflib.unified_diff(
            before.splitlines(), after.splitlines(), "before", "after", n=1, lineterm=""
        )
        self.show(title, "\n".join(lines), "diff")
