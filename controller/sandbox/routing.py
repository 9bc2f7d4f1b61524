"""Reads a path as the API server does: group, version, namespace, resource, name, subresource."""

from __future__ import annotations

from dataclasses import dataclass

from controller.sandbox.decoding import Target
from controller.sandbox.kinds import Catalogue
from controller.sandbox.statuses import unsupported

_NAMESPACE_SUBRESOURCES = {"status", "finalize"}


@dataclass(frozen=True, slots=True)
class Route:
    """The parts of a resource's path; absent ones are empty."""

    group: str
    version: str
    namespace: str
    plural: str
    name: str
    subresource: str

    @classmethod
    def of(cls, path: str) -> Route | None:
        """Return the route of /api/v1/... or /apis/GROUP/VERSION/..., or None if it names no resource."""
        match [part for part in path.split("/") if part]:
            case ["api", version, _, *_] as parts:
                group, parts = "", parts[2:]
            case ["apis", group, version, _, *_] as parts:
                parts = parts[3:]
            case _:
                return None
        namespace = ""
        if parts[0] == "namespaces" and len(parts) > 2 and parts[2] not in _NAMESPACE_SUBRESOURCES:
            _, namespace, *parts = parts
        parts += [""] * (3 - len(parts))
        plural, name, *rest = parts
        return cls(group, version, namespace, plural, name, "/".join(rest))

    def target(self, catalogue: Catalogue) -> Target:
        """Return what the route leads to; refuses with 404."""
        kind = catalogue.get(self.group, self.version, self.plural)
        if self.subresource and not (self.subresource == "status" and kind.has_status):
            raise unsupported(f"subresource {kind.plural}/{self.subresource}")
        if self.namespace and not kind.namespaced:
            raise unsupported(f"{kind.plural} in a namespace")
        if self.name and kind.namespaced and not self.namespace:
            raise unsupported(f"{kind.plural} by name without a namespace")
        return Target(kind, self.namespace, self.name, is_status=bool(self.subresource))
