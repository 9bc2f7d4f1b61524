"""Logging: one line each, UTC, no local variables, nothing that can forge a line."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
import structlog

from controller.observability.logs import configure_logging

pytestmark = pytest.mark.usefixtures("restored_logging")

FORMATS: tuple[Literal["console", "json"], ...] = ("console", "json")
LIBRARIES = ("kopf", "aiohttp.server", "kubernetes.aio.config", "kopfbus.events")


def lines(capsys) -> list[str]:
    text: str = capsys.readouterr().err
    return text.splitlines()


def entries(capsys) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines(capsys)]


def fail_with_a_secret_in_hand() -> None:
    password = "hunter" + str(len("xx"))
    raise RuntimeError(f"nothing of {len(password)} characters is shown")


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_librarys_entry_is_json_like_our_own(capsys, name):
    configure_logging(format="json", level="info")
    logging.getLogger(name).warning("lost %s", "it")
    structlog.get_logger("kopfbus.kube").warning("lost it", attempt=3)
    theirs, ours = entries(capsys)
    assert (theirs["event"], theirs["level"], theirs["logger"]) == ("lost it", "warning", name)
    assert (ours["event"], ours["level"], ours["logger"]) == ("lost it", "warning", "kopfbus.kube")
    assert ours["attempt"] == 3


def test_timestamps_are_utc_in_iso_format(capsys):
    configure_logging(format="json", level="info")
    logging.getLogger("kopf").warning("now")
    structlog.get_logger("kopfbus").warning("now")
    for entry in entries(capsys):
        when = datetime.fromisoformat(entry["timestamp"])
        assert when.utcoffset() == timedelta(0)
        assert abs(datetime.now(UTC) - when) < timedelta(minutes=1)


@pytest.mark.parametrize("form", FORMATS)
def test_a_message_cannot_forge_a_second_line_or_steer_the_terminal(capsys, form):
    configure_logging(format=form, level="info")
    evil = "one\n2026-01-01 [error] two\r\x1b[31m\x85\u2028three"
    logging.getLogger("kopf").warning(evil)
    structlog.get_logger("kopfbus").warning(evil, text=evil, several=[evil])
    captured = capsys.readouterr().err
    assert len(captured.splitlines()) == 2
    assert "\x1b" not in captured


@pytest.mark.parametrize("form", FORMATS)
def test_tracebacks_show_no_local_variables(capsys, form):
    configure_logging(format=form, level="info")
    for log in (structlog.get_logger("kopfbus"), logging.getLogger("aiohttp")):
        try:
            fail_with_a_secret_in_hand()
        except RuntimeError:
            log.exception("failed")
    text = capsys.readouterr().err
    assert text.count("RuntimeError: nothing of 7 characters is shown") == 2
    assert "hunter2" not in text


def test_a_json_traceback_is_part_of_its_line(capsys):
    configure_logging(format="json", level="info")
    try:
        fail_with_a_secret_in_hand()
    except RuntimeError:
        structlog.get_logger("kopfbus").exception("failed")
    (entry,) = entries(capsys)
    assert "fail_with_a_secret_in_hand" in entry["exception"]


def test_levels_below_the_one_asked_for_are_silent(capsys):
    configure_logging(format="json", level="WARNING")
    structlog.get_logger("kopfbus").info("no")
    logging.getLogger("aiohttp").info("no")
    structlog.get_logger("kopfbus").warning("yes")
    assert [entry["event"] for entry in entries(capsys)] == ["yes"]


@pytest.mark.parametrize(("level", "expected"), [("debug", ["told"]), ("error", [])])
def test_kopfs_talk_of_objects_starts_at_warning_or_what_was_asked_for(capsys, level, expected):
    configure_logging(format="json", level=level)
    logging.getLogger("kopf.objects").info("chatter")
    logging.getLogger("kopf.objects").warning("told")
    assert [entry["event"] for entry in entries(capsys)] == expected


def test_configuring_again_replaces_format_and_level_and_repeats_nothing(capsys):
    log = structlog.get_logger("kopfbus")
    configure_logging(format="console", level="error")
    log.error("first")
    configure_logging(format="json", level="debug")
    log.debug("second")
    logging.getLogger("kubernetes").debug("third")
    first, *rest = lines(capsys)
    assert "first" in first
    assert [json.loads(line)["event"] for line in rest] == ["second", "third"]


@pytest.mark.parametrize(
    ("terminal", "no_color", "coloured"), [(True, "", True), (True, "1", False), (False, "", False)]
)
def test_colours_are_for_terminals_unless_refused(capsys, monkeypatch, terminal, no_color, coloured):
    monkeypatch.setenv("NO_COLOR", no_color)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    configure_logging(format="console", level="info")
    structlog.get_logger("kopfbus").warning("seen")
    assert ("\x1b[" in capsys.readouterr().err) is coloured


def test_an_unknown_level_or_format_is_refused_by_the_name_of_its_flag():
    with pytest.raises(ValueError, match="--log-level loud: choose one of debug, info, warning, error"):
        configure_logging(format="json", level="loud")
    with pytest.raises(ValueError, match="--log-format xml: choose console or json"):
        configure_logging(format="xml", level="info")  # type: ignore[arg-type] # what a user may type
