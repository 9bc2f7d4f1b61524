"""One finding about a ConfigTemplate or an output: what is wrong, where, and who found it (P5, X3)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One finding. Lines and columns count from 1; immutable, so it may cross threads."""

    message: str
    path: str = ""
    """Field path in the object, for example `spec.outputs[0].template`."""
    template: str = ""
    """Name of the output or snippet that `line` and `column` refer to."""
    line: int | None = None
    column: int | None = None
    source_line: str | None = None
    validator: str = ""
    reason: str = ""
    """The condition reason it leads to, where it has one of its own, for example `TemplateError`."""

    @property
    def place(self) -> str:
        """Where it is, in words: the field path, then template, line and column."""
        inside = self.template
        if self.line is not None:
            inside += f" line {self.line}" if inside else f"line {self.line}"
            if self.column is not None:
                inside += f", column {self.column}"
        return ": ".join(part for part in (self.path, inside) if part)

    def __str__(self) -> str:
        text = f"{self.place}: {self.message}" if self.place else self.message
        if self.source_line is None:
            return text
        text += f"\n  {self.source_line}"
        if self.column is not None:
            # Tabs are repeated, so that the caret stands below its character whatever their width.
            lead = "".join("\t" if char == "\t" else " " for char in self.source_line[: self.column - 1])
            text += f"\n  {lead}^"
        return text

    def redacted(self) -> Problem:
        """The same finding with position and kind only: for ConfigTemplates that watch Secrets (X3)."""
        return replace(
            self, message="details withheld: this ConfigTemplate watches Secrets", source_line=None
        )


def summary(problems: Iterable[Problem], *, limit: int = 1024) -> str:
    """All problems as one text of at most `limit` characters, for a condition's or an Event's message."""
    text = "\n".join(str(problem) for problem in problems)
    return text if len(text) <= limit else text[: limit - 1] + "…"
