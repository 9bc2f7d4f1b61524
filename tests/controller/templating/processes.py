"""Looking at processes from outside, and waiting until one can see something."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

PATIENCE = 20.0
"""Seconds after which something that should happen is taken not to happen."""


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what no event tells, such as the end of somebody else's process."""
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.005)


def runs(pid: int) -> bool:
    """Whether a process exists and is more than an exit code that nobody fetched."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text("ascii")
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def children(pid: int) -> list[int]:
    """The process ids of a process's children, those included that nobody reaped."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text("ascii").rpartition(")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == pid:
            found.append(int(stat.parent.name))
    return found
