"""The watch variables: the objects a watch found, as templates see them."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from functools import cached_property
from itertools import product
from typing import Any, overload

import msgspec
from jinja2.exceptions import TemplateRuntimeError

from controller.config.paths import FieldPath
from controller.templating.protocol import WatchData

KubernetesObject = dict[str, Any]


class WatchVariable(Sequence[KubernetesObject]):
    """The objects of one watch, in order; decoded and indexed when first needed.

    Names with an underscore are out of reach for templates.
    """

    def __init__(self, data: WatchData) -> None:
        self._data = data

    def get(self, name: str, namespace: str | None = None) -> KubernetesObject | None:
        """The object of that name, or none; without a namespace the name must be unique."""
        named = self._by_name.get(name, [])
        if namespace is not None:
            return next((found for found in named if _metadata(found, "namespace") == namespace), None)
        if len(named) > 1:
            namespaces = ", ".join(str(_metadata(found, "namespace")) for found in named)
            raise TemplateRuntimeError(
                f"{self._data.name}.get({name!r}) is ambiguous: the name exists in the namespaces"
                f" {namespaces}; pass the namespace as well"
            )
        return named[0] if named else None

    def by(self, *values: Any) -> tuple[KubernetesObject, ...]:
        """The objects whose fields have these values, one for each path in the watch's indexBy."""
        paths = self._data.index_by
        if not paths:
            raise TemplateRuntimeError(f"{self._data.name}.by() needs indexBy in the watch")
        if len(values) != len(paths):
            raise TemplateRuntimeError(
                f"{self._data.name}.by() takes one value for each of {', '.join(paths)}; got {len(values)}"
            )
        return tuple(self._index.get(tuple(map(_key, values)), ()))

    @overload
    def __getitem__(self, index: int) -> KubernetesObject: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[KubernetesObject]: ...

    def __getitem__(self, index: int | slice) -> KubernetesObject | Sequence[KubernetesObject]:
        return self._objects[index]

    def __iter__(self) -> Iterator[KubernetesObject]:
        return iter(self._objects)

    def __len__(self) -> int:
        return len(self._data.objects)

    @cached_property
    def _objects(self) -> tuple[KubernetesObject, ...]:
        decode = msgspec.json.Decoder(KubernetesObject).decode
        return tuple(decode(document) for document in self._data.objects)

    @cached_property
    def _by_name(self) -> dict[Any, list[KubernetesObject]]:
        named: dict[Any, list[KubernetesObject]] = {}
        for found in self._objects:
            named.setdefault(_metadata(found, "name"), []).append(found)
        return named

    @cached_property
    def _index(self) -> dict[tuple[Hashable, ...], list[KubernetesObject]]:
        paths = [FieldPath.parse(path) for path in self._data.index_by]
        index: dict[tuple[Hashable, ...], list[KubernetesObject]] = {}
        for found in self._objects:
            # A path with [*] leads to several values; the object is found by each, but once.
            for key in dict.fromkeys(product(*(map(_key, path.values(found)) for path in paths))):
                index.setdefault(key, []).append(found)
        return index


def _metadata(found: KubernetesObject, field: str) -> Any:
    """A field that every object has on a server, but not in every test's fixtures."""
    return found.get("metadata", {}).get(field)


def _key(value: Any) -> Hashable:
    if isinstance(value, dict | list):
        return msgspec.json.encode(value, order="sorted")
    # For Python, true is 1.
    return isinstance(value, bool), value
