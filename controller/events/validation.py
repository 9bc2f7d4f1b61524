"""Rendered outputs before the validators, and what they said (P3)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from events import Event, Request, Response, event

if TYPE_CHECKING:
    from controller.config.model import Target
    from controller.problems import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedOutput:
    """One rendered text on its way to its target. The text never shows in a representation (X3)."""

    template: str
    name: str
    text: str = field(repr=False)
    format: str
    target: Target
    allow_empty: bool = False
    sensitive: bool = False


@event("output.validation.request", key="template")
class OutputValidationRequest(Request):
    """Asks every validator of stage OUTPUT about all outputs of one render."""

    template: str
    outputs: tuple[RenderedOutput, ...]


@event("output.validation.response")
class OutputValidationResponse(Response):
    """One validator's findings; none means yes."""

    problems: tuple[Problem, ...] = ()


@event("validation.completed", key="template")
class ValidationCompleted(Event):
    """Every validator agreed: this render may be published."""

    template: str
    uid: str
    generation: int
    reconciliation: str
    outputs: tuple[RenderedOutput, ...]


@event("validation.failed", key="template")
class ValidationFailed(Event):
    """A validator refused, failed or did not answer: nothing is published."""

    template: str
    uid: str
    generation: int
    reconciliation: str
    reason: str
    problems: tuple[Problem, ...]
