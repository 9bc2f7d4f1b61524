"""Runs kopf in a thread with a loop of its own, supervised; its settings keep it from ever writing.

Kopf cancels foreign tasks of its loop when it ends, may schedule the end of the process, and exits when a
resource keeps answering errors: hence the thread, and hence the restarts.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from typing import Any, ClassVar

import kopf
import structlog

from controller.component import Component
from controller.config.model import GROUP
from controller.events import ConfigResourceChanged
from controller.kube.client import KubeClient
from events import Event

STOP_TIMEOUT = 3.0
"""Seconds that kopf gets to end; the thread is a daemon, so the process ends without it."""
HEARTBEAT = 1.0
"""Seconds between two signs of life of kopf's loop."""
LAST_TURNS = 0.1
"""Seconds that kopf's loop turns after kopf, so that TLS connections can say goodbye."""
PAGE = 500
"""Objects per LIST page: a large page holds the interpreter lock for seconds."""

_log = structlog.get_logger("kopfbus.kopf")

Register = Callable[[kopf.OperatorRegistry, Callable[[Event], object]], None]


class KopfEnded(RuntimeError):
    """Kopf has ended without being asked to; the message says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"kopf has ended without being asked to: {reason}")


class _NoDiffBase(kopf.DiffBaseStorage):
    """Keeps no last-handled state: nothing here compares, and it costs most of kopf's time."""

    def build(self, **_: Any) -> kopf.BodyEssence:
        return kopf.BodyEssence()

    def fetch(self, **_: Any) -> kopf.BodyEssence | None:
        return None

    def store(self, **_: Any) -> None:
        return None


class _NoProgress(kopf.ProgressStorage):
    """Keeps no progress: no handler here is ever retried by kopf."""

    def fetch(self, **_: Any) -> None:
        return None

    def store(self, **_: Any) -> None:
        return None

    def purge(self, **_: Any) -> None:
        return None

    def touch(self, **_: Any) -> None:
        return None

    def clear(self, *, essence: kopf.BodyEssence) -> kopf.BodyEssence:
        return essence


class _Run:
    """One life of kopf: a thread with a loop of its own, from its start to its end."""

    def __init__(self, main: asyncio.AbstractEventLoop) -> None:
        self.stop = asyncio.Event()
        """Set when kopf is to end; belongs to kopf's loop."""
        self.ended: asyncio.Future[str] = main.create_future()
        """Why kopf has ended, as soon as it has."""
        self._main = main
        # Made here, not in the thread: it can be told to stop from the first moment.
        self._loop = asyncio.new_event_loop()

    def start(self, operate: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Start the thread. A daemon: the process ends without it."""
        threading.Thread(target=self._work, args=(operate,), name="kopf", daemon=True).start()

    async def end(self) -> bool:
        """Ask kopf to end, and wait for it; whether it has ended in time."""
        try:
            self._loop.call_soon_threadsafe(self.stop.set)
        except RuntimeError:
            _log.debug("kopf's loop is closed already")
        await asyncio.wait({self.ended}, timeout=STOP_TIMEOUT)
        return self.ended.done()

    def _work(self, operate: Callable[[], Coroutine[Any, Any, None]]) -> None:
        reason = "it gave no reason"
        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(operate())
        except BaseException as error:
            reason = f"{type(error).__name__}: {error}"
            _log.debug("kopf failed", exc_info=error)
        try:
            self._main.call_soon_threadsafe(self._tell, reason)
        except RuntimeError:
            _log.debug("kopf ended after the main loop")

    def _tell(self, reason: str) -> None:
        if not self.ended.done():
            self.ended.set_result(reason)


class KopfThread(Component):
    """Kopf as a source of hints about ConfigTemplates."""

    name = "kopf"
    publishes: ClassVar[tuple[type[Event], ...]] = (ConfigResourceChanged,)
    source = True

    def __init__(
        self,
        client: KubeClient,
        register: Register,
        *,
        namespaces: tuple[str, ...],
        ready: Callable[[], Awaitable[None]],
    ) -> None:
        self._client = client
        self._register = register
        self._namespaces = namespaces
        self._ready = ready
        self._beat = time.monotonic()
        self._run: _Run | None = None

    @property
    def silence(self) -> float:
        """Seconds since kopf's loop last turned; it does not count while kopf is not running."""
        return time.monotonic() - self._beat if self._run is not None else 0.0

    async def start(self) -> None:
        """Start kopf as soon as its resource can be listed: without, it would give up."""
        self.spawn("thread", self._operate)

    async def stop(self) -> None:
        """Ask kopf to end, and wait a little."""
        run, self._run = self._run, None
        if run is not None and not await run.end():
            _log.warning("kopf has not ended in time", seconds=STOP_TIMEOUT)

    async def _operate(self) -> None:
        await self._ready()
        main = asyncio.get_running_loop()
        self._beat = time.monotonic()
        run = self._run = _Run(main)
        run.start(partial(self._kopf, main, run.stop))
        raise KopfEnded(await asyncio.shield(run.ended))

    async def _kopf(self, main: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
        """In kopf's thread and loop: all of kopf, from start to end."""
        registry = kopf.OperatorRegistry()
        self._register(registry, self.publish)

        @kopf.on.login(registry=registry, id="login")
        async def login(**_: Any) -> kopf.ConnectionInfo:
            answer = asyncio.run_coroutine_threadsafe(self._client.kopf_connection(), main)
            return await asyncio.wrap_future(answer)

        # Both exist before kopf's own tasks: kopf cancels all that come later when it ends.
        beating = asyncio.create_task(self._heartbeat())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.sleep(0)
        if stopping.done():
            return
        operator = asyncio.create_task(
            kopf.operator(
                registry=registry,
                settings=_settings(),
                memo=kopf.Memo(),
                clusterwide=not self._namespaces,
                namespaces=self._namespaces,
            )
        )
        try:
            await asyncio.wait({operator, stopping}, return_when=asyncio.FIRST_COMPLETED)
            # Cancelled, not flagged: with a stop flag, kopf waits five seconds for requests under way, and
            # when it dies by itself as long for its own task that waits for the flag.
            if operator.cancel():
                await asyncio.wait({operator})
            else:
                await operator  # it has ended by itself: raises why
        finally:
            beating.cancel()
            stopping.cancel()
            await asyncio.sleep(LAST_TURNS)

    async def _heartbeat(self) -> None:
        while True:
            self._beat = time.monotonic()
            await asyncio.sleep(HEARTBEAT)


def _settings() -> kopf.OperatorSettings:
    """Settings under which kopf makes LIST and WATCH requests and nothing else."""
    settings = kopf.OperatorSettings()
    settings.persistence.finalizer = f"{GROUP}/never-set"  # with the default, kopf removes other operators'
    settings.persistence.diffbase_storage = _NoDiffBase()
    settings.persistence.progress_storage = _NoProgress()
    settings.posting.enabled = False
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.watching.chunk_size = PAGE
    settings.process.ultimate_exiting_timeout = None  # it would end the whole process
    return settings
