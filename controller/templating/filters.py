"""Helpers and filters that templates have beside Jinja's own; the same input always gives the same text."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any

import msgspec
import yaml
from jinja2 import Environment, Undefined, pass_environment
from jinja2.exceptions import FilterArgumentError, TemplateRuntimeError
from jinja2.utils import missing

from controller.config.paths import FieldPath
from controller.templating.watches import WatchVariable


class FailCalled(TemplateRuntimeError):
    """A template called fail()."""


class RequiredMissing(TemplateRuntimeError):
    """A template's required() found nothing."""


def fail(message: str) -> None:
    """End the render with this message."""
    raise FailCalled(str(message))


def required(value: Any, message: str) -> Any:
    """The value, unless it is undefined, none or the empty text: then the render ends with the message."""
    if isinstance(value, Undefined) or value is None or value == "":
        raise RequiredMissing(str(message))
    return value


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON with sorted keys, compact unless an indent is given."""
    separators = (",", ":") if indent is None else (",", ": ")
    return json.dumps(
        value,
        sort_keys=True,
        ensure_ascii=False,
        allow_nan=False,
        indent=indent,
        separators=separators,
        default=_jsonable,
    )


def _jsonable(value: Any) -> list[Any]:
    if isinstance(value, WatchVariable):
        return list(value)
    if isinstance(value, Undefined):
        str(value)  # raises what it stands for
    raise FilterArgumentError(f"a {type(value).__name__} cannot be written as JSON or YAML")


def from_json(text: str) -> Any:
    """The value that a JSON text stands for."""
    try:
        return msgspec.json.decode(_text(text, "from_json"))
    except msgspec.DecodeError as error:
        raise FilterArgumentError(f"from_json: {error}") from None


class _Dumper(yaml.CSafeDumper):
    """YAML that readers of YAML 1.1 and 1.2 understand alike."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_READS_OTHERWISE = re.compile(r"[yYnN]|0o[0-7]+|[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
"""Texts that some YAML reader takes for a number or a boolean: a commit hash like 12e4567 is one."""


def _represent_text(dumper: yaml.CSafeDumper, text: str) -> yaml.ScalarNode:
    style = "'" if _READS_OTHERWISE.fullmatch(text) else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def to_yaml(value: Any) -> str:
    """YAML in block style with sorted keys, without a newline at the end."""
    plain = json.loads(to_json(value))
    text = yaml.dump(plain, Dumper=_Dumper, allow_unicode=True, default_flow_style=False, width=1_000_000)
    if not isinstance(plain, dict | list):
        text = text.removesuffix("...\n")  # the mark after a lone scalar
    return text.rstrip("\n")


class _Loader(yaml.CSafeLoader):
    """Reads what JSON could say: a date stays the text that it is."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def from_yaml(text: str) -> Any:
    """The value that a YAML text stands for."""
    try:
        return yaml.load(_text(text, "from_yaml"), Loader=_Loader)  # noqa: S506  a safe loader
    except yaml.YAMLError as error:
        raise FilterArgumentError(f"from_yaml: {' '.join(str(error).split())}") from None


def b64encode(text: str) -> str:
    """Base64 of the text's UTF-8."""
    return base64.b64encode(_text(text, "b64encode").encode()).decode()


def b64decode(text: str) -> str:
    """The text whose Base64 this is."""
    try:
        return base64.b64decode(_text(text, "b64decode"), validate=True).decode()
    except UnicodeDecodeError:
        raise FilterArgumentError("b64decode: what it stands for is no UTF-8 text") from None
    except (binascii.Error, ValueError):
        raise FilterArgumentError("b64decode: not valid Base64") from None


def sha256(text: str) -> str:
    """SHA-256 of the text's UTF-8, in hexadecimal."""
    return hashlib.sha256(_text(text, "sha256").encode()).hexdigest()


def _text(value: Any, name: str) -> str:
    if isinstance(value, Undefined):
        str(value)  # raises what it stands for
    if not isinstance(value, str):
        raise FilterArgumentError(f"{name} takes a text, not a {type(value).__name__}")
    return value


def sort_by(items: Iterable[Any], *paths: str) -> list[Any]:
    """The items by the values at these field paths; stable, and what has no such field comes last."""
    if not paths:
        raise FilterArgumentError("sort_by takes at least one field path, as in sort_by('metadata.name')")
    parsed = [_field_path(path) for path in paths]
    return sorted(items, key=lambda item: [_rank(path.values(item)) for path in parsed])


@cache
def _field_path(text: str) -> FieldPath:
    try:
        return FieldPath.parse(text)
    except ValueError as error:
        raise FilterArgumentError(f"{text!r}: {error}") from None


def _rank(values: list[Any]) -> tuple[bool, list[tuple[int, Any]]]:
    return not values, [_comparable(value) for value in values]


def _comparable(value: Any) -> tuple[int, Any]:
    """Values of different types side by side: none, booleans, numbers, texts, then everything else."""
    match value:
        case None:
            return 0, 0
        case bool():
            return 1, value
        case int() | float():
            return 2, value
        case str():
            return 3, value
    return 4, to_json(value)


@pass_environment
def dig(environment: Environment, value: Any, *path: str | int, default: Any = missing) -> Any:
    """What lies at this path of keys and indexes; else the default, and without one it is undefined."""
    if isinstance(value, Undefined):
        return value if default is missing else default
    for step in path:
        holds = step in value if isinstance(value, dict) else _has_index(value, step)
        if not holds:
            return environment.undefined(obj=value, name=step) if default is missing else default  # type: ignore[arg-type]  # Jinja takes indexes too
        value = value[step]
    return value


def _has_index(value: Any, step: object) -> bool:
    return isinstance(value, list | tuple) and isinstance(step, int) and -len(value) <= step < len(value)


HELPERS: Mapping[str, Callable[..., Any]] = {"fail": fail, "required": required}
FILTERS: Mapping[str, Callable[..., Any]] = {
    function.__name__: function
    for function in (to_json, from_json, to_yaml, from_yaml, b64encode, b64decode, sha256, sort_by, dig)
}
