"""The status as a function of what is known: no requests, no clock (section 7 of the promises)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from controller.events import (
    ConfigInvalid,
    ConfigPublished,
    ConfigPublishFailed,
    ConfigValidated,
    IndexSynchronized,
    PublishedOutput,
    ReconciliationTriggered,
    ResourceWatchFailed,
    TargetContested,
    TemplateRenderFailed,
    ValidationFailed,
)
from controller.problems import Problem, summary

Failure = TemplateRenderFailed | ValidationFailed | ConfigPublishFailed
Document = Mapping[str, Any]

UNCHANGED_TARGETS = "the last published state stays in place"


@dataclass(slots=True)
class View:
    """Everything a term knows of one ConfigTemplate. Of one uid: a new one begins with a new view."""

    uid: str
    valid: ConfigValidated | None = None
    invalid: ConfigInvalid | None = None
    synchronized: IndexSynchronized | None = None
    watch_failures: dict[str, ResourceWatchFailed] = field(default_factory=dict)
    outcome: ConfigPublished | Failure | None = None
    published: ConfigPublished | None = None
    contested: TargetContested | None = None
    trigger: str = ""
    """The newest reconciliation, and in `asked` the request that had been made when it was triggered."""
    asked: str = ""
    handled: str = ""

    @property
    def newest(self) -> int:
        """The newest generation that was judged."""
        return max(
            (judged.generation for judged in (self.valid, self.invalid) if judged is not None), default=0
        )

    @property
    def refused(self) -> ConfigInvalid | None:
        """The judgement on the newest generation, if it was a no."""
        invalid = self.invalid
        return invalid if invalid is not None and invalid.generation == self.newest else None

    def triggered(self, event: ReconciliationTriggered) -> None:
        """A reconciliation begins: a request made until now is handled when it ends."""
        newest = self.refused or self.valid
        self.trigger, self.asked = event.id, newest.requested_at if newest is not None else ""

    def ended(self, event: ConfigPublished | Failure) -> None:
        """A reconciliation has its outcome; an older one's does not replace that of the newest."""
        if isinstance(event, ConfigPublished):
            self.published = event
        if event.reconciliation == self.trigger:
            self.handled = self.asked
        elif self.outcome is not None and self.outcome.reconciliation == self.trigger:
            return
        self.outcome, self.contested = event, None


@dataclass(frozen=True, slots=True)
class Aspect:
    """One condition without its time."""

    type: str
    status: str
    reason: str
    message: str
    generation: int


def status_of(
    view: View, present: Document, now: str, *, objects: Iterable[tuple[str, int]] = ()
) -> dict[str, Any]:
    """The whole status as a merge patch: what is None is to be removed.

    `present` is the status in the cluster: of what this term has not yet found out, it says what was
    found before. `now` is the time of transitions, RFC 3339. `objects` counts those of each watch.
    """
    aspects = [_config_valid(view), _watches_synced(view, present), _published(view, present)]
    ready = _ready(view, aspects)
    status: dict[str, Any] = {
        "observedGeneration": view.newest,
        "generationInForce": view.valid.generation if view.valid else None,
        "conditions": [
            _condition(aspect, present, now) for aspect in (ready, *aspects) if aspect is not None
        ],
    }
    if view.handled:
        status["lastHandledReconcileAt"] = view.handled
    if view.published is not None:
        status["outputs"] = [_output(output, present, now) for output in view.published.outputs]
    if objects := tuple(objects):
        status["watches"] = [{"name": name, "objects": count} for name, count in objects]
    return status


def differs(status: Document, present: Document) -> bool:
    """Whether a status has to be written; counts of watched objects alone are no reason."""
    return any(present.get(name) != value for name, value in status.items() if name != "watches")


def _config_valid(view: View) -> Aspect:
    refused = view.refused
    if refused is not None:
        message = summary(refused.problems)
        return Aspect("ConfigValid", "False", refused.reason, message, refused.generation)
    return Aspect("ConfigValid", "True", "Valid", "all validators agreed", view.newest)


def _watches_synced(view: View, present: Document) -> Aspect | None:
    """Whether the generation in force is watched; what a term begins with is what was known before."""
    if view.valid is None:
        return None
    generation = view.valid.generation
    if view.watch_failures:
        failures = [view.watch_failures[name] for name in sorted(view.watch_failures)]
        message = summary((Problem(message=_watch_failure(failure)) for failure in failures), limit=4096)
        return Aspect("WatchesSynced", "False", failures[0].reason, message, generation)
    synchronized = view.synchronized
    if synchronized is None or synchronized.generation != generation:
        before = _find(present.get("conditions") or (), "WatchesSynced")
        if before is not None and before.get("observedGeneration") == generation:
            return Aspect("WatchesSynced", before["status"], before["reason"], before["message"], generation)
        return Aspect("WatchesSynced", "False", "Syncing", "the watched objects are being listed", generation)
    watches = _count(len(synchronized.objects), "watch", "watches")
    return Aspect("WatchesSynced", "True", "Synced", f"{watches} synchronised", generation)


def _watch_failure(failure: ResourceWatchFailed) -> str:
    text = f"watch {failure.watch}: {failure.message}"
    return f"{text}; missing rule: {failure.missing_rule}" if failure.missing_rule else text


def _published(view: View, present: Document) -> Aspect | None:
    """What came of the last attempt; before the first one of a term, what was known before stays."""
    outcome = view.outcome
    if view.contested is not None:
        contested = view.contested
        return Aspect(
            "Published",
            "False",
            "TargetContested",
            f"{contested.kind} {contested.name} was changed by another {contested.repairs} times in a row: "
            f"it is repaired in {contested.seconds:g} s",
            view.valid.generation if view.valid is not None else view.newest,
        )
    if isinstance(outcome, ConfigPublished):
        outputs, targets = len(outcome.outputs), len(outcome.targets)
        message = f"{_count(outputs, 'output', 'outputs')} in {_count(targets, 'target', 'targets')}"
        return Aspect("Published", "True", "Published", message, outcome.generation)
    if outcome is not None:
        problems = (outcome.problem,) if isinstance(outcome, TemplateRenderFailed) else outcome.problems
        message = summary(problems)
        if view.published is not None or present.get("outputs"):
            message += f"\n{UNCHANGED_TARGETS}"
        return Aspect("Published", "False", outcome.reason, message, outcome.generation)
    before = _find(present.get("conditions") or (), "Published")
    if before is None:
        return None
    generation = before.get("observedGeneration", 0)
    return Aspect("Published", before["status"], before["reason"], before["message"], generation)


def _ready(view: View, aspects: Iterable[Aspect | None]) -> Aspect:
    """Ready: valid, synchronised and published, all for the newest generation."""
    generation = view.newest
    valid, synced, published = aspects
    if view.valid is None:
        reason = valid.message if valid is not None else ""
        message = f"no valid configuration in force, targets are left as they are\n{reason}"
        return Aspect("Ready", "False", "NoValidConfig", message, generation)
    if valid is not None and valid.status != "True":
        message = f"generation {view.valid.generation} stays in force\n{valid.message}"
        return Aspect("Ready", "False", valid.reason, message, generation)
    if view.valid.spec.suspend:
        return Aspect("Ready", "False", "Suspended", "nothing is published or repaired", generation)
    if synced is not None and synced.status != "True":
        return Aspect("Ready", "False", synced.reason, synced.message, generation)
    if published is None or published.generation != generation:
        return Aspect("Ready", "False", "Progressing", "to be rendered and published", generation)
    if published.status != "True":
        return Aspect("Ready", "False", published.reason, published.message, generation)
    return Aspect("Ready", "True", "Succeeded", published.message, generation)


def _condition(aspect: Aspect, present: Document, now: str) -> dict[str, Any]:
    before = _find(present.get("conditions") or (), aspect.type)
    same = before is not None and before["status"] == aspect.status
    return {
        "type": aspect.type,
        "status": aspect.status,
        "observedGeneration": aspect.generation,
        "lastTransitionTime": before["lastTransitionTime"] if same and before is not None else now,
        "reason": aspect.reason,
        "message": aspect.message,
    }


def _find(conditions: Iterable[Document], kind: str) -> Document | None:
    return next((condition for condition in conditions if condition.get("type") == kind), None)


def _output(output: PublishedOutput, present: Document, now: str) -> dict[str, Any]:
    known = {entry["name"]: entry for entry in present.get("outputs") or ()}
    before = known.get(output.name, {}).get("publishedAt")
    entry: dict[str, Any] = {
        "name": output.name,
        "target": {"kind": output.target.kind, "name": output.target.name, "key": output.target.key},
        "bytes": output.size,
        "publishedAt": output.published_at or before or now,
    }
    if output.checksum:
        entry["checksum"] = output.checksum
    return entry


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
