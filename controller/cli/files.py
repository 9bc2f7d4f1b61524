"""Reads manifests as kubectl does: YAML of several documents, JSON, lists, folders, standard input."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import msgspec
import yaml

STDIN = "-"
_SUFFIXES = frozenset({".yaml", ".yml", ".json"})

FILES = click.argument(
    "files",
    metavar="FILE...",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
)
"""The argument of every command that is about ConfigTemplates."""


class Metadata(msgspec.Struct, frozen=True):
    """What has to be right in an object's metadata before anything can be said of it."""

    name: str
    namespace: str | None = None
    labels: dict[str, str] | None = None


class _Header(msgspec.Struct, frozen=True, rename="camel"):
    api_version: str
    kind: str


class _Object(_Header, frozen=True):
    metadata: Metadata


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object from a file; its types are checked as far as `metadata` goes."""

    source: str
    """The file, for messages."""
    api_version: str
    kind: str
    metadata: Metadata
    body: dict[str, Any]
    """The object as JSON has it: text as keys, dates as text."""


def read(paths: Iterable[str]) -> list[Manifest]:
    """All objects in these files, in order. Raises ClickException that tells of every unreadable file."""
    manifests: list[Manifest] = []
    problems: list[str] = []
    for path in paths:
        try:
            for source, text in _texts(path):
                manifests += _manifests(source, text)
        except _Unreadable as error:
            problems.append(str(error))
    if problems:
        raise click.ClickException("\n".join(problems))
    return manifests


class _Unreadable(Exception):
    """A file holds no manifests; the message begins with its name."""


class _Loader(yaml.CSafeLoader):
    """Reads what the API server would get from kubectl: a date stays the text that it is."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as the base class declares it
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(
        self,
        node: yaml.MappingNode,
        deep: bool = False,  # noqa: FBT001, FBT002 - as the base class has it
    ) -> dict[Any, Any]:
        """A mapping, unless a key stands in it twice: then one of them would be lost."""
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                if key.value in seen:
                    raise yaml.MarkedYAMLError(
                        problem=f"the key {key.value!r} is there already", problem_mark=key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _texts(path: str) -> Iterator[tuple[str, str]]:
    """The name and text of standard input, of a file, or of every manifest right in a folder."""
    try:
        if path == STDIN:
            yield "<stdin>", sys.stdin.buffer.read().decode()
            return
        for file in _files(Path(path)):
            yield (path := str(file)), file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _Unreadable(f"{path}: {error}") from None


def _files(path: Path) -> list[Path]:
    return sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES) if path.is_dir() else [path]


def _manifests(source: str, text: str) -> Iterator[Manifest]:
    for number, document in enumerate(_documents(source, text), start=1):
        if document is None:
            continue
        try:
            body = json.loads(json.dumps(document, allow_nan=False))
            for item in _items(body):
                found = msgspec.convert(item, _Object)
                yield Manifest(source, found.api_version, found.kind, found.metadata, item)
        except (TypeError, ValueError, RecursionError) as error:
            raise _Unreadable(f"{source}: document {number} is no Kubernetes object: {error}") from None


def _documents(source: str, text: str) -> list[Any]:
    if text.lstrip().startswith("{"):
        try:
            return [json.loads(text)]
        except ValueError:
            pass  # YAML may begin like this, too; if it is none, its reader says where
    try:
        return list(yaml.load_all(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f": line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise _Unreadable(f"{source}{place}: {error.problem or 'cannot be read as YAML'}") from None
    except yaml.YAMLError as error:
        raise _Unreadable(f"{source}: {' '.join(str(error).split())}") from None


def _items(body: Any) -> list[Any]:
    """A list's objects, each with what the list says of all of them; any other object alone."""
    if not isinstance(body, dict) or not isinstance(body.get("items"), list):
        return [body]
    header = msgspec.convert(body, _Header)
    if not header.kind.endswith("List"):
        return [body]
    common = {"apiVersion": header.api_version, "kind": header.kind.removesuffix("List")}
    return [{**common, **item} if isinstance(item, dict) else item for item in body["items"]]
