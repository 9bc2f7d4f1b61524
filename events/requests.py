"""Scatter-gather: one request, many responders, one result (B7)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from events.event import Event
from events.wakeups import Hub, Todo


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

    def __init__(self, message: str, result: RequestResult[Any]) -> None:
        super().__init__(message)
        self.result = result


class Pending:
    """One request under way: filled under the bus's lock, awaited in the requester's loop.

    Raises
    ------
    ValueError
        No responder, one named twice, or a minimum out of range.
    """

    def __init__(
        self, hub: Hub, request: Request, expected: Sequence[str], min_responses: int | None
    ) -> None:
        if not expected or isinstance(expected, str):
            raise ValueError(f"{request.event_type}: expected_responders is {expected!r}; give their names")
        if len(set(expected)) != len(expected):
            raise ValueError(f"{request.event_type}: a responder is expected twice: {sorted(expected)}")
        self._minimum = len(expected) if min_responses is None else min_responses
        if not 1 <= self._minimum <= len(expected):
            raise ValueError(
                f"{request.event_type}: min_responses is {min_responses};"
                f" it must lie between 1 and {len(expected)}"
            )
        self.id = request.id
        self._request = request
        self._expected = tuple(expected)
        self._hub = hub
        self._waiter: asyncio.Future[None] = hub.loop.create_future()
        self._responses: dict[str, Response] = {}
        self._unexpected: list[Response] = []
        self._error: Exception | None = None
        self._delivered_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None

    def delivered(self) -> None:
        """From now on the time for answers runs."""
        self._delivered_at = self._hub.loop.time()

    def answer(self, response: Response, todo: Todo) -> None:
        """Take an answer: the first of each expected responder counts."""
        if response.responder not in self._expected:
            self._unexpected.append(response)
        else:
            self._responses.setdefault(response.responder, response)
            if len(self._responses) >= self._minimum:
                self._hub.wake(self._waiter, todo)

    def fail(self, error: Exception, todo: Todo) -> None:
        """End the wait with an error, unless it is complete."""
        self._error = error
        self._hub.wake(self._waiter, todo)

    async def wait(self, timeout: float | None) -> RequestResult[Any]:
        """The result; `timeout` seconds for the delivery and, from then, as many for the answers."""
        if timeout is not None:
            self._timer = self._hub.loop.call_later(timeout, self._expire, timeout)
        try:
            await self._waiter
        finally:
            if self._timer is not None:
                self._timer.cancel()
        result = self._result()
        if len(result.responses) >= self._minimum:
            return result
        if self._error is not None:
            raise self._error
        late = f"no answer from {', '.join(result.missing)} within {timeout} s"
        if self._delivered_at is None:
            late = f"the bus stayed paused, {late}"
        raise RequestTimeout(f"{self._request.event_type}: {late}", result)

    def _expire(self, timeout: float) -> None:
        if self._waiter.done():
            return
        loop = self._hub.loop
        if self._delivered_at is not None and (rest := self._delivered_at + timeout - loop.time()) > 0:
            self._timer = loop.call_later(rest, self._expire, timeout)
        else:
            self._waiter.set_result(None)

    def _result(self) -> RequestResult[Any]:
        responses = dict(self._responses)  # at once: others may still be answering
        missing = tuple(name for name in self._expected if name not in responses)
        return RequestResult(responses, missing, tuple(self._unexpected))
