"""The status as a function of what is known."""

from __future__ import annotations

from typing import Any

import pytest

from controller.events import ReconciliationTriggered, TargetContested, Trigger
from controller.publisher.conditions import View, differs, status_of
from tests.support.news import (
    TEMPLATE,
    UID,
    invalid,
    publish_failed,
    published,
    render_failed,
    synchronized,
    validated,
    watch_failed,
)

NOW = "2026-01-02T03:04:05Z"
LATER = "2026-01-02T03:04:06Z"


def view(*, generation: int = 1, **more: Any) -> View:
    """A view in which everything is well."""
    known: dict[str, Any] = {
        "valid": validated(generation),
        "synchronized": synchronized(generation, objects=(("sources", 3),)),
        "outcome": published(generation),
        "published": published(generation),
    }
    return View(UID, **{**known, **more})


def conditions(view: View, present: dict[str, Any] | None = None, now: str = NOW) -> dict[str, Any]:
    status = status_of(view, present or {}, now)
    return {condition["type"]: condition for condition in status["conditions"]}


def verdict(condition: dict[str, Any]) -> tuple[str, str, int]:
    return condition["status"], condition["reason"], condition["observedGeneration"]


def contested() -> TargetContested:
    return TargetContested(template=TEMPLATE, kind="ConfigMap", name="proxy", repairs=5, seconds=2.0)


def test_ready_when_valid_synchronised_and_published():
    assert {kind: verdict(found) for kind, found in conditions(view()).items()} == {
        "Ready": ("True", "Succeeded", 1),
        "ConfigValid": ("True", "Valid", 1),
        "WatchesSynced": ("True", "Synced", 1),
        "Published": ("True", "Published", 1),
    }


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"valid": None, "invalid": invalid(1)}, "NoValidConfig"),
        ({"invalid": invalid(2)}, "TemplateError"),
        ({"valid": validated(suspend=True)}, "Suspended"),
        ({"synchronized": None}, "Syncing"),
        ({"watch_failures": {"sources": watch_failed()}}, "Forbidden"),
        ({"outcome": None}, "Progressing"),
        ({"valid": validated(2), "synchronized": synchronized(2)}, "Progressing"),
        ({"outcome": render_failed()}, "RenderFailed"),
        ({"contested": contested()}, "TargetContested"),
    ],
)
def test_not_ready_and_why(changes, reason):
    assert verdict(conditions(view(**changes))["Ready"])[:2] == ("False", reason)


def test_a_refused_generation_leaves_the_one_before_in_force():
    """P1: each condition carries the generation that it is about."""
    status = status_of(view(invalid=invalid(2)), {}, NOW)
    assert (status["observedGeneration"], status["generationInForce"]) == (2, 1)
    found = {condition["type"]: condition["observedGeneration"] for condition in status["conditions"]}
    assert found == {"Ready": 2, "ConfigValid": 2, "WatchesSynced": 1, "Published": 1}


def test_without_a_valid_generation_nothing_is_in_force():
    """`None` in a merge patch removes what an earlier replica has written."""
    status = status_of(View(UID, invalid=invalid(3)), {"generationInForce": 2}, NOW)
    assert status["generationInForce"] is None
    assert "WatchesSynced" not in {condition["type"] for condition in status["conditions"]}


def test_published_stays_true_with_the_older_generation_while_nothing_newer_was_tried():
    known = view(valid=validated(2), synchronized=synchronized(2))
    assert verdict(conditions(known)["Published"]) == ("True", "Published", 1)


def test_a_failure_tells_that_the_last_state_stays():
    message = conditions(view(outcome=render_failed()))["Published"]["message"]
    assert "line 3" in message
    assert "last published state stays" in message


def test_a_first_failure_promises_nothing():
    message = conditions(view(outcome=render_failed(), published=None))["Published"]["message"]
    assert "stays" not in message


@pytest.mark.parametrize("kind", ["WatchesSynced", "Published"])
def test_a_new_term_begins_with_what_was_known_before(kind):
    """A new leader is no change of state: no condition wavers until it has found out for itself."""
    present = status_of(view(), {}, NOW)
    fresh = View(UID, valid=validated())
    found = conditions(fresh, present, LATER)
    assert found[kind] == {entry["type"]: entry for entry in present["conditions"]}[kind]
    assert verdict(found["Ready"]) == ("True", "Succeeded", 1)


def test_a_new_generation_does_not_begin_with_the_watches_of_the_one_before():
    present = status_of(view(), {}, NOW)
    found = conditions(View(UID, valid=validated(2)), present, LATER)
    assert verdict(found["WatchesSynced"]) == ("False", "Syncing", 2)


def test_the_transition_time_changes_only_with_the_status():
    present = status_of(view(), {}, NOW)
    other_generation = conditions(view(generation=2), present, LATER)
    assert {found["lastTransitionTime"] for found in other_generation.values()} == {NOW}
    failed = conditions(view(outcome=render_failed()), present, LATER)
    assert failed["Published"]["lastTransitionTime"] == LATER
    assert failed["ConfigValid"]["lastTransitionTime"] == NOW


def test_several_failing_watches_are_all_named():
    failures = {name: watch_failed(name) for name in ("sources", "backends")}
    message = conditions(view(watch_failures=failures))["WatchesSynced"]["message"]
    assert "watch sources" in message
    assert "watch backends" in message
    assert "missing rule: list ingresses" in message


def test_however_many_watches_fail_the_message_fits():
    """The CRD takes 32,768 characters; one more and no status would be written at all."""
    failures = {str(number): watch_failed("w" * 1000) for number in range(64)}
    assert len(conditions(view(watch_failures=failures))["WatchesSynced"]["message"]) <= 4096


def test_counts_of_watched_objects_alone_are_no_reason_to_write():
    present = status_of(view(), {}, NOW, objects=(("sources", 3),))
    status = status_of(view(), present, LATER, objects=(("sources", 4),))
    assert status["watches"] == [{"name": "sources", "objects": 4}]
    assert not differs(status, present)


def test_what_is_the_same_is_not_written_again():
    present = status_of(view(), {}, NOW)
    assert not differs(status_of(view(), present, LATER), present)
    assert differs(status_of(view(outcome=render_failed()), present, LATER), present)


def test_an_output_tells_where_it_went_and_when():
    assert status_of(view(), {}, LATER)["outputs"] == [
        {
            "name": "hosts",
            "target": {"kind": "ConfigMap", "name": "proxy", "key": "hosts"},
            "checksum": "sha256:abc",
            "bytes": 22,
            "publishedAt": NOW,
        }
    ]


def test_no_checksum_where_it_must_not_be_shown():
    """X3."""
    known = view(published=published(checksum=""))
    assert "checksum" not in status_of(known, {}, NOW)["outputs"][0]


def test_content_that_was_there_before_keeps_its_time():
    present = status_of(view(), {}, NOW)
    known = view(published=published(published_at=""))
    assert status_of(known, present, LATER)["outputs"][0]["publishedAt"] == NOW


# --- requests and outcomes


def trigger(view: View) -> str:
    event = ReconciliationTriggered(template=TEMPLATE, reason=Trigger.REQUESTED)
    view.triggered(event)
    return event.id


def test_a_request_is_handled_when_a_later_reconciliation_has_ended():
    known = view(valid=validated(requested_at="t1"))
    known.ended(published(reconciliation="began before the request"))
    assert "lastHandledReconcileAt" not in status_of(known, {}, NOW)
    known.ended(publish_failed(reconciliation=trigger(known)))
    assert status_of(known, {}, NOW)["lastHandledReconcileAt"] == "t1"


def test_a_request_that_was_refused_stays_handled():
    """A reconciliation of the older generation in force must not bring its older request back."""
    known = view(valid=validated(requested_at="t1"), invalid=invalid(2, requested_at="t2"), handled="t2")
    known.ended(published(reconciliation=trigger(known)))
    assert known.handled == "t2"


def test_an_older_outcome_does_not_replace_the_newest_ones():
    """A render may fail while the one before it is still being written."""
    known = view(outcome=None, published=None)
    before, newest = trigger(known), trigger(known)
    known.ended(render_failed(reconciliation=newest))
    known.ended(published(reconciliation=before))
    assert verdict(conditions(known)["Published"])[:2] == ("False", "RenderFailed")
    assert len(status_of(known, {}, NOW)["outputs"]) == 1


def test_the_end_of_a_repair_ends_the_contest():
    known = view(contested=contested())
    known.ended(published(reconciliation=trigger(known)))
    assert verdict(conditions(known)["Published"]) == ("True", "Published", 1)
