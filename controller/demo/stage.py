"""Where the story takes place: the sandbox and the replicas as processes, a client, a folder."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from controller.kube.client import CONFIG_MAPS, CONFIG_TEMPLATES, LEASES, KubeClient, Resource
from controller.kube.errors import ApiError

NAMESPACE = "demo"
TIMINGS = ("--lease-duration", "4", "--renew-deadline", "3", "--retry-period", "0.5")
PATIENCE = 20.0
"""Seconds that anything may take to come true."""
LOOK_AGAIN = 0.05

T = TypeVar("T")
Document = dict[str, Any]


class StepFailed(Exception):
    """Something did not come true: what was expected, and what was found."""

    def __init__(self, expected: str, found: object) -> None:
        super().__init__(f"expected: {expected}\nfound: {found}")


class Stage:
    """The processes of the demo; leaving it ends them, unless they are to be kept."""

    client: KubeClient

    def __init__(self, *, keep: bool) -> None:
        self._keep = keep
        self.folder = Path(tempfile.mkdtemp(prefix="kopfbus-demo-"))
        self.kubeconfig = self.folder / "kubeconfig"
        self.processes: dict[str, asyncio.subprocess.Process] = {}

    async def __aenter__(self) -> Self:
        try:
            await self._start_sandbox()
            self.client = await KubeClient.connect(str(self.kubeconfig))
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.close()
        if not self._keep:
            await self._end()

    async def _start_sandbox(self) -> None:
        await self._spawn("sandbox", "sandbox", "--kubeconfig", str(self.kubeconfig))

        async def listening() -> bool:
            return self.kubeconfig.exists()

        await self.until(listening, "the sandbox serves", lambda: self.log("sandbox"))

    async def start_replica(self, name: str) -> None:
        """Start `kopfbus run`."""
        await self._spawn(
            name,
            "run",
            *("--kubeconfig", str(self.kubeconfig), "--http-address", "off", "--identity", name),
            *("--lease-namespace", NAMESPACE, "--log-format", "json", *TIMINGS),
        )

    async def _spawn(self, name: str, *arguments: str) -> None:
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "controller", *arguments,
                stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,  # Ctrl-C is ours to pass on
            )  # fmt: skip

    def kill(self, name: str) -> float:
        """SIGKILL; the time."""
        os.kill(self.processes[name].pid, signal.SIGKILL)
        return time.monotonic()

    def log(self, name: str) -> str:
        """The end of a process's log."""
        return (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")[-2000:]

    async def _end(self) -> None:
        for process in reversed(self.processes.values()):
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        for process in self.processes.values():
            try:
                await asyncio.wait_for(process.wait(), 8)
            except TimeoutError:
                process.kill()
                await process.wait()
        for file in self.folder.iterdir():
            file.unlink()
        self.folder.rmdir()

    # --- what the cluster says

    async def until(
        self,
        look: Callable[[], Awaitable[T | None]],
        expected: str,
        explain: Callable[[], object] = lambda: "nothing",
    ) -> T:
        """The first true answer; StepFailed with what was expected and what was found."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            answer = await look()
            if answer:
                return answer
            await asyncio.sleep(LOOK_AGAIN)
        raise StepFailed(expected, explain())

    async def find(self, resource: Resource, name: str) -> Document | None:
        """An object of the demo's namespace, or None."""
        try:
            return await self.client.get(resource, name, NAMESPACE)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def target(self, name: str) -> Document:
        """A ConfigMap that must be there."""
        found = await self.find(CONFIG_MAPS, name)
        if found is None:
            raise StepFailed(f"ConfigMap {name}", "there is none")
        return found

    async def edit(self, resource: Resource, name: str, change: Callable[[Document], object]) -> Document:
        """Read, change, replace; again when somebody else was faster."""
        while True:
            obj = await self.client.get(resource, name, NAMESPACE)
            change(obj)
            try:
                return await self.client.replace(resource, obj)
            except ApiError as error:
                if error.status != 409:
                    raise

    async def condition(self, name: str, kind: str, status: str) -> Document:
        """Wait for a condition of the ConfigTemplate."""
        seen: list[Document] = []

        async def look() -> Document | None:
            obj = await self.client.get(CONFIG_TEMPLATES, name, NAMESPACE)
            seen[:] = (obj.get("status") or {}).get("conditions") or ()
            return next((c for c in seen if (c["type"], c["status"]) == (kind, status)), None)

        return await self.until(look, f"condition {kind}={status} of ConfigTemplate {name}", lambda: seen)

    async def leader(self) -> str:
        """The name of the replica that the Lease names; empty for none."""
        lease = await self.find(LEASES, "kopfbus")
        holder = str(((lease or {}).get("spec") or {}).get("holderIdentity") or "")
        return holder.partition("_")[0]
