"""Renders: how they ended. The text itself travels only in validation events, wrapped (X3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from events import Event, event

if TYPE_CHECKING:
    from controller.problems import Problem


@event("template.rendered", fact=True)
class TemplateRendered(Event):
    """All outputs of a ConfigTemplate were rendered: their sizes in bytes, and how long it took."""

    template: str
    generation: int
    reconciliation: str
    outputs: tuple[tuple[str, int], ...]
    seconds: float


@event("template.render.failed", key="template")
class TemplateRenderFailed(Event):
    """A render failed, or was ended for its limits. It is retried when something changes (P9)."""

    template: str
    uid: str
    generation: int
    reconciliation: str
    reason: str
    problem: Problem
