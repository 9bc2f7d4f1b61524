"""The main process's side of the fork server: start it, hand it jobs, notice its end."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from asyncio.subprocess import DEVNULL, Process
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from controller.problems import Problem
from controller.templating.protocol import (
    KILL,
    LENGTH,
    NOTICE,
    ORDER,
    READY,
    RUN,
    Final,
    Found,
    Frame,
    Working,
    decode_frame,
)

_START_LIMIT = 30.0
"""Seconds for Python to start and import, on a busy machine."""
_ANSWER_LIMIT = 1.0
"""Seconds for the fork server to kill a child and say so, or to exit."""
_BUFFER = 1 << 20
_KEPT_VARIABLES = ("LD_LIBRARY_PATH", "PYTHONHOME")
"""Some installations of Python do not start without them."""


class WorkerLost(Exception):
    """The fork server did not start, is gone, or does not answer."""


@dataclass(slots=True)
class Outcome:
    """How a job went: what its child said and, if that was not all, how the child ended."""

    working: Working | None = None
    """The last template it turned to."""
    problems: list[Problem] = field(default_factory=list)
    final: Final | None = None
    exit_code: int | None = None
    """Minus the signal that ended it; None for a child that was still running at the deadline."""

    def take(self, frame: Frame) -> None:
        """Note what the child said."""
        match frame:
            case Working():
                self.working = frame
            case Found():
                self.problems.append(frame.problem)
            case _:
                self.final = frame


class Worker:
    """One fork server. Belongs to the event loop that started it."""

    def __init__(self, process: Process, control: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self.lost = False
        self._process = process
        self._control = control
        self._numbers = count(READY + 1)
        self._up: asyncio.Future[int] = loop.create_future()
        self._exits: dict[int, asyncio.Future[int]] = {READY: self._up}
        """By job, the exit code of its child; done with an arbitrary one when the fork server is lost."""
        loop.add_reader(control, self._notice)

    @classmethod
    async def start(cls) -> Worker:
        """A fork server that is up. Raises WorkerLost."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        try:
            with theirs:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *("-P", "-m", "controller.templating.worker"),
                    stdin=theirs.fileno(),
                    stdout=DEVNULL,
                    env=_environment(),
                    start_new_session=True,  # Ctrl-C is for the main process
                )
        except OSError as error:
            ours.close()
            raise WorkerLost(f"the render worker did not start: {error}") from None
        worker = cls(process, ours)
        try:
            await asyncio.wait([worker._up], timeout=_START_LIMIT)
        except asyncio.CancelledError:
            await worker.stop()
            raise
        if worker.lost or not worker._up.done():
            code = await worker.stop()
            raise WorkerLost(f"the render worker did not start (exit code {code}): see its standard error")
        return worker

    @property
    def pid(self) -> int:
        """The fork server's process id."""
        return self._process.pid

    async def run(self, request: bytes, deadline: float) -> Outcome:
        """Have a child do a job, and kill it after `deadline` seconds or if cancelled. Raises WorkerLost."""
        job = next(self._numbers)
        exited = self._exits[job] = asyncio.get_running_loop().create_future()
        if self.lost:
            exited.set_result(0)
        outcome = Outcome()
        try:
            async with asyncio.timeout(deadline):
                await self._converse(job, request, outcome)
                if outcome.final is None:
                    outcome.exit_code = await asyncio.shield(exited)
        except TimeoutError:
            await self._kill(job)
        finally:
            if outcome.final is None and not exited.done():
                self._order(KILL, job)
            del self._exits[job]
        if self.lost and outcome.final is None:
            raise WorkerLost("the render worker died")
        return outcome

    async def stop(self) -> int:
        """End the fork server and, with it, all its children; returns its exit code."""
        self._lose()
        try:
            async with asyncio.timeout(_ANSWER_LIMIT):
                return await self._process.wait()
        except TimeoutError:
            self._process.kill()
            return await self._process.wait()

    async def _converse(self, job: int, request: bytes, outcome: Outcome) -> None:
        """Send the request, take frames until the final one or the end of the child."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._order(RUN, job, theirs)
        reader, writer = await asyncio.open_unix_connection(sock=ours, limit=_BUFFER)
        try:
            writer.write(LENGTH.pack(len(request)))
            writer.write(request)
            # A connection that breaks off says no more than one that ends.
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                while outcome.final is None:
                    (length,) = LENGTH.unpack(await reader.readexactly(LENGTH.size))
                    outcome.take(decode_frame(await reader.readexactly(length)))
        finally:
            writer.transport.abort()

    async def _kill(self, job: int) -> None:
        """End a job's child; a fork server that cannot do so in time is ended itself."""
        self._order(KILL, job)
        _, pending = await asyncio.wait([self._exits[job]], timeout=_ANSWER_LIMIT)
        if pending:
            self._lose()
            with suppress(ProcessLookupError):
                self._process.kill()

    def _order(self, verb: int, job: int, *attached: socket.socket) -> None:
        """Send an order; a fork server that cannot take it is lost."""
        try:
            socket.send_fds(self._control, [ORDER.pack(verb, job)], [one.fileno() for one in attached])
        except OSError:
            self._lose()

    def _notice(self) -> None:
        """Called by the event loop when the fork server says something, or is gone."""
        try:
            message = self._control.recv(NOTICE.size)
        except BlockingIOError:
            return
        except OSError:
            message = b""
        if not message:
            self._lose()
            return
        job, exit_code = NOTICE.unpack(message)
        exited = self._exits.get(job)
        if exited and not exited.done():
            exited.set_result(exit_code)

    def _lose(self) -> None:
        if self.lost:
            return
        self.lost = True
        asyncio.get_running_loop().remove_reader(self._control)
        self._control.close()
        for exited in self._exits.values():
            if not exited.done():
                exited.set_result(0)


def _environment() -> dict[str, str]:
    """What Python needs to start there as it did here, and nothing else; hashes are the same each time."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    path = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
    return kept | {"PYTHONPATH": path, "PYTHONHASHSEED": "0"}
