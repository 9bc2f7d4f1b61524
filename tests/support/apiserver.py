"""A real kube-apiserver with its etcd, for the tests that must not trust an imitation.

Everything listens on 127.0.0.1, lives in one temporary folder and dies with the test process. Authorization
is RBAC: `admin` may do everything, `user1` to `user9` nothing until a test grants it.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import aiohttp

from tests.support import tethered

USERS = ("admin", *(f"user{number}" for number in range(1, 10)))
START_TIMEOUT = 60.0
"""Seconds; three are usual on two idle cores."""
_POLL = 0.1


class ServerFailed(Exception):
    """A server process ended or did not get ready in time; the message carries the end of its log."""


class ApiServer:
    """A control plane of its own. Use its coroutines from the main thread (see `tethered`), in any loop."""

    def __init__(self, assets: Path) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="kopfbus-apiserver-"))
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        """The running programs by name. A test may signal them: SIGSTOP makes every connection hang."""
        self.ca_file = self.folder / "certs" / "apiserver.crt"
        """Exists once the server has started."""
        self._assets = assets
        etcd_port, self._port = _free_ports(2)
        self._etcd_url = f"http://127.0.0.1:{etcd_port}"
        self.url = f"https://127.0.0.1:{self._port}"
        self.kubeconfig = self.folder / "admin.kubeconfig"
        self._write_credentials()

    def kubeconfig_for(self, user: str) -> Path:
        """The kubeconfig of `admin` or of `user1` to `user9`."""
        if user not in USERS:
            raise ValueError(f"no user {user!r}; there are {', '.join(USERS)}")
        return self.folder / f"{user}.kubeconfig"

    @staticmethod
    def token_of(user: str) -> str:
        """The user's bearer token."""
        return f"token-of-{user}"

    def ssl_context(self) -> ssl.SSLContext:
        """Trusts this server only."""
        return ssl.create_default_context(cafile=str(self.ca_file))

    def session(self, user: str = "admin") -> aiohttp.ClientSession:
        """A raw client with that user's rights, paths relative to the server; the caller closes it."""
        return aiohttp.ClientSession(
            self.url,
            headers={"Authorization": f"Bearer {self.token_of(user)}"},
            connector=_Connector(ssl=self.ssl_context()),
        )

    async def start(self) -> None:
        """Start etcd and kube-apiserver and wait until they are ready; raises ServerFailed."""
        self._spawn(
            "etcd",
            f"--data-dir={self.folder / 'etcd'}",
            f"--listen-client-urls={self._etcd_url}",
            f"--advertise-client-urls={self._etcd_url}",
            "--listen-peer-urls=http://127.0.0.1:0",
            "--unsafe-no-fsync",
            "--log-level=error",
        )
        await self._wait_until("etcd", self._etcd_is_healthy)
        await self.start_apiserver()

    async def start_apiserver(self) -> None:
        """Start kube-apiserver on its port, on what etcd holds, and wait for /readyz; raises ServerFailed."""
        certs = self.folder / "certs"
        self._spawn(
            "kube-apiserver",
            f"--etcd-servers={self._etcd_url}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            "--endpoint-reconciler-type=none",
            f"--secure-port={self._port}",
            f"--cert-dir={certs}",
            "--service-account-issuer=https://kubernetes.default.svc",
            # The key pair that the server makes for its own TLS serves for service accounts as well.
            f"--service-account-key-file={certs / 'apiserver.key'}",
            f"--service-account-signing-key-file={certs / 'apiserver.key'}",
            f"--token-auth-file={self.folder / 'tokens.csv'}",
            "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--disable-admission-plugins=ServiceAccount",
        )
        await self._wait_until("kube-apiserver", self._apiserver_is_ready)

    async def stop_apiserver(self) -> None:
        """Kill kube-apiserver: clients see broken, then refused connections. etcd keeps everything."""
        self._kill("kube-apiserver")

    async def restart(self) -> None:
        """Stop kube-apiserver and start it again on the same port: watch caches and connections are lost."""
        await self.stop_apiserver()
        await self.start_apiserver()

    async def start_controllers(self) -> None:
        """Start what collects garbage and deletes namespaces, unless it runs.

        Raises FileNotFoundError where the assets have no kube-controller-manager.
        """
        if "kube-controller-manager" in self.processes:
            return
        self._spawn(
            "kube-controller-manager",
            f"--kubeconfig={self.kubeconfig}",
            "--controllers=garbage-collector-controller,namespace-controller",
            "--leader-elect=false",
            "--secure-port=0",
        )

    async def compact(self) -> int:
        """Compact etcd's history up to now and return that revision.

        kube-apiserver still serves older revisions from its watch caches until it is restarted: for a 410,
        write something, compact, then `restart`.
        """
        async with aiohttp.ClientSession(self._etcd_url) as etcd:
            async with etcd.post("/v3/kv/range", json={"key": _b64("/")}) as response:
                revision = int((await response.json())["header"]["revision"])
            async with etcd.post(
                "/v3/kv/compaction", json={"revision": revision, "physical": True}
            ) as response:
                response.raise_for_status()
        return revision

    async def stop(self) -> None:
        """Kill everything that runs and remove the folder."""
        for name in list(self.processes):
            self._kill(name)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _write_credentials(self) -> None:
        groups = {"admin": "system:masters"}
        lines = (f"{self.token_of(user)},{user},{user},{groups.get(user, 'restricted')}\n" for user in USERS)
        (self.folder / "tokens.csv").write_text("".join(lines))
        for user in USERS:
            (self.folder / f"{user}.kubeconfig").write_text(json.dumps(self._kubeconfig_of(user)))

    def _kubeconfig_of(self, user: str) -> dict[str, object]:
        cluster = {"server": self.url, "certificate-authority": str(self.ca_file)}
        context = {"cluster": "envtest", "user": user, "namespace": "default"}
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "envtest", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": self.token_of(user)}}],
            "contexts": [{"name": user, "context": context}],
            "current-context": user,
        }

    def _spawn(self, name: str, *arguments: str) -> None:
        program = self._assets / name
        if not os.access(program, os.X_OK):
            raise FileNotFoundError(f"{self._assets} holds no {name}; `python tools/envtest.py` builds it")
        with self._log(name).open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, tethered.__file__, str(os.getpid()), str(program), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C is for the tests, which then stop the servers in order
            )

    def _kill(self, name: str) -> None:
        process = self.processes.pop(name, None)
        if process is not None:
            process.send_signal(signal.SIGKILL)
            process.wait()

    def _log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    async def _wait_until(self, name: str, ready: Callable[[], Awaitable[bool]]) -> None:
        try:
            async with asyncio.timeout(START_TIMEOUT):
                while not await ready():
                    if self.processes[name].poll() is not None:
                        raise ServerFailed(f"{name} ended at its start:\n{self._end_of_log(name)}")
                    await asyncio.sleep(_POLL)
        except TimeoutError:
            end = self._end_of_log(name)
            raise ServerFailed(f"{name} was not ready after {START_TIMEOUT:.0f} s:\n{end}") from None

    def _end_of_log(self, name: str) -> str:
        return "\n".join(self._log(name).read_text(errors="replace").splitlines()[-20:])

    async def _etcd_is_healthy(self) -> bool:
        return await _answers_200(aiohttp.ClientSession(self._etcd_url), "/health")

    async def _apiserver_is_ready(self) -> bool:
        # The key is written after the certificate: once it is there, the certificate is complete.
        written = self.ca_file.with_suffix(".key").exists()
        return written and await _answers_200(self.session(), "/readyz")


class _Connector(aiohttp.TCPConnector):
    """Ends its connections when it is closed, instead of waiting for TLS goodbyes beyond the test's end."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._opened: list[asyncio.Transport] = []

    async def _create_connection(self, *arguments: Any, **options: Any) -> Any:
        protocol = await super()._create_connection(*arguments, **options)
        if protocol.transport is not None:
            self._opened.append(protocol.transport)
        return protocol

    def close(self, *, abort_ssl: bool = False) -> Coroutine[Any, Any, None]:
        for transport in self._opened:
            transport.abort()
        return super().close(abort_ssl=abort_ssl)


async def _answers_200(session: aiohttp.ClientSession, path: str) -> bool:
    try:
        async with session, session.get(path, timeout=aiohttp.ClientTimeout(total=5)) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


def _free_ports(count: int) -> list[int]:
    """Ports that were free a moment ago: the servers cannot choose one themselves and tell it."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in sockets]
    for listener in sockets:
        listener.close()
    return ports


def _b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
