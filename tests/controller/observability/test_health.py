"""Health: readiness says who is not ready, liveness who does not turn, in Kubernetes' words."""

from __future__ import annotations

import pytest
import structlog

from controller.observability.health import STALLED_AFTER, Health


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (True, "[+]config-list ok"),
        (False, "[-]config-list failed: not ready"),
        ("", "[-]config-list failed: not ready"),
        ("not listed yet", "[-]config-list failed: not listed yet"),
    ],
)
def test_a_readiness_check_says_yes_or_why_not(answer, line):
    report = Health({"config-list": lambda: answer}, {}).ready()
    assert report.ok is (answer is True)
    assert report.text(verbose=True).splitlines()[0] == line


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (True, ""),
        (0.0, ""),
        (STALLED_AFTER, ""),
        (False, "does not turn"),
        (STALLED_AFTER + 12, "has not turned for 42 s"),
    ],
)
def test_a_loop_lives_while_it_turns(answer, reason):
    report = Health({}, {"main-loop": lambda: answer}).alive()
    assert report.reasons == {"main-loop": reason}


def test_all_is_well_in_two_letters_and_in_full_on_request():
    report = Health({}, {"main-loop": lambda: True, "kopf-loop": lambda: 0.5}).alive()
    assert report.text(verbose=False) == "ok"
    assert report.text(verbose=True) == "[+]main-loop ok\n[+]kopf-loop ok\nlivez check passed\n"


def test_a_failure_is_listed_in_full_unasked():
    report = Health({"a": lambda: True, "b": lambda: "2 of 5 tried"}, {}).ready()
    assert report.text(verbose=False).splitlines() == [
        "[+]a ok",
        "[-]b failed: 2 of 5 tried",
        "[+]shutdown ok",
        "readyz check failed",
    ]


def test_a_check_that_raises_has_failed_and_only_the_log_says_why():
    def broken() -> bool:
        raise LookupError("s3cr3t")

    with structlog.testing.capture_logs() as logs:
        text = Health({"config-list": broken}, {}).ready().text(verbose=True)
    assert "[-]config-list failed: the check raised LookupError" in text
    assert "s3cr3t" not in text
    assert logs[0]["check"] == "config-list"


def test_going_down_ends_readiness_but_not_life():
    health = Health({"config-list": lambda: True}, {"main-loop": lambda: True})
    health.going_down()
    assert "[-]shutdown failed: the replica is going down" in health.ready().text(verbose=False)
    assert health.alive().ok
