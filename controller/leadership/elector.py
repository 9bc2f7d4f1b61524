"""Who leads: stands for the Lease, holds it, gives it back, and stands again (L1-L6).

    elector = Elector(client, name="kopfbus", namespace="edge", identity=make_identity(None), ...)
    await elector.run()  # until cancelled; then leaves office and releases the Lease

The rules follow client-go's leaderelection; where they differ, the comment says why.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
import uuid
from collections.abc import Awaitable, Callable
from typing import Final

import structlog

from controller.clock import Clock
from controller.kube.errors import ApiError
from controller.leadership.access import LeaseAccess, LeaseClient
from controller.leadership.fence import Term
from controller.leadership.lease import Lease
from controller.leadership.sighting import Sighting
from controller.leadership.tenure import Tenure
from controller.leadership.timer import back_off, time_limit
from controller.leadership.timings import JITTER, LeaseTimings

_log = structlog.get_logger("kopfbus.leadership")

_LONGEST_BACK_OFF: Final = 60.0
_LONGEST_WATCH_BACK_OFF: Final = 10.0


def make_identity(prefix: str | None) -> str:
    """Host name and a UUID: no two processes share one, whatever prefix they are given."""
    return "_".join(part for part in (prefix, socket.gethostname(), str(uuid.uuid4())) if part)


class Elector:
    """Takes part in one election for as long as `run` does; for one loop.

    For each term `on_started(term)` is called, and `on_stopped(term, reason)` once that has returned, failed
    or been cancelled: by then the fence is closed, and the Lease is released only after it. The office waits
    there for the writes in flight (`term.fence.wait_idle`); if one has not ended, or `on_stopped` raises, the
    Lease is not released but runs out. If `on_started` raises, the term ends and the next one is stood for
    after a back-off. `on_new_leader(identity)` is called whenever another holder than before is seen, oneself
    included.
    """

    def __init__(
        self,
        client: LeaseClient,
        *,
        name: str,
        namespace: str,
        identity: str,
        timings: LeaseTimings,
        clock: Clock,
        on_started: Callable[[Term], Awaitable[None]],
        on_stopped: Callable[[Term, str], Awaitable[None]],
        on_new_leader: Callable[[str], None],
    ) -> None:
        self.identity = identity
        self._access = LeaseAccess(client, name, namespace, timings)
        self._timings = timings
        self._clock = clock
        self._on_started = on_started
        self._on_stopped = on_stopped
        self._on_new_leader = on_new_leader
        self._sighting = Sighting(timings)
        self._released = asyncio.Event()
        self._reported = ""
        self._tenure: Tenure | None = None
        """The present term or the last one, told by its fence."""
        self._office_open = False
        self._claimed = False
        """Whether a write may have made this process the holder since it last gave the Lease back."""
        self._resigned = False
        self._failures = 0
        self._stands_from = clock.monotonic()

    @property
    def leader(self) -> str:
        """Who held the Lease when it was last seen; empty if nobody did."""
        return self._sighting.holder

    @property
    def is_leader(self) -> bool:
        """Whether this process may write now."""
        return self._tenure is not None and not self._tenure.fence.closed

    async def run(self) -> None:
        """Stand, lead, leave office, stand again, until cancelled; no failing call or callback ends it."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch())
            try:
                while True:
                    await self._serve(await self._campaign())
            finally:
                await self._release()  # a claim whose answer never came may have been carried out

    def resign(self, reason: str) -> None:
        """Leave office, if in office, give the Lease back, and stand again after a back-off."""
        if self._tenure is not None and not self._tenure.fence.closed:
            self._resigned = True
            self._tenure.fence.close(reason)

    async def verify(self, term: Term) -> bool:
        """Read the Lease afresh: is it still this term's? If not, the fence is closed.

        To be asked after a write was refused (404, 409, 422) or met a higher term. Raises KubeError or
        TimeoutError when the Lease cannot be read: then nothing is known, and the fence's deadline decides.
        """
        tenure = self._tenure
        if tenure is None or tenure.term is not term or tenure.fence.closed:
            return False
        return await tenure.verify()

    async def _campaign(self) -> Tenure:
        while True:
            self._released.clear()
            tenure = await self._attempt()
            if tenure is not None:
                return tenure
            await self._rest()

    async def _attempt(self) -> Tenure | None:
        try:
            async with time_limit(self._clock, self._timings.longest_call):
                return await self._look_and_take()
        except Exception as error:
            _log.warning("standing for the Lease failed", error=repr(error))
            return None

    async def _look_and_take(self) -> Tenure | None:
        lease = await self._access.read()
        self._saw(lease)
        now = self._clock.monotonic()
        free = now >= self._sighting.free_from or self._is_left_over(lease)
        return await self._take(lease) if free and now >= self._stands_from else None

    def _is_left_over(self, lease: Lease | None) -> bool:
        """Whether this process holds it without office: a claim's answer was lost, or a term not released.

        Such a Lease is taken at once, but as a new term: the targets must tell the two apart.
        """
        mine = lease is not None and lease.holder == self.identity
        return mine and (self._claimed or self._tenure is not None) and self._has_ended()

    async def _take(self, lease: Lease | None) -> Tenure | None:
        self._claimed = True
        began = self._clock.monotonic()
        try:
            taken = await self._access.take(lease, self.identity)
        except ApiError as error:
            if error.status == 409:
                return None  # somebody else was faster
            raise
        overtaken = self._sighting.number > taken.number  # the watch has told of a later change already
        self._saw(taken)
        tenure = Tenure(self._access, taken, taken_at=began, timings=self._timings, clock=self._clock)
        if overtaken or tenure.fence.closed:
            return None
        self._tenure = tenure
        return tenure

    async def _rest(self) -> None:
        """Wait a retry period with jitter, or less: until the Lease runs out or is released."""
        wait = self._timings.retry_period * (1 + JITTER * random.random())  # noqa: S311 -- spreads the candidates
        due = max(self._sighting.free_from, self._stands_from) - self._clock.monotonic()
        with contextlib.suppress(TimeoutError):
            async with time_limit(self._clock, due if 0 < due < wait else wait):
                await self._released.wait()

    async def _serve(self, tenure: Tenure) -> None:
        """One term. Renewals go on while the office starts: a slow start must not lose the Lease."""
        term, fence = tenure.term, tenure.fence
        _log.info("in office", term=term.resource_version, transitions=term.transitions)
        try:
            async with asyncio.TaskGroup() as tasks:
                office = tasks.create_task(self._start(term))
                renewals = tasks.create_task(tenure.keep())
                try:
                    await fence.wait_closed()
                finally:
                    fence.close("this replica is stopping")
                    office.cancel()
                    renewals.cancel()
        finally:
            await self._leave(tenure)

    async def _start(self, term: Term) -> None:
        self._office_open = True
        try:
            await self._on_started(term)
        except asyncio.CancelledError:
            self.resign("taking office was cancelled")  # by somebody else, if the fence is open
            raise
        except Exception as error:
            _log.exception("taking office failed")
            self.resign(f"taking office failed: {error}")

    async def _leave(self, tenure: Tenure) -> None:
        _log.info("leaving office", term=tenure.term.resource_version, reason=tenure.fence.reason)
        if self._office_open:
            try:
                await self._on_stopped(tenure.term, tenure.fence.reason)
                self._office_open = False
            except Exception:
                _log.exception("leaving office failed: the Lease is not released but runs out")
        self._plan(tenure)
        await self._release()

    def _plan(self, tenure: Tenure) -> None:
        """When to stand again: at once, or after a back-off if this replica's office has failed."""
        now = self._clock.monotonic()
        if not self._resigned or now - tenure.taken_at > _LONGEST_BACK_OFF:
            self._failures = 0
        if self._resigned:
            self._resigned = False
            self._failures += 1
            self._stands_from = now + back_off(self._failures, first=1.0, limit=_LONGEST_BACK_OFF)

    def _has_ended(self) -> bool:
        """Whether nothing of the last term can write any more: its office is left, its writes have ended."""
        return not self._office_open and (self._tenure is None or self._tenure.fence.idle)

    async def _release(self) -> None:
        """Give back what this process may hold; if it cannot or must not, the Lease runs out."""
        if not self._claimed:
            return
        if not self._has_ended():
            _log.warning("the last term's writes have not ended: the Lease is not released but runs out")
            return
        self._claimed = False
        try:
            async with time_limit(self._clock, self._timings.longest_call):
                await self._access.give_back(self.identity)
        except Exception as error:
            _log.warning("the Lease could not be released and runs out", error=repr(error))

    async def _watch(self) -> None:
        """Follow the Lease: releases and other people's changes are seen at once. Polling does without it."""
        failures = 0
        while True:
            began = self._clock.monotonic()
            try:
                await self._access.watch(self._watched)
            except Exception as error:
                _log.info("the watch on the Lease broke", error=repr(error))
            lasted = self._clock.monotonic() - began
            failures = 1 if lasted > _LONGEST_WATCH_BACK_OFF else failures + 1
            await self._clock.sleep(back_off(failures, first=0.1, limit=_LONGEST_WATCH_BACK_OFF))

    def _watched(self, kind: str, lease: Lease) -> None:
        if self._tenure is not None:
            self._tenure.watched(kind, lease)
        if self._sighting.watched(lease, self._clock.monotonic(), deleted=kind == "DELETED"):
            self._report()
        if self._sighting.released:
            self._released.set()

    def _saw(self, lease: Lease | None) -> None:
        self._sighting.read(lease, self._clock.monotonic())
        self._report()

    def _report(self) -> None:
        holder = self._sighting.holder
        if not holder or holder == self._reported:
            return
        self._reported = holder
        try:
            self._on_new_leader(holder)
        except Exception:
            _log.exception("on_new_leader failed")
