"""Rendering for the rest of the program: asynchronous, in a child process, within limits (P8)."""

from __future__ import annotations

import asyncio
import signal
from typing import Literal

from controller.problems import Problem
from controller.templating.process import Outcome, Worker, WorkerLost
from controller.templating.protocol import (
    NOT_FORKED,
    Checked,
    Exceeded,
    Failed,
    Limit,
    Rendered,
    RenderJob,
    Request,
    WatchData,
    encode_request,
)

__all__ = ["Kind", "RenderFailed", "RenderJob", "Renderer", "WatchData"]

Kind = Literal["template", "limit", "internal"]

_JOBS_AT_ONCE = 8
_GRACE = 1.0
"""Seconds that a child may be late in dying at its own time limit."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
"""Seconds between fork servers that die one after the other."""
_MIB = 1 << 20


class RenderFailed(Exception):
    """There is no result: the template's fault, a limit, or the machinery's fault."""

    def __init__(self, kind: Kind, problem: Problem) -> None:
        super().__init__(str(problem))
        self.kind = kind
        self.problem = problem


class Renderer:
    """Renders and checks templates in child processes; one that hangs or bursts harms no other.

    Limits: seconds and bytes of memory for each job, bytes of all its outputs together. Belongs to one
    event loop, never blocks it, and runs a few jobs at a time.
    """

    def __init__(
        self,
        *,
        time_limit: float = 5.0,
        memory_limit: int = 512 * _MIB,
        output_limit: int = 10 * _MIB,
    ) -> None:
        self._time_limit = time_limit
        self._memory_limit = memory_limit
        self._output_limit = output_limit
        self._slots = asyncio.Semaphore(_JOBS_AT_ONCE)
        self._starting = asyncio.Lock()
        self._worker: Worker | None = None
        self._deaths = 0
        """Of fork servers, since the last job that was done."""
        self._stopped = asyncio.Event()

    async def start(self) -> None:
        """Start the fork server, so that the first render need not wait for it. Raises RenderFailed."""
        await self._running_worker()

    async def stop(self) -> None:
        """End the fork server; jobs still running fail."""
        self._stopped.set()
        if self._worker:
            await self._worker.stop()

    async def render(self, job: RenderJob) -> dict[str, str]:
        """The text of each output. Raises RenderFailed."""
        outcome = await self._run("render", job)
        match outcome.final:
            case Rendered(outputs):
                return {name: text.decode() for name, text in outputs.items()}
            case Failed(problem):
                raise RenderFailed("template", problem)
        raise self._failure(outcome, "rendering")

    async def check(self, job: RenderJob) -> tuple[Problem, ...]:
        """All problems that show without running the templates. Raises RenderFailed, kind internal."""
        outcome = await self._run("check", job)
        if isinstance(outcome.final, Checked):
            return tuple(outcome.problems)
        failure = self._failure(outcome, "compiling")
        if failure.kind != "limit":
            raise failure
        return (*outcome.problems, failure.problem)

    async def _run(self, task: Literal["render", "check"], job: RenderJob) -> Outcome:
        async with self._slots:
            request = self._encode(task, job)
            for _ in range(2):
                worker = await self._running_worker()
                try:
                    outcome = await worker.run(request, self._time_limit + _GRACE)
                except WorkerLost:
                    continue
                except OSError as error:
                    raise _internal(f"the render could not be handed over: {error}") from None
                self._deaths = 0
                return outcome
            raise _internal("the render worker died twice during this job")

    def _encode(self, task: Literal["render", "check"], job: RenderJob) -> bytes:
        request = Request(task, job, self._time_limit, self._memory_limit, self._output_limit)
        try:
            return encode_request(request)
        except (TypeError, ValueError, OverflowError) as error:
            problem = Problem(message=f"the values hold something that templates cannot be given: {error}")
            raise RenderFailed("template", problem.redacted() if job.sensitive else problem) from None

    async def _running_worker(self) -> Worker:
        async with self._starting:
            if self._worker is None or self._worker.lost:
                self._worker = await self._new_worker(self._worker)
            return self._worker

    async def _new_worker(self, dead: Worker | None) -> Worker:
        if dead and not self._stopped.is_set():
            await dead.stop()  # it is gone already; this collects its exit code
            self._deaths += 1
            await asyncio.sleep(self._pause())
        if self._stopped.is_set():
            raise _internal("the renderer was stopped")
        try:
            worker = await Worker.start()
        except WorkerLost as error:
            self._deaths += 1
            raise _internal(str(error)) from None
        if self._stopped.is_set():
            await worker.stop()
        return worker

    def _pause(self) -> float:
        """One death is an accident; from the second on, starting again waits."""
        return min(_FIRST_PAUSE * 2 ** (self._deaths - 2), _LONGEST_PAUSE) if self._deaths > 1 else 0.0

    def _failure(self, outcome: Outcome, doing: str) -> RenderFailed:
        """What to say of a job that came to no result."""
        limit = _limit_reached(outcome)
        message = self._beyond(limit, doing) if limit else _unexpected_end(outcome.exit_code)
        at = outcome.working
        problem = Problem(message=message, path=at.path if at else "", template=at.template if at else "")
        return RenderFailed("limit" if limit else "internal", problem)

    def _beyond(self, limit: Limit, doing: str) -> str:
        match limit:
            case "time":
                return f"{doing} exceeded its time limit of {self._time_limit:g} s"
            case "memory":
                return f"{doing} exceeded its memory limit of {self._memory_limit / _MIB:g} MiB"
            case "output":
                return f"the outputs together exceed their limit of {self._output_limit / _MIB:g} MiB"


def _limit_reached(outcome: Outcome) -> Limit | None:
    if isinstance(outcome.final, Exceeded):
        return outcome.final.limit
    return "time" if outcome.exit_code in {None, -signal.SIGALRM, -signal.SIGXCPU} else None


def _unexpected_end(exit_code: int | None) -> str:
    if exit_code == NOT_FORKED:
        return "the system refused to start a render process: too many processes, or no memory"
    if exit_code == -signal.SIGKILL:
        return "the render process was killed (SIGKILL): is the container or the node short of memory?"
    ended_by = signal.Signals(-exit_code).name if exit_code and exit_code < 0 else f"exit code {exit_code}"
    return f"the render process ended unexpectedly ({ended_by})"


def _internal(message: str) -> RenderFailed:
    return RenderFailed("internal", Problem(message=message))
