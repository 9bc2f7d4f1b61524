"""The commentator's words: for each type of event a level, a sentence, and the fields worth showing.

Fields are named one by one, so that nothing with a text, a spec or values in it can slip in (X3).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from controller import events
from controller.problems import Problem
from events import Event

Detail = str | int | float | list[str]

PROBLEMS_SHOWN: Final = 10
"""How many problems of one event are shown; the rest is counted."""

LONGEST_TEXT: Final = 1024
"""Characters of a message that are shown."""


@dataclass(frozen=True, slots=True)
class Remark:
    """What is said of one type."""

    level: int
    sentence: str
    fields: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What is remembered of an event: no text, no spec, no values (X3)."""

    id: str
    type: str
    created_at: str
    level: str
    sentence: str
    correlation_id: str
    causation_id: str | None
    details: dict[str, Detail]


def _remark(level: int, sentence: str, *fields: str) -> Remark:
    return Remark(level, sentence, fields)


_debug = partial(_remark, logging.DEBUG)
_info = partial(_remark, logging.INFO)
_warning = partial(_remark, logging.WARNING)
_error = partial(_remark, logging.ERROR)

REMARKS: Final[Mapping[type[Event], Remark]] = {
    # The runtime has logged the failure as an error, with its traceback.
    events.ComponentFailed: _warning("a component failed and goes on", "component", "where", "error"),
    events.ConfigResourceChanged: _debug(
        "ConfigTemplate seen", "template", "source", "resource_version", "deleted"
    ),
    events.ConfigListComplete: _info("all ConfigTemplates listed", "generations", "term"),
    events.ConfigParsed: _debug("configuration read", "template", "generation"),
    events.ConfigParseFailed: _warning("configuration unreadable", "template", "generation", "problems"),
    events.ConfigDeleted: _info("ConfigTemplate deleted", "template"),
    events.ConfigValidationRequest: _debug("validators asked about configuration", "template", "generation"),
    events.ConfigValidationResponse: _debug("validator answered", "responder", "problems"),
    events.ConfigInvalid: _warning(
        "configuration refused", "template", "generation", "reason", "in_force", "problems"
    ),
    events.ConfigValidated: _info("configuration in force", "template", "generation"),
    events.ConfigRemoved: _info("configuration no longer in force", "template"),
    events.LeaderElectionStarted: _info("standing for election", "identity", "lease"),
    events.LeaderBecame: _info("took office", "identity", "term"),
    events.LeaderLost: _info("left office", "identity", "term", "reason"),
    events.LeaderObserved: _info("the Lease has another holder", "leader", "is_self"),
    events.ConfigPublished: _info(
        "outputs published", "template", "generation", "changed", "outputs", "targets", "reconciliation"
    ),
    events.ConfigPublishFailed: _error(
        "outputs not published", "template", "generation", "reason", "retry", "problems", "reconciliation"
    ),
    events.PublicationSuperseded: _info(
        "render dropped: its ConfigTemplate has changed", "template", "generation", "reconciliation"
    ),
    events.StatusUpdated: _debug("status up to date", "template", "generation", "changed"),
    events.DriftDetected: _warning("a target is not what was published", "template", "kind", "name", "what"),
    events.TargetContested: _warning(
        "somebody else keeps changing a target", "template", "kind", "name", "repairs", "seconds"
    ),
    events.ReconciliationTriggered: _info("reconciliation triggered", "template", "reason"),
    events.ReconciliationStarted: _debug(
        "reconciliation started", "template", "generation", "reason", "reconciliation"
    ),
    events.ReconciliationCompleted: _info(
        "reconciliation completed", "template", "generation", "outcome", "seconds", "reconciliation"
    ),
    events.ReconciliationFailed: _warning(
        "reconciliation failed",
        *("template", "generation", "phase", "reason", "seconds", "problems", "reconciliation"),
    ),
    events.TemplateRendered: _debug(
        "rendered", "template", "generation", "outputs", "seconds", "reconciliation"
    ),
    events.TemplateRenderFailed: _warning(
        "render failed", "template", "generation", "reason", "problem", "reconciliation"
    ),
    events.ResourceWatchStarted: _info("watch started", "template", "watch", "kind", "namespaces"),
    events.ResourceSyncComplete: _info("watch synchronized", "template", "watch", "objects"),
    events.IndexSynchronized: _info("everything watched is in the stores", "template", "generation", "term"),
    events.IndexDropped: _debug("watches ended", "template"),
    events.ResourceIndexUpdated: _debug(
        "watched objects changed", "template", "watch", "created", "modified", "deleted"
    ),
    events.ResourceWatchFailed: _warning(
        "a watch does not deliver",
        *("template", "watch", "kind", "namespace", "status", "reason", "message", "missing_rule"),
    ),
    events.ResourceWatchRecovered: _info("the watch delivers again", "template", "watch"),
    events.ResourceWatchStopped: _info("watch stopped", "template", "watch"),
    events.OutputValidationRequest: _debug("validators asked about outputs", "template", "outputs"),
    events.OutputValidationResponse: _debug("validator answered", "responder", "problems"),
    events.ValidationCompleted: _debug(
        "outputs valid", "template", "generation", "outputs", "reconciliation"
    ),
    events.ValidationFailed: _warning(
        "outputs refused", "template", "generation", "reason", "problems", "reconciliation"
    ),
}


def remark_on(event: Event) -> Remark:
    """What to say of an event; of an unknown type its name and its key."""
    known = REMARKS.get(type(event))
    return known or Remark(logging.INFO, event.event_type, ())


def summarize(event: Event) -> Summary:
    """An event as it is remembered."""
    remark = remark_on(event)
    return Summary(
        id=event.id,
        type=event.event_type,
        created_at=event.created_at.isoformat(),
        level=logging.getLevelName(remark.level).lower(),
        sentence=remark.sentence,
        correlation_id=event.correlation_id,
        causation_id=event.causation_id,
        details=details(event, brief),
    )


def details(event: Event, problem_text: Callable[[Problem], str]) -> dict[str, Detail]:
    """The fields to show with an event, empty ones left out; problems as `problem_text` puts them."""
    remark = REMARKS.get(type(event))
    if remark is None:
        return _key(event)
    shown = {name: _plain(getattr(event, name), problem_text) for name in remark.fields}
    return {name: value for name, value in shown.items() if value not in ("", None, [])}


def brief(problem: Problem) -> str:
    """A problem in one line, without the line of the source it is about."""
    return f"{problem.place}: {problem.message}" if problem.place else problem.message


def _key(event: Event) -> dict[str, Detail]:
    """What an event of an unknown type is about; in one field, as its names might clash with ours."""
    values = [getattr(event, name) for name in event.event_key_fields]
    return {"key": _cut("/".join(map(str, values)))} if values else {}


def _plain(value: object, problem_text: Callable[[Problem], str]) -> Detail | None:
    """A field as a log line or JSON may show it: anything that is not plain by its number or type only."""
    match value:
        case bool() | int() | None:
            return value
        case float():
            return round(value, 4)
        case str():
            return _cut(str(value))
        case Problem():
            return _cut(problem_text(value))
        case tuple():
            return _collection(value, problem_text)
        case _:
            return f"<{type(value).__name__}>"


def _collection(items: tuple[object, ...], problem_text: Callable[[Problem], str]) -> Detail:
    """Problems and names in words; of everything else how many."""
    if not all(isinstance(item, Problem | str) for item in items):
        return len(items)
    shown = [_cut(problem_text(item) if isinstance(item, Problem) else str(item)) for item in items]
    more = len(shown) - PROBLEMS_SHOWN
    return [*shown[:PROBLEMS_SHOWN], f"and {more} more"] if more > 0 else shown


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"
