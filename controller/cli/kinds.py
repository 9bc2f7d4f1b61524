"""What is known of a kind without an API server: whether it has namespaces, and its field selectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from controller.config.model import Watch
from controller.sandbox.builtin_kinds import BUILTIN_KINDS
from controller.sandbox.kinds import Kind

_KNOWN = {(kind.api_version, kind.kind): kind for kind in BUILTIN_KINDS}


def kind_of(watch: Watch) -> Kind:
    """The kind that is watched; an unknown one may lack namespaces only if it is watched in all of them."""
    known = _KNOWN.get((watch.api_version, watch.kind))
    if known is not None:
        return known
    return Kind(group="", version="", kind=watch.kind, plural="", namespaced=not watch.all_namespaces)


def placed(body: Mapping[str, Any], kind: Kind, namespace: str, name: str) -> dict[str, Any]:
    """The object with the name and namespace that it is given where it says nothing else."""
    given = {"name": name, "namespace": namespace} if kind.namespaced else {"name": name}
    told = {key: value for key, value in (body.get("metadata") or {}).items() if value is not None}
    return {**body, "metadata": {**given, **told}}
