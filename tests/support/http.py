"""A replica's HTTP server, seen from a test: where it may listen, and whether it is well."""

from __future__ import annotations

import socket

import aiohttp


def free_address() -> str:
    """Where nobody listened a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return f"127.0.0.1:{listener.getsockname()[1]}"


async def answers(url: str) -> bool:
    """Whether it answers 200."""
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False
