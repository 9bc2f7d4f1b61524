"""Runs kopf in a thread with a loop of its own, supervised; its settings keep it from ever writing.

Kopf cancels foreign tasks of its loop when it ends, may schedule the end of the process, and exits when a
resource keeps answering errors: hence the thread, and hence the restarts.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
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
    """Kopf has ended without being asked to."""


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
        self._stop: Callable[[], object] = lambda: None
        self._ended: asyncio.Future[None] | None = None

    @property
    def silence(self) -> float:
        """Seconds since kopf's loop last turned; it does not count while kopf is not running."""
        return time.monotonic() - self._beat if self._ended is not None else 0.0

    async def start(self) -> None:
        """Start kopf as soon as its resource can be listed: without, it would give up."""
        self.spawn("thread", self._run)

    async def stop(self) -> None:
        """Ask kopf to end, and wait a little."""
        self._stop()
        if self._ended is not None:
            _, late = await asyncio.wait({self._ended}, timeout=STOP_TIMEOUT)
            if late:
                _log.warning("kopf has not ended in time", seconds=STOP_TIMEOUT)
            self._ended = None

    async def _run(self) -> None:
        await self._ready()
        loop = asyncio.get_running_loop()
        ended = self._ended = loop.create_future()
        self._beat = time.monotonic()

        def finish(error: BaseException | None) -> None:
            if not ended.done():
                ended.set_result(None) if error is None else ended.set_exception(error)

        def thread_main() -> None:
            error: BaseException | None = None
            try:
                asyncio.run(self._operate(loop))
            except BaseException as raised:
                error = raised
            try:
                loop.call_soon_threadsafe(finish, error)
            except RuntimeError:
                _log.info("kopf ended after the main loop")

        threading.Thread(target=thread_main, name="kopf", daemon=True).start()
        await asyncio.shield(ended)
        raise KopfEnded("kopf has ended without being asked to")

    async def _operate(self, main: asyncio.AbstractEventLoop) -> None:
        stop = asyncio.Event()
        mine = asyncio.get_running_loop()
        self._stop = lambda: _quietly(mine, stop)
        registry = kopf.OperatorRegistry()
        self._register(registry, self.publish)

        @kopf.on.login(registry=registry, id="login")
        async def login(**_: Any) -> kopf.ConnectionInfo:
            answer = asyncio.run_coroutine_threadsafe(self._client.kopf_connection(), main)
            return await asyncio.wrap_future(answer)

        beating = asyncio.create_task(self._heartbeat())
        try:
            await kopf.operator(
                registry=registry,
                settings=_settings(),
                memo=kopf.Memo(),
                clusterwide=not self._namespaces,
                namespaces=self._namespaces,
                stop_flag=stop,
            )
        finally:
            beating.cancel()
            await asyncio.sleep(LAST_TURNS)

    async def _heartbeat(self) -> None:
        while True:
            self._beat = time.monotonic()
            await asyncio.sleep(HEARTBEAT)


def _quietly(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    try:
        loop.call_soon_threadsafe(stop.set)
    except RuntimeError:
        _log.debug("kopf's loop is closed already")


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
