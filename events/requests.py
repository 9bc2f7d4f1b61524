"""Scatter-gather: one request, many responders, one result (B7)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from events.event import Event

if TYPE_CHECKING:
    from collections.abc import Sequence

    from events.subscription import Hub


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Request(Event):
    """An event that asks. Its id is what responses name."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Response(Event):
    """An event that answers: `request_id` is the request's id, `responder` who answers."""

    request_id: str
    responder: str


R = TypeVar("R", bound=Response)


@dataclass(frozen=True, slots=True)
class RequestResult(Generic[R]):
    """What came back."""

    responses: Mapping[str, R]
    """First answer of each expected responder, in the order of arrival."""
    missing: tuple[str, ...]
    """Expected responders that have not answered, in the order asked for."""
    unexpected: tuple[Response, ...]
    """Answers of others; they count for nothing."""


class BusClosed(RuntimeError):
    """The bus was closed: before the request, or while it waited."""


class RequestDropped(RuntimeError):
    """The bus was paused and its buffer full: the request never reached anyone."""


class RequestTimeout(TimeoutError):
    """Not all answered in time. `result` holds what came; the message names who is missing."""

    def __init__(self, message: str, result: RequestResult[Response]) -> None:
        super().__init__(message)
        self.result = result


class Pending:
    """One request under way. Filled under the bus's lock; awaited in the requester's loop."""

    __slots__ = (
        "_expected",
        "_minimum",
        "answered",
        "delivered",
        "dropped",
        "error",
        "hub",
        "responses",
        "unexpected",
    )

    def __init__(self, hub: Hub, expected: Sequence[str], minimum: int) -> None:
        self.hub = hub
        self._expected = tuple(expected)
        self._minimum = minimum
        self.responses: dict[str, Response] = {}
        self.unexpected: list[Response] = []
        self.delivered: asyncio.Future[None] = hub.loop.create_future()
        self.answered: asyncio.Future[None] = hub.loop.create_future()
        self.error: Exception | None = None

    def answer(self, response: Response) -> bool:
        """Take an answer; True when it completed the request."""
        if response.responder not in self._expected:
            self.unexpected.append(response)
            return False
        self.responses.setdefault(response.responder, response)
        return len(self.responses) == self._minimum

    def result(self) -> RequestResult[Response]:
        """What has come so far."""
        missing = tuple(name for name in self._expected if name not in self.responses)
        return RequestResult(dict(self.responses), missing, tuple(self.unexpected))


def check_responders(expected: Sequence[str], min_responses: int | None) -> int:
    """The number of answers that completes the request; ValueError if the call makes no sense."""
    if isinstance(expected, str):
        raise ValueError(f"expected_responders is a sequence of names, not the string {expected!r}")  # noqa: TRY004 - one kind of error for a bad call
    if not expected:
        raise ValueError("a request needs at least one expected responder")
    if len(set(expected)) != len(expected):
        raise ValueError(f"a responder is expected twice: {sorted(expected)}")
    minimum = len(expected) if min_responses is None else min_responses
    if not 1 <= minimum <= len(expected):
        raise ValueError(f"min_responses is {minimum}; it must lie between 1 and {len(expected)}")
    return minimum
