"""Is it YAML? Answered from the parser's events, because building the documents is not safe.

PyYAML's composer calls itself for every level: with libyaml, half a megabyte of `- - - ...` overflows the C
stack and kills the process. It also takes a repeated key without a word, and lets the last one win.
"""

from __future__ import annotations

from typing import Protocol

import yaml

from controller.validators.malformed import TOO_DEEP, Malformed

DEEPEST = 500
"""Levels of nesting; libyaml's scanner takes quadratic time with their number."""

_Loader: type[yaml.SafeLoader | yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _Mark(Protocol):
    """A place, of either parser; it counts from 0."""

    line: int
    column: int


class _Mapping:
    """A mapping that is being read: its keys, and whether a key or a value comes next."""

    def __init__(self) -> None:
        self.keys: set[tuple[str, str]] = set()
        self.at_key = True


class _Reader:
    """Follows the events of a stream through its nesting."""

    def __init__(self, loader: yaml.SafeLoader | yaml.CSafeLoader) -> None:
        self._loader = loader
        self._open: list[_Mapping | None] = []
        self._anchors: set[str] = set()

    def read(self) -> None:
        """Take all events. Raises Malformed, or the parser's own errors."""
        while (event := self._loader.get_event()) is not None:
            self._take(event)

    def _take(self, event: yaml.Event) -> None:
        match event:
            case yaml.ScalarEvent():
                self._node(event)
            case yaml.CollectionStartEvent():
                self._node(event)
                if len(self._open) == DEEPEST:
                    raise _malformed(TOO_DEEP, event.start_mark)
                self._open.append(_Mapping() if isinstance(event, yaml.MappingStartEvent) else None)
            case yaml.CollectionEndEvent():
                self._open.pop()
            case yaml.AliasEvent():
                self._node(event)
            case yaml.DocumentStartEvent():
                self._anchors.clear()

    def _node(self, event: yaml.NodeEvent) -> None:
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                raise _malformed(f"there is no anchor {event.anchor!r} for this alias", event.start_mark)
        elif event.anchor is not None:
            self._anchors.add(event.anchor)
        parent = self._open[-1] if self._open else None
        if parent is None:
            return
        if parent.at_key and isinstance(event, yaml.ScalarEvent):
            self._key(parent, event)
        parent.at_key = not parent.at_key

    def _key(self, mapping: _Mapping, event: yaml.ScalarEvent) -> None:
        tag = event.tag or self._loader.resolve(yaml.ScalarNode, event.value, event.implicit)  # type: ignore[no-untyped-call] # a gap in the stubs
        key = (tag, event.value)
        if key in mapping.keys:
            raise _malformed(f"the key {event.value!r} stands twice in one mapping", event.start_mark)
        mapping.keys.add(key)


def check_yaml(text: str) -> None:
    """Any number of documents, custom tags included. Raises Malformed."""
    try:
        _Reader(_Loader(text)).read()
    except yaml.MarkedYAMLError as error:
        raise _malformed(error.problem or "it cannot be read", error.problem_mark) from None
    except yaml.reader.ReaderError as error:
        raise Malformed(f"{error.reason} (#x{error.character:04x})", *_place(text, error.position)) from None


def _malformed(message: str, mark: _Mark | None) -> Malformed:
    return Malformed(message) if mark is None else Malformed(message, mark.line + 1, mark.column + 1)


def _place(text: str, position: int) -> tuple[int, int]:
    """Line and column of a position in bytes: libyaml's reader, unlike its scanner, does not count lines."""
    before = text.encode()[:position].decode(errors="ignore")
    return before.count("\n") + 1, len(before) - before.rfind("\n")
