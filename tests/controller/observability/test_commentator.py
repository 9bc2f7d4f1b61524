"""The commentator: a sentence for every type, at the right level, with nothing secret in it."""

from __future__ import annotations

import logging
from dataclasses import fields

import pytest
import structlog

from controller.events import (
    ConfigInvalid,
    ConfigResourceChanged,
    ConfigValidated,
    OutputValidationRequest,
    ResourceIndexUpdated,
    ValidationFailed,
)
from controller.observability.commentator import RECENT_EVENTS, Commentator
from controller.observability.remarks import LONGEST_TEXT, PROBLEMS_SHOWN, REMARKS, Remark, brief, details
from controller.problems import Problem
from events import Event, EventBus, Request, Response, event, handling
from tests.controller.observability.conftest import handled
from tests.controller.observability.samples import SECRET, catalogue, one_of_each, sample

SHOULD_NEVER_SHOW = {"body", "spec"}


@event("tests.observability.unheard", key=("place", "number"))
class Unheard(Event):
    place: str
    number: int
    text: str


@pytest.mark.parametrize("cls", catalogue(), ids=lambda cls: cls.event_type)
def test_every_type_of_the_catalogue_has_its_sentence(cls):
    remark = REMARKS[cls]
    assert remark.sentence
    known = {field.name for field in fields(cls)}
    assert set(remark.fields) <= known - SHOULD_NEVER_SHOW


@pytest.mark.parametrize("cls", catalogue(), ids=lambda cls: cls.event_type)
def test_failures_warn_and_questions_whisper(cls):
    words = cls.event_type.split(".")
    if {"failed", "invalid"} & set(words):
        assert REMARKS[cls].level >= logging.WARNING
    if issubclass(cls, Request | Response) or cls in {ResourceIndexUpdated, ConfigResourceChanged}:
        assert REMARKS[cls].level == logging.DEBUG


@pytest.mark.parametrize("cls", catalogue(), ids=lambda cls: cls.event_type)
def test_no_text_spec_or_value_is_shown(cls):
    assert SECRET not in repr(details(sample(cls), str))


@pytest.mark.parametrize("cls", catalogue(), ids=lambda cls: cls.event_type)
def test_details_are_plain_values(cls):
    for value in details(sample(cls), brief).values():
        assert isinstance(value, str | int | float) or all(isinstance(item, str) for item in value)
        assert not str(value).startswith("<")


def test_even_a_spec_named_by_mistake_shows_by_its_type_only(monkeypatch):
    monkeypatch.setitem(REMARKS, ConfigValidated, Remark(logging.INFO, "in force", ("spec",)))
    assert details(sample(ConfigValidated), str) == {"spec": "<ConfigTemplateSpec>"}


async def test_a_line_tells_what_happened_to_what_and_why(running):
    bus, commentator = EventBus(), Commentator()
    cause = sample(ConfigInvalid)
    with structlog.testing.capture_logs() as logs, handling(cause):
        async with running(bus, commentator) as runtime:
            bus.publish(sample(ConfigValidated))
            await handled(runtime)
    assert logs == [
        {
            "event": "configuration in force",
            "log_level": "info",
            "type": "config.validated",
            "correlation_id": cause.id,
            "template": "edge/web",
            "generation": 3,
        }
    ]


async def test_a_refusal_shows_the_line_and_a_caret_in_the_log_and_only_the_place_afterwards(running):
    bus, commentator = EventBus(), Commentator()
    with structlog.testing.capture_logs() as logs:
        async with running(bus, commentator) as runtime:
            bus.publish(sample(ValidationFailed))
            await handled(runtime)
    (logged,) = logs[0]["problems"]
    remembered = commentator.recent.last()[0].details["problems"]
    assert logged.endswith("  server {{ hots }}\n             ^")
    assert remembered == ["spec.outputs[0].template: haproxy.cfg line 3, column 12: 'hots' is undefined"]


async def test_an_unknown_type_gets_a_line_with_its_name_and_key(running):
    bus, commentator = EventBus(), Commentator()
    with structlog.testing.capture_logs() as logs:
        async with running(bus, commentator) as runtime:
            bus.publish(Unheard(place="here", number=7, text=SECRET))
            await handled(runtime)
    assert (logs[0]["event"], logs[0]["key"]) == ("tests.observability.unheard", "here/7")
    assert SECRET not in repr(logs)


async def test_every_type_is_commented_without_a_failure(running):
    bus, commentator = EventBus(), Commentator()
    published = one_of_each()
    async with running(bus, commentator) as runtime:
        for each in published:
            bus.publish(each)
        await handled(runtime)
        assert [host.failures for host in runtime.hosts] == [0]
    assert [summary.id for summary in commentator.recent] == [each.id for each in published]


async def test_the_last_events_are_remembered_with_cause_and_time(running):
    bus, commentator = EventBus(), Commentator()
    async with running(bus, commentator) as runtime:
        for _ in range(RECENT_EVENTS):
            bus.publish(sample(ResourceIndexUpdated))
        cause = sample(OutputValidationRequest)
        with handling(cause):
            bus.publish(sample(ConfigValidated))
        await handled(runtime)
    assert len(commentator.recent) == RECENT_EVENTS
    newest = commentator.recent.last(1)[0]
    assert (newest.type, newest.level, newest.causation_id) == ("config.validated", "info", cause.id)
    assert newest.created_at.endswith("+00:00")


def test_many_or_long_problems_are_cut():
    problems = tuple(Problem(message="x" * 5000) for _ in range(PROBLEMS_SHOWN + 5))
    refused = ConfigInvalid(template="edge/web", uid="u", generation=1, reason="r", problems=problems)
    shown = details(refused, str)["problems"]
    assert isinstance(shown, list)
    assert shown[-1] == "and 5 more"
    assert [len(text) for text in shown[:-1]] == [LONGEST_TEXT] * PROBLEMS_SHOWN


def test_empty_fields_are_left_out():
    refused = ConfigInvalid(template="edge/web", uid="u", generation=1, reason="", problems=())
    assert details(refused, str) == {"template": "edge/web", "generation": 1}
