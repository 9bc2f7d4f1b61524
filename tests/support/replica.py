"""Replicas under test: one in the test's own loop, or real processes that can be killed and stopped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from controller.app import Application
from controller.kube.client import KubeClient
from controller.settings import Settings
from events.testing import EventRecorder

TETHERED = Path(__file__).with_name("tethered.py")


@contextlib.asynccontextmanager
async def replica(kubeconfig: Path, **options: Any) -> AsyncIterator[EventRecorder]:
    """One replica in this loop, strict, for the length of the block; its recorder, with `application`."""
    client = await KubeClient.connect(str(kubeconfig))
    options.setdefault("standalone", True)
    application = Application(Settings(kubeconfig=str(kubeconfig), **options), client, strict=True)
    stop = asyncio.Event()
    async with EventRecorder(application.bus) as recorder:
        recorder.application = application  # type: ignore[attr-defined] # for tests that look inside
        running = asyncio.create_task(application.run(stop))
        try:
            yield recorder
        finally:
            stop.set()
            await running
            await client.close()


class ReplicaProcess:
    """`kopfbus run` in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self._process = process
        self._log = log

    @classmethod
    async def start(
        cls, kubeconfig: Path, log: Path, *options: str, env: Mapping[str, str] | None = None
    ) -> ReplicaProcess:
        """Start it, with these variables beside the test's own; its log goes to a file."""
        launch = (sys.executable, str(TETHERED), str(os.getpid()), sys.executable, "-m", "controller", "run")
        fixed = ("--kubeconfig", str(kubeconfig), "--http-address", "off", "--log-format", "json")
        with log.open("wb") as output:
            process = await asyncio.create_subprocess_exec(
                *launch, *fixed, *options, stdout=output, stderr=output, env={**os.environ, **(env or {})}
            )
        return cls(process, log)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self._log.read_text(encoding="utf-8")

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    async def end(self, number: signal.Signals = signal.SIGTERM, seconds: float = 30.0) -> int:
        """Send a signal and wait for the exit code."""
        if self._process.returncode is None:
            self.send(number)
        return await self.ended(seconds)

    async def ended(self, seconds: float = 30.0) -> int:
        """Wait until it has ended; the exit code."""
        async with asyncio.timeout(seconds):
            return await self._process.wait()

    async def kill(self) -> None:
        """End it, if it has not ended: for `finally`."""
        await self.end(signal.SIGKILL)

    async def logged(self, text: str, seconds: float = 20.0) -> None:
        """Wait until it has logged something."""
        async with asyncio.timeout(seconds):
            while text not in self.log:
                await asyncio.sleep(0.02)


Starter = Callable[..., Awaitable[ReplicaProcess]]
