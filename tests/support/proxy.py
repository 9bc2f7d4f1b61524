"""A TCP proxy before the API server, for connections that go silent without breaking."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit


class Proxy:
    """Passes bytes on, until told to hold what comes from the server on the connections there are now."""

    def __init__(self, host: str, port: int) -> None:
        self._upstream = (host, port)
        self._server: asyncio.Server | None = None
        self._stalled: set[asyncio.Task[None]] = set()
        self._pumps: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        """Listen; the port."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        """Close everything."""
        if self._server is not None:
            self._server.close()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    def stall(self) -> None:
        """From now on nothing arrives from the server on the connections of this moment; new ones work."""
        self._stalled = set(self._pumps)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection(*self._upstream)
        except OSError:
            writer.close()
            return
        there = asyncio.create_task(self._pump(reader, up_writer, stallable=False))
        back = asyncio.create_task(self._pump(up_reader, writer, stallable=True))
        self._pumps |= {there, back}
        await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
        for pump in (there, back):
            pump.cancel()
        await asyncio.gather(there, back, return_exceptions=True)
        self._pumps -= {there, back}
        for end in (writer, up_writer):
            end.close()
            with contextlib.suppress(OSError):
                await end.wait_closed()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, stallable: bool
    ) -> None:
        me = asyncio.current_task()
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if stallable and me in self._stalled:
                    continue
                writer.write(data)
                await writer.drain()


@contextlib.asynccontextmanager
async def proxied(kubeconfig: Path, url: str, copy: Path) -> AsyncIterator[Proxy]:
    """A proxy before the server at `url`; `copy` becomes a kubeconfig that goes through it."""
    address = urlsplit(url)
    assert address.hostname is not None
    assert address.port is not None
    proxy = Proxy(address.hostname, address.port)
    port = await proxy.start()
    text = kubeconfig.read_text(encoding="utf-8")
    copy.write_text(text.replace(url, f"https://127.0.0.1:{port}"), encoding="utf-8")
    try:
        yield proxy
    finally:
        await proxy.stop()
