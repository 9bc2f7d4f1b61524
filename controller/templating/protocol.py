"""What the main process says to the fork server and to a render child, and what they answer.

Orders and notices are single messages of fixed size. A child gets one request and answers with frames, each
a 4-byte length and msgpack. The frames before the last tell how far it got, so that a child that is killed
leaves behind what it was doing.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from controller.problems import Problem

ORDER = struct.Struct("<BQ")
"""To the fork server: RUN or KILL, and the job."""
NOTICE = struct.Struct("<Qi")
"""From the fork server: the job, and its child's exit code (minus the signal, if one ended it)."""
RUN, KILL = 1, 2
READY = 0
"""The job number of the notice that the fork server is up."""

NOT_FORKED = 75
"""The exit code told for a child that could not be made."""

LENGTH = struct.Struct("<I")
"""Length in bytes of what follows, before each request and frame."""

Limit = Literal["time", "memory", "output"]


@dataclass(frozen=True, slots=True)
class WatchData:
    """What a watch found: one variable of the templates."""

    name: str
    index_by: tuple[str, ...]
    objects: tuple[bytes, ...]
    """JSON documents, sorted by namespace and name."""


@dataclass(frozen=True, slots=True)
class RenderJob:
    """Everything one render depends on; equal jobs render equal bytes."""

    outputs: tuple[tuple[str, str], ...]
    """Name and source."""
    snippets: tuple[tuple[str, str], ...]
    values: Mapping[str, Any]
    watches: tuple[WatchData, ...]
    sensitive: bool = False
    """Problems shall tell position and kind only (X3)."""


class Request(msgspec.Struct, frozen=True):
    """One job for one child, with its limits: seconds, and bytes."""

    task: Literal["render", "check"]
    job: RenderJob
    time_limit: float
    memory_limit: int
    output_limit: int


class Working(msgspec.Struct, frozen=True, tag=True):
    """The child now turns to this output or snippet."""

    template: str
    path: str


class Found(msgspec.Struct, frozen=True, tag=True):
    """Something is wrong with a template; the check goes on."""

    problem: Problem


class Checked(msgspec.Struct, frozen=True, tag=True):
    """The check is complete."""


class Rendered(msgspec.Struct, frozen=True, tag=True):
    """The render is complete: UTF-8 text by output."""

    outputs: dict[str, bytes]


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The render ends here, by the template's fault."""

    problem: Problem


class Exceeded(msgspec.Struct, frozen=True, tag=True):
    """The job ends here, at one of its limits."""

    limit: Limit


Frame = Working | Found | Checked | Rendered | Failed | Exceeded
Final = Checked | Rendered | Failed | Exceeded
"""After one of these nothing more comes."""


def encode_request(request: Request) -> bytes:
    """Bytes of a request. Raises TypeError or OverflowError for `values` that are not JSON."""
    return msgspec.msgpack.encode(request, enc_hook=_plain)


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} is no JSON value")


decode_request = msgspec.msgpack.Decoder(Request).decode
encode_frame = msgspec.msgpack.Encoder().encode
decode_frame = msgspec.msgpack.Decoder[Frame](Frame).decode
