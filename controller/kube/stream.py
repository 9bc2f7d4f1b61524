"""A response that never ends, read line by line: what a watch is made of."""

from __future__ import annotations

from collections import deque

import aiohttp

from controller.kube.errors import ApiUnreachable


class LineSplitter:
    """Cuts chunks into lines, however long; empty lines are left out, an unfinished last one is kept back."""

    def __init__(self) -> None:
        self._unfinished: list[bytes] = []

    def feed(self, chunk: bytes) -> list[bytes]:
        """The lines that this chunk completes."""
        head, *rest = chunk.split(b"\n")
        self._unfinished.append(head)
        if not rest:
            return []
        lines = [b"".join(self._unfinished), *rest[:-1]]
        self._unfinished = [rest[-1]]
        return [line for line in lines if line]


class LineStream:
    """An open response: iterate for lines, or take with `batch()` what one read brings. One reader at a time.

    Reading raises TimeoutError when nothing has come for the stream's idle timeout, ApiUnreachable when the
    connection breaks. Iteration stops at a clean end.
    """

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._content = response.content
        self._splitter = LineSplitter()
        self._ready: deque[bytes] = deque()

    def __aiter__(self) -> LineStream:
        return self

    async def __anext__(self) -> bytes:
        if not self._ready:
            self._ready.extend(await self.batch())
        if not self._ready:
            raise StopAsyncIteration
        return self._ready.popleft()

    async def batch(self) -> list[bytes]:
        """All complete lines that have arrived, at least one; empty at the end of the stream."""
        lines: list[bytes] = []
        try:
            while not lines and (chunk := await self._content.readany()):
                lines = self._splitter.feed(chunk)
        except TimeoutError:
            raise TimeoutError("the watch has been silent for too long") from None
        except (aiohttp.ClientError, OSError) as error:
            raise ApiUnreachable(f"the watch broke: {error or type(error).__name__}") from error
        return lines
