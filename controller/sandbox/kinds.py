"""What the server knows about a kind, and the catalogue of kinds it serves at the moment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import msgspec

from controller.sandbox.statuses import Cause, Object, unsupported


class Rules:
    """What a kind adds to the rules of all objects; this base adds nothing."""

    shape: type[msgspec.Struct] | None = None
    """The fields of the kind and their types; without it everything is taken as it comes."""

    schema: Object = {}  # noqa: RUF012 -- replaced as a whole, by kinds that have a schema
    """The kind's openAPIV3Schema; empty for built-in kinds."""

    def prune(self, obj: Object) -> list[str]:
        """Remove the fields the kind does not know, in place; returns their paths."""
        if self.shape is None:
            return []
        known = {"apiVersion", "kind", "metadata", *self.shape.__struct_encode_fields__}
        unknown = [name for name in obj if name not in known]
        for name in unknown:
            del obj[name]
        return unknown

    def prepare(self, new: Object, old: Object | None) -> None:
        """Fill in what the server fills in, in place; `old` is None on creation."""

    def check(self, new: Object, old: Object | None) -> Iterator[Cause]:
        """Yield everything that is wrong with the object."""
        yield from ()

    def begin_deletion(self, obj: Object) -> None:
        """Mark an object whose deletion takes more than removing it, in place."""

    def is_held(self, obj: Object) -> bool:
        """Whether something must happen before the object may go."""
        return bool(obj["metadata"].get("finalizers"))


@dataclass(frozen=True, slots=True)
class Column:
    """One column of `kubectl get`: type and path as in additionalPrinterColumns."""

    name: str
    path: str
    type: str = "string"
    priority: int = 0


AGE = Column("Age", ".metadata.creationTimestamp", "date")


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """A kind as this server serves it: one version each."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = (
        "create",
        "delete",
        "deletecollection",
        "get",
        "list",
        "patch",
        "update",
        "watch",
    )
    has_status: bool = False
    """There is a /status, and writes to the main resource leave status alone."""
    has_generation: bool = False
    """metadata.generation counts the changes outside metadata and status."""
    blind_update: bool = True
    """A PUT without resourceVersion is allowed."""
    put_creates: bool = False
    """A PUT on an absent object creates it."""
    is_custom: bool = False
    """Defined by a CustomResourceDefinition."""
    fields: frozenset[str] = frozenset()
    """Field selectors besides metadata.name and metadata.namespace."""
    columns: tuple[Column, ...] = (AGE,)
    rules: Rules = field(default_factory=Rules, compare=False)

    @property
    def api_version(self) -> str:
        """As it stands in objects: `v1`, `apps/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def id(self) -> tuple[str, str]:
        """Identifies the kind in the store, whatever its definition says otherwise."""
        return self.group, self.plural

    @property
    def singular(self) -> str:
        """The name used in `kubectl get widget`."""
        return self.kind.lower()


class Catalogue:
    """The kinds served now; CustomResourceDefinitions add to it and take away."""

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self._kinds = {kind.id: kind for kind in kinds}

    def __iter__(self) -> Iterator[Kind]:
        return iter(list(self._kinds.values()))

    def add(self, kind: Kind) -> None:
        """Serve the kind, or serve it as now defined."""
        self._kinds[kind.id] = kind

    def remove(self, group: str, plural: str) -> None:
        """Serve the kind no longer; its watches end."""
        self._kinds.pop((group, plural), None)

    def get(self, group: str, version: str, plural: str) -> Kind:
        """Return the kind behind a URL; refuses with 404."""
        kind = self._kinds.get((group, plural))
        if kind is None or kind.version != version:
            place = f"{group}/{version}" if group else version
            raise unsupported(f"resource {plural!r} of {place}")
        return kind

    def serves(self, kind: Kind) -> bool:
        """Whether the kind is still served as it was."""
        return self._kinds.get(kind.id) is kind

    def knows(self, api_version: str, kind: str) -> bool:
        """Whether an owner reference names a kind that is served."""
        return any(one.api_version == api_version and one.kind == kind for one in self._kinds.values())
