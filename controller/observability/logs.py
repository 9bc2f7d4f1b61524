"""Logging of the whole process: one line each on stderr, for people or for machines, without secrets (X3)."""

from __future__ import annotations

import logging
import os
import sys
from typing import Final, Literal

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

LogFormat = Literal["console", "json"]

LEVELS: Final = ("debug", "info", "warning", "error")
"""What may be asked for as the least level to show."""

_HANDLER: Final = "kopfbus"
"""The name of our handler on the root logger, by which a second call finds it."""

_FLOORS: Final = {"kopf": logging.WARNING, "kopf._core.reactor.running": logging.ERROR}
"""Loggers quieter than asked: kopf tells what our own events tell better, and warns of its thread."""

_CONTROL: Final = {code: repr(chr(code))[1:-1] for code in (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029)}
"""Characters that would break a line or steer a terminal, and what is written instead."""

_TRACEBACK_CONTROL: Final = {code: text for code, text in _CONTROL.items() if chr(code) not in "\t\n"}


def configure_logging(*, format: LogFormat, level: str) -> None:  # noqa: A002 - the setting's name: --log-format
    """Send structlog's and the standard library's loggers to stderr; call it again to change your mind.

    Tracebacks never show local variables: a rendered Secret may be one. Colours are for terminals, unless
    NO_COLOR is set. On the console a traceback follows its line; as JSON it is part of it.

    Raises
    ------
    ValueError
        If the level or the format is none of those known.
    """
    if level.lower() not in LEVELS:
        raise ValueError(f"--log-level {level}: choose one of {', '.join(LEVELS)}")
    if format not in {"console", "json"}:
        raise ValueError(f"--log-format {format}: choose console or json")
    least = logging.getLevelNamesMapping()[level.upper()]
    _configure_structlog()
    root = logging.getLogger()
    for old in [handler for handler in root.handlers if handler.get_name() == _HANDLER]:
        root.removeHandler(old)
    root.addHandler(_handler(format))
    root.setLevel(least)
    for name, floor in _FLOORS.items():
        logging.getLogger(name).setLevel(max(least, floor))


def _shared() -> list[Processor]:
    """What is added to every entry, ours or a library's."""
    return [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]


def _configure_structlog() -> None:
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_shared(),
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,  # or a second call would not reach loggers in use
    )


def _handler(format: LogFormat) -> logging.Handler:  # noqa: A002 - as above
    handler = logging.StreamHandler(sys.stderr)
    handler.set_name(_HANDLER)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=_shared(),
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,  # plain text; structlog's and rich's own show locals
                *_renderers(format),
            ],
        )
    )
    return handler


def _renderers(format: LogFormat) -> list[Processor]:  # noqa: A002 - as above
    if format == "json":
        return [structlog.processors.JSONRenderer()]
    colours = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    return [
        _keep_to_one_line,
        structlog.dev.ConsoleRenderer(
            colors=colours, pad_event_to=0, exception_formatter=structlog.dev.plain_traceback
        ),
    ]


def _keep_to_one_line(_logger: WrappedLogger, _method: str, entry: EventDict) -> EventDict:
    """Escape control characters: a message must not forge a second line, or colour the terminal."""
    for key, value in entry.items():
        if isinstance(value, str):
            entry[key] = value.translate(_TRACEBACK_CONTROL if key in {"exception", "stack"} else _CONTROL)
    return entry
