"""ConfigTemplates: seen, parsed, validated, gone. `template` is always `namespace/name`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import TYPE_CHECKING, Any

from events import Event, Request, Response, event

if TYPE_CHECKING:
    from controller.config.model import ConfigTemplateSpec
    from controller.problems import Problem


@event("config.resource.changed", key="template")
class ConfigResourceChanged(Event):
    """A ConfigTemplate was seen, by whichever source was first. Only the informer says `deleted`."""

    template: str
    source: str
    resource_version: str
    body: Mapping[str, Any] = field(repr=False)
    deleted: bool = False


@event("config.parsed", key="template")
class ConfigParsed(Event):
    """A new generation could be read; nobody has judged it yet."""

    template: str
    uid: str
    generation: int
    spec: ConfigTemplateSpec = field(repr=False)
    requested_at: str = ""


@event("config.parse.failed", key="template")
class ConfigParseFailed(Event):
    """A new generation does not follow the model (a CRD newer than this operator, for example)."""

    template: str
    uid: str
    generation: int
    problems: tuple[Problem, ...]
    requested_at: str = ""


@event("config.deleted", key="template")
class ConfigDeleted(Event):
    """The ConfigTemplate is gone, or has a deletionTimestamp."""

    template: str
    uid: str


@event("config.validation.request", key="template")
class ConfigValidationRequest(Request):
    """Asks every validator of stage CONFIG about a generation."""

    template: str
    generation: int
    spec: ConfigTemplateSpec = field(repr=False)


@event("config.validation.response")
class ConfigValidationResponse(Response):
    """One validator's findings; none means yes."""

    problems: tuple[Problem, ...] = ()


@event("config.invalid", key="template", retain=True)
class ConfigInvalid(Event):
    """A generation was refused. `in_force` is the generation that stays in force in this replica, if any."""

    template: str
    uid: str
    generation: int
    reason: str
    problems: tuple[Problem, ...]
    in_force: int | None = None
    requested_at: str = ""


@event("config.validated", key="template", retain=True, forgets=(ConfigInvalid,))
class ConfigValidated(Event):
    """A generation is in force."""

    template: str
    uid: str
    generation: int
    spec: ConfigTemplateSpec = field(repr=False)
    requested_at: str = ""


@event("config.removed", key="template", forgets=(ConfigValidated, ConfigInvalid))
class ConfigRemoved(Event):
    """Nothing of this ConfigTemplate is in force any more."""

    template: str
    uid: str


@event("config.list.complete")
class ConfigListComplete(Event):
    """All ConfigTemplates were read, by a LIST begun in `term` (L8), empty for the first one after the start.

    `generations` holds (template, uid, generation) of each; their `config.resource.changed` came before.
    """

    term: str
    generations: tuple[tuple[str, str, int], ...]
