"""Kinds as the API server names them, and the paths of their objects."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote

from controller.config.model import GROUP, KIND, PLURAL, VERSION


@dataclass(frozen=True, slots=True)
class Resource:
    """`Resource("apps", "v1", "Deployment", "deployments", namespaced=True)`; the core group is `""`."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool

    @property
    def api_version(self) -> str:
        """As in a manifest: `apps/v1`, or `v1` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(
        self, namespace: str | None = None, name: str | None = None, subresource: str | None = None
    ) -> str:
        """The path of one object, or of all; without a namespace that is every namespace's.

        Raises ValueError for what the API server could take for another path.
        """
        if self.namespaced and name and not namespace:
            raise ValueError(f"{self.kind} {name} needs a namespace")
        if namespace and not self.namespaced:
            raise ValueError(f"{self.kind} has no namespaces, but {namespace} was given")
        parts = ["", *(("apis", self.group) if self.group else ("api",)), self.version]
        if namespace:
            parts += ["namespaces", _segment(namespace)]
        parts.append(self.plural)
        if name:
            parts.append(_segment(name))
        if subresource:
            parts.append(subresource)
        return "/".join(parts)


def _segment(name: str) -> str:
    """A name as a path segment; the same rule as apimachinery's IsValidPathSegmentName."""
    if name in {".", ".."} or "/" in name or "%" in name:
        raise ValueError(f"{name!r} cannot be the name of an object or namespace")
    return quote(name, safe=":")


CONFIG_MAPS = Resource("", "v1", "ConfigMap", "configmaps", namespaced=True)
SECRETS = Resource("", "v1", "Secret", "secrets", namespaced=True)
EVENTS = Resource("", "v1", "Event", "events", namespaced=True)
LEASES = Resource("coordination.k8s.io", "v1", "Lease", "leases", namespaced=True)
CONFIG_TEMPLATES = Resource(GROUP, VERSION, KIND, PLURAL, namespaced=True)
