"""The least of a client: what tests say to an API server, real or sandbox, and what it answers."""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

MERGE_PATCH = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
LONGEST = 10.0
"""Seconds that an answer, or the next event of a watch, may take."""


@dataclass(frozen=True, slots=True)
class Reply:
    """Status code, decoded body, and the warnings that kubectl would print."""

    code: int
    body: dict[str, Any]
    warnings: tuple[str, ...] = ()

    @property
    def reason(self) -> str:
        """The reason of a refusal."""
        return str(self.body.get("reason", ""))

    @property
    def causes(self) -> set[tuple[str, str]]:
        """Reason and field of every finding of a 422."""
        listed = self.body.get("details", {}).get("causes", [])
        return {(cause["reason"], cause["field"]) for cause in listed}

    @property
    def names(self) -> list[str]:
        """The names in a list, in order."""
        return [item["metadata"]["name"] for item in self.body["items"]]

    @property
    def version(self) -> str:
        """The resourceVersion of the object or list."""
        return str(self.body["metadata"]["resourceVersion"])


class ApiClient:
    """Speaks JSON with one server; closes nothing, the session belongs to its maker."""

    def __init__(self, session: aiohttp.ClientSession) -> None:
        self._session = session

    async def call(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        query: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        accept: str = "application/json",
    ) -> Reply:
        """Send one request; `body` is encoded as JSON unless it is bytes. What is no JSON is read as {}."""
        encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
        data = None if body is None else io.BytesIO(encoded)  # aiohttp warns about large plain bytes
        headers = {"Content-Type": content_type, "Accept": accept}
        timeout = aiohttp.ClientTimeout(total=LONGEST)
        async with self._session.request(
            method, path, data=data, params=query, headers=headers, timeout=timeout
        ) as response:
            text = await response.text()
            decoded = json.loads(text) if response.content_type == "application/json" else {}
            return Reply(response.status, decoded, tuple(response.headers.getall("Warning", ())))

    async def get(self, path: str, **query: str) -> Reply:
        """GET an object or a list."""
        return await self.call("GET", path, query=query)

    async def post(self, path: str, body: object, **query: str) -> Reply:
        """Create an object."""
        return await self.call("POST", path, body, query=query)

    async def put(self, path: str, body: object) -> Reply:
        """Replace an object."""
        return await self.call("PUT", path, body)

    async def patch(self, path: str, body: object, content_type: str = MERGE_PATCH) -> Reply:
        """Patch an object, by default with a merge patch."""
        return await self.call("PATCH", path, body, content_type=content_type)

    async def delete(self, path: str, body: object = None, **query: str) -> Reply:
        """Delete an object or a collection; the body holds preconditions."""
        return await self.call("DELETE", path, body, query=query)

    @asynccontextmanager
    async def watch(self, path: str, **query: str) -> AsyncIterator[WatchStream]:
        """Open a watch."""
        timeout = aiohttp.ClientTimeout(total=None, sock_read=LONGEST)
        async with self._session.get(path, params={"watch": "1", **query}, timeout=timeout) as response:
            assert response.status == 200, await response.text()
            yield WatchStream(response.content)


class WatchStream:
    """The events of one watch."""

    def __init__(self, content: aiohttp.StreamReader) -> None:
        self._content = content

    async def next(self) -> dict[str, Any]:
        """The next event; raises EOFError at the end and a timeout after LONGEST seconds."""
        line = await self._content.readline()
        if not line:
            raise EOFError("the watch has ended")
        return dict(json.loads(line))

    async def take(self, count: int) -> list[tuple[str, str]]:
        """Types and names of the next events."""
        events = [await self.next() for _ in range(count)]
        return [(event["type"], event["object"]["metadata"]["name"]) for event in events]

    async def rest(self) -> list[dict[str, Any]]:
        """Everything up to the end of the stream."""
        events = []
        while line := await self._content.readline():
            events.append(dict(json.loads(line)))
        return events
