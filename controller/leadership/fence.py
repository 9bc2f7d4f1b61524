"""The check before a write: one fence per term, and once closed it stays closed (L3, L4).

    async with term.fence.write():  # raises FenceClosed when this replica may not write
        await client.replace(...)   # complete before: uid, resourceVersion and content fixed

"Why was this write refused?" is answered by the reason on the fence.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Self

from controller.clock import Clock, SystemClock
from controller.kube.errors import ApiError
from controller.leadership.timer import time_limit
from controller.leadership.timings import LeaseTimings


class FenceClosed(Exception):
    """The term is over and may not write any more; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"not written, this replica no longer leads: {reason}")
        self.reason = reason


class Fence:
    """One term's permission to write. For one loop; nothing here may be called from another thread.

    It closes when leadership is lost, or by itself when the last renewal is older than the renew deadline.
    """

    def __init__(
        self, clock: Clock, *, renewed_at: float, renew_deadline: float, lease_duration: float
    ) -> None:
        self._clock = clock
        self._renewed_at = renewed_at
        self._renew_deadline = renew_deadline
        self._lease_duration = lease_duration
        self._reason = ""
        self._closed = asyncio.Event()
        self._in_flight = 0
        self._none_in_flight = asyncio.Event()
        self._none_in_flight.set()
        self._unanswered_until = -math.inf

    @classmethod
    def for_lease(cls, clock: Clock, timings: LeaseTimings, *, renewed_at: float) -> Self:
        """Open for a term whose Lease was written at `renewed_at`, by a clock read before the request."""
        return cls(
            clock,
            renewed_at=renewed_at,
            renew_deadline=timings.renew_deadline,
            lease_duration=timings.lease_duration,
        )

    @classmethod
    def standalone(cls, clock: Clock | None = None) -> Self:
        """Open for a term without a Lease: it never expires, but can be closed (L7)."""
        return cls(clock or SystemClock(), renewed_at=0.0, renew_deadline=math.inf, lease_duration=math.inf)

    @property
    def closed(self) -> bool:
        """Whether `check` would fail now; what has expired closes here and now."""
        if not self._reason and self.time_left <= 0:
            self.close(f"the Lease was not renewed within {self._renew_deadline:g} s")
        return bool(self._reason)

    @property
    def reason(self) -> str:
        """Why it closed; empty while it is open."""
        return self._reason

    @property
    def time_left(self) -> float:
        """Seconds until it closes by itself, unless renewed before; negative when overdue."""
        return self._renewed_at + self._renew_deadline - self._clock.monotonic()

    @property
    def idle(self) -> bool:
        """Whether every write has ended: answered by the server, or unanswered and its lease time over."""
        return not self._in_flight and self._clock.monotonic() >= self._unanswered_until

    def check(self) -> None:
        """Return if this term may write at this moment, else raise FenceClosed."""
        if self.closed:
            raise FenceClosed(self._reason)

    def close(self, reason: str) -> None:
        """Let no further write pass, for ever. The first reason given stays."""
        if not self._reason:
            self._reason = reason
            self._closed.set()

    def renewed(self, at: float) -> None:
        """Take note of a renewal whose request began at `at`; the elector's alone. It reopens nothing."""
        if not self.closed:
            self._renewed_at = at

    @contextlib.asynccontextmanager
    async def write(self) -> AsyncIterator[None]:
        """Check, then count the body as a write in flight, bounded by the lease time left.

        FenceClosed before the body; TimeoutError from it when that time is over. There is no check after it:
        an answered write has happened, and an error would deny that. What reaches the server too late is
        refused for its resourceVersion.
        """
        self.check()
        lease_end = self._renewed_at + self._lease_duration
        self._in_flight += 1
        self._none_in_flight.clear()
        try:
            async with time_limit(self._clock, lease_end - self._clock.monotonic()):
                yield
        except BaseException as error:
            # Cancelled, out of time or cut off, the request may still be carried out: it has not ended.
            if not _refused(error) and math.isfinite(lease_end):
                self._unanswered_until = max(self._unanswered_until, lease_end)
            raise
        finally:
            self._in_flight -= 1
            if not self._in_flight:
                self._none_in_flight.set()

    async def wait_idle(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the writes in flight; whether every write has ended.

        An unanswered write is not waited for: nothing will tell when it ends, only its lease time.
        """
        with contextlib.suppress(TimeoutError):
            async with time_limit(self._clock, timeout):
                await self._none_in_flight.wait()
        return self.idle

    async def wait_closed(self) -> None:
        """Wait until somebody closes it, or finds it expired."""
        await self._closed.wait()


def _refused(error: BaseException) -> bool:
    """Whether the server answered that it did not write; after a 5xx it does not know itself."""
    return isinstance(error, ApiError) and error.status < 500


@dataclass(frozen=True, slots=True)
class Term:
    """One period of leadership, named by the resourceVersion of the Lease write that took office."""

    identity: str
    """Who leads: the Lease's holderIdentity."""
    resource_version: str
    """Written to targets as the term's annotation; empty without election (L7)."""
    transitions: int
    """The Lease's leaseTransitions; starts again when a Lease is re-created."""
    fence: Fence
    """Asked before every write of this term."""

    @property
    def number(self) -> int:
        """For comparing terms: the later one is higher; 0 without election."""
        return int(self.resource_version or 0)
