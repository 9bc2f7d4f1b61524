"""Each expectation is met or not, and what was expected and found is told."""

from __future__ import annotations

from typing import Any

import pytest

from controller.cli.expectations import SHOWN_LINES, unmet
from controller.config.model import Expectation
from controller.problems import Problem

TEXT = "frontend web\nbackend shop\nbackend blog\n"
FAILED = Problem(message="no backend for shop", path="spec.outputs[0].template")


def problems(*expectations: dict[str, Any], rendered: str | Problem = TEXT) -> list[str]:
    parsed = [Expectation.model_validate(expectation) for expectation in expectations]
    result = rendered if isinstance(rendered, Problem) else {"cfg": rendered}
    return [str(problem) for problem in unmet(parsed, result, "spec.tests[0]")]


def of_output(rendered: str | Problem = TEXT, **expected: Any) -> str:
    return "\n".join(problems({"output": "cfg", **expected}, rendered=rendered))


@pytest.mark.parametrize(
    "expected",
    [
        {"contains": "shop\nbackend"},
        {"notContains": "shopping"},
        {"equals": TEXT},
        {"matches": r"(?m)^backend s\w+$"},
        {"count": {"text": "backend", "times": 2}},
        {"count": {"text": "server", "times": 0}},
    ],
)
def test_what_is_met_is_not_told(expected):
    assert of_output(**expected) == ""


@pytest.mark.parametrize(
    ("expected", "told"),
    [
        ({"contains": "shopping"}, "cfg must contain 'shopping'; it is:\n  | frontend web\n"),
        (
            {"notContains": "shop"},
            "cfg must not contain 'shop', but line 2 does; from there:\n  | backend shop\n",
        ),
        ({"matches": "^backend"}, "cfg must match '^backend'; it is:\n  | frontend web\n"),
        ({"count": {"text": "backend", "times": 3}}, "cfg contains 'backend' 2 times instead of 3"),
    ],
)
def test_what_is_not_met_is_told_with_what_was_found(expected, told):
    assert of_output(**expected).startswith(f"spec.tests[0].expect[0]: {told}")


def test_other_text_is_told_as_a_difference():
    told = of_output(equals=TEXT.replace("shop", "shops"))
    assert "  | -backend shops\n  | +backend shop\n" in told


def test_texts_that_differ_in_line_breaks_only_are_told_apart():
    """Their lines are equal, so a difference would be empty."""
    assert "differ in the line breaks only" in of_output(equals=TEXT.rstrip())


def test_a_long_text_is_cut():
    told = of_output("line\n" * (SHOWN_LINES + 5), contains="x")
    assert told.count("| line") == SHOWN_LINES
    assert told.endswith("... (5 more lines)")


def test_an_empty_text_is_called_so():
    assert of_output("", contains="x").endswith("must contain 'x'; it is empty")


def test_a_broken_regular_expression_is_told_with_its_place():
    assert of_output(matches="web|(shop") == (
        "spec.tests[0].expect[0].matches: line 1, column 5: "
        "not a regular expression: missing ), unterminated subpattern\n"
        "  web|(shop\n"
        "      ^"
    )


def test_an_expected_failure_is_met_by_its_message():
    assert problems({"error": "no backend"}, rendered=FAILED) == []


def test_another_failure_does_not_meet_it():
    (told,) = problems({"error": "no frontend"}, rendered=FAILED)
    assert "must fail with 'no frontend', but it failed with another message" in told
    assert "no backend for shop" in told


def test_success_does_not_meet_an_expected_failure():
    (told,) = problems({"error": "no backend"})
    assert told.endswith("must fail with 'no backend', but it succeeded")


def test_an_unexpected_failure_is_told_once():
    """However many expectations there are of the outputs that do not exist."""
    told = problems({"output": "cfg", "contains": "a"}, {"output": "cfg", "contains": "b"}, rendered=FAILED)
    assert told == [
        "spec.tests[0].expect[0]: the render failed: spec.outputs[0].template: no backend for shop"
    ]
