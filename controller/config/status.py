"""The ConfigTemplate's status: the publisher writes it, users read it, the CRD has its schema from here."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from controller.config.fields import Named
from controller.config.model import Target
from controller.config.rules import Unique
from controller.config.schema import Schema

_Counter = Annotated[int, Field(ge=0, json_schema_extra={"format": "int64"})]
_Name = Annotated[str, Field(max_length=253)]


class Condition(Schema):
    """One aspect of the state, as in every Kubernetes API."""

    type: Annotated[str, Field(max_length=316)]
    """Ready, ConfigValid, WatchesSynced or Published."""
    status: Literal["True", "False", "Unknown"]
    """Whether it is so."""
    observed_generation: _Counter | None = None
    """The generation that this is about."""
    last_transition_time: datetime
    """When `status` last changed."""
    reason: Annotated[
        str, Field(min_length=1, max_length=1024, pattern="^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
    ]
    """Why, in one word for programs."""
    message: Annotated[str, Field(max_length=32768)]
    """Why, in words for people."""


class OutputStatus(Schema):
    """What was last published of one output."""

    name: _Name
    """The output."""
    target: Target
    """Where it went."""
    checksum: Annotated[str, Field(max_length=128)] | None = None
    """Of the text. Left out if the ConfigTemplate watches Secrets."""
    bytes: _Counter
    """Length of the text in UTF-8."""
    published_at: datetime
    """When the target was last written."""


class WatchStatus(Schema):
    """What is known of one watch."""

    name: _Name
    """The watch."""
    objects: _Counter
    """How many objects there were when the status was written; not kept up to date by itself."""


class ConfigTemplateStatus(Schema):
    """What became of the spec."""

    observed_generation: _Counter | None = None
    """The generation that was last looked at."""
    generation_in_force: _Counter | None = None
    """The generation that is rendered and published: the last valid one."""
    conditions: Annotated[tuple[Condition, ...], Field(max_length=16), Unique("type")] = ()
    """Ready, ConfigValid, WatchesSynced and Published."""
    outputs: Named[OutputStatus] = ()
    """What was published."""
    watches: Named[WatchStatus] = ()
    """What is watched."""
    last_handled_reconcile_at: Annotated[str, Field(max_length=256)] | None = None
    """The value of the annotation kopfbus.dev/reconcile-requested-at that was last acted on."""
