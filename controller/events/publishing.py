"""Targets and status: what was written to the cluster, what could not be, and what others changed there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from events import Event, event

if TYPE_CHECKING:
    from controller.config.model import Target
    from controller.problems import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedOutput:
    """One output as it now stands in its target; `checksum` is empty where it must not be shown (X3)."""

    name: str
    target: Target
    checksum: str
    size: int
    published_at: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedTarget:
    """One target object: what its data must hash to until the next publication."""

    kind: str
    name: str
    uid: str
    checksum: str


@event("config.published", key="template")
class ConfigPublished(Event):
    """All outputs of a render stand in their targets; `changed` tells whether anything had to be written."""

    template: str
    uid: str
    generation: int
    reconciliation: str
    outputs: tuple[PublishedOutput, ...]
    targets: tuple[PublishedTarget, ...]
    changed: bool


@event("config.publish.failed", key="template")
class ConfigPublishFailed(Event):
    """The targets are as they were, or only some were written. `retry`: trying again may help (P9)."""

    template: str
    uid: str
    generation: int
    reconciliation: str
    reason: str
    problems: tuple[Problem, ...]
    retry: bool


@event("publication.superseded", key="template")
class PublicationSuperseded(Event):
    """A render was dropped just before the fence: its ConfigTemplate has changed meanwhile (P3)."""

    template: str
    generation: int
    reconciliation: str


@event("status.updated", key="template")
class StatusUpdated(Event):
    """The status tells everything known so far; `changed`: it had to be written for that."""

    template: str
    generation: int
    changed: bool


@event("drift.detected", key=("template", "kind", "name"))
class DriftDetected(Event):
    """A target is not what was published: edited, deleted, or written by another."""

    template: str
    kind: str
    name: str
    what: str


@event("target.contested", key=("template", "kind", "name"))
class TargetContested(Event):
    """A target was changed again and again: the next repair waits so many seconds (P6)."""

    template: str
    kind: str
    name: str
    repairs: int
    seconds: float
