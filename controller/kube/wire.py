"""What LIST and WATCH answer, decoded as far as needed: objects stay bytes. Tolerant of fields left out."""

from __future__ import annotations

from typing import TypeVar

import msgspec

T = TypeVar("T")


class MalformedAnswer(ValueError):
    """What came is not what the API promises."""


class ListMeta(msgspec.Struct, rename={"resource_version": "resourceVersion", "following": "continue"}):
    """A list's metadata, or a bookmark's. `following` asks for the next page."""

    resource_version: str | None = None
    following: str | None = None


class Page(msgspec.Struct):
    """One page of a list. The items are views into its body: copy what is to be kept."""

    metadata: ListMeta
    items: list[msgspec.Raw] | None = None


class WatchEvent(msgspec.Struct):
    """One line of a watch. The type is ADDED, MODIFIED, DELETED, BOOKMARK or ERROR; the object is a view."""

    type: str
    object: msgspec.Raw


class _Bookmark(msgspec.Struct):
    metadata: ListMeta


_pages = msgspec.json.Decoder(Page)
_watch_events = msgspec.json.Decoder(WatchEvent)
_bookmarks = msgspec.json.Decoder(_Bookmark)


def decode_page(body: bytes) -> Page:
    """Read a list's page. Raises MalformedAnswer."""
    return _decode(_pages, body)


def decode_event(line: bytes) -> WatchEvent:
    """Read a watch's line. Raises MalformedAnswer."""
    return _decode(_watch_events, line)


def bookmarked(event: WatchEvent) -> str:
    """The resourceVersion that a bookmark brings. Raises MalformedAnswer."""
    return _decode(_bookmarks, event.object).metadata.resource_version or ""


def _decode(decoder: msgspec.json.Decoder[T], data: bytes | msgspec.Raw) -> T:
    try:
        return decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise MalformedAnswer(str(error)) from error
