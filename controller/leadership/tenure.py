"""A term from the Lease's side: renewing it, and noticing when it is no longer one's own (L1, L4)."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import structlog

from controller.clock import Clock
from controller.kube.errors import ApiError
from controller.leadership.access import LeaseAccess
from controller.leadership.fence import Fence, Term
from controller.leadership.lease import Lease
from controller.leadership.timer import time_limit
from controller.leadership.timings import LeaseTimings

_log = structlog.get_logger("kopfbus.leadership")


class Tenure:
    """Holds the Lease for one term, begun by writing `lease`; `taken_at` was read before that request."""

    def __init__(
        self, access: LeaseAccess, lease: Lease, *, taken_at: float, timings: LeaseTimings, clock: Clock
    ) -> None:
        self.taken_at = taken_at
        self.fence = Fence.for_lease(clock, timings, renewed_at=taken_at)
        self.term = Term(lease.holder, lease.resource_version, lease.transitions, self.fence)
        self._access = access
        self._timings = timings
        self._clock = clock
        self._own = lease
        self._unanswered: set[str] = set()
        """renewTime of the writes since `_own` whose outcome is not known: each may have been carried out."""

    async def keep(self) -> None:
        """Renew every retry period until the fence is closed, be it because no renewal succeeded."""
        tried_at = self.taken_at
        try:
            while not self.fence.closed:
                due = tried_at + self._timings.retry_period - self._clock.monotonic()
                await self._clock.sleep(min(due, self.fence.time_left))
                tried_at = self._clock.monotonic()
                if not self.fence.closed:
                    await self._attempt()
        finally:
            self.fence.close("renewing the Lease has ended")

    def watched(self, kind: str, lease: Lease) -> None:
        """Close the fence if a watch event tells of a change that is not this term's own."""
        if kind == "DELETED":
            if lease.uid == self._own.uid:
                self._disown(None)
        elif lease.number > self._own.number and not self._wrote(lease):
            self._disown(lease)

    async def verify(self) -> bool:
        """Read the Lease afresh: does it still name this holder and term? If not, the fence closes."""
        async with self._time_left():
            lease = await self._access.read()
        named = (
            lease is not None
            and (lease.uid, lease.holder) == (self._own.uid, self.term.identity)
            and lease.transitions == self.term.transitions
        )
        if not named:
            self._disown(lease)
        return not self.fence.closed

    async def _attempt(self) -> None:
        try:
            async with self._time_left():
                await self._renew()
        except Exception as error:
            left = round(self.fence.time_left, 1)
            _log.warning("renewing the Lease failed", error=repr(error), seconds_left=left)

    async def _renew(self) -> None:
        """PUT without reading first; a refusal may be due to an earlier renewal whose answer was lost."""
        try:
            await self._put()
        except ApiError as error:
            if error.status not in {404, 409}:
                raise
        else:
            return
        lease = await self._access.read()
        if lease is None or not self._is_own(lease):
            self._disown(lease)
            return
        self._own = lease
        await self._put()

    async def _put(self) -> None:
        began = self._clock.monotonic()
        obj = self._own.renewed()
        self._unanswered.add(obj["spec"]["renewTime"])
        self._own = await self._access.replace(obj)
        self._unanswered.clear()
        self.fence.renewed(began)

    def _is_own(self, lease: Lease) -> bool:
        return lease.resource_version == self._own.resource_version or self._wrote(lease)

    def _wrote(self, lease: Lease) -> bool:
        """Whether it is what one of the unanswered renewals would have left behind."""
        same_term = (lease.uid, lease.holder, lease.transitions) == (
            self._own.uid,
            self.term.identity,
            self.term.transitions,
        )
        return same_term and lease.renew_time in self._unanswered

    def _disown(self, lease: Lease | None) -> None:
        if lease is None:
            self.fence.close("the Lease was deleted")
        elif lease.holder != self.term.identity:
            self.fence.close(f"the Lease is held by {lease.holder or 'nobody'}")
        else:
            self.fence.close("the Lease was changed by somebody else")

    def _time_left(self) -> AbstractAsyncContextManager[None]:
        """Every call is bounded: by the time until the fence closes, and by what one attempt may take."""
        return time_limit(self._clock, min(self.fence.time_left, self._timings.longest_call))
