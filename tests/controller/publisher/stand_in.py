"""An API server in memory: objects with uid and resourceVersion, 404 and 409 as a real one answers them."""

from __future__ import annotations

import copy
import itertools
import json
from collections.abc import Callable, Mapping
from typing import Any

from controller.kube.client import CONFIG_MAPS, SECRETS, Resource
from controller.kube.errors import ApiError
from controller.leadership.fence import Fence, Term
from controller.leadership.writer import Writer
from controller.testing import FakeClock

Document = dict[str, Any]
Refuse = Callable[[str, str], Exception | None]
"""Called with verb and name before each request; what it returns is raised."""


class Cluster:
    """Namespace `edge`, and what was asked of it: `requests` as (verb, name)."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str], Document] = {}
        self.requests: list[tuple[str, str]] = []
        self.refuse: Refuse = lambda verb, name: None
        self._versions = itertools.count(100)

    # --- for tests

    def put(self, kind: str, name: str, data: Mapping[str, str] | None = None, **more: Any) -> Document:
        """Place an object as somebody else would, or replace it."""
        metadata = {"name": name, "namespace": "edge", "uid": f"uid-of-{name}", **more.pop("metadata", {})}
        obj = {"apiVersion": "v1", "kind": kind, "metadata": metadata, "data": dict(data or {}), **more}
        return self._store(obj)

    def edit(self, kind: str, name: str, change: Callable[[Document], None]) -> None:
        """Change an object by hand."""
        obj = self.objects[kind, name]
        change(obj)
        self._store(obj)

    def target(self, name: str = "proxy", kind: str = "ConfigMap") -> Document:
        return self.objects[kind, name]

    @property
    def writes(self) -> list[tuple[str, str]]:
        return [request for request in self.requests if request[0] not in {"get", "list"}]

    def _store(self, obj: Document) -> Document:
        stored = copy.deepcopy(obj)
        stored["metadata"]["resourceVersion"] = str(next(self._versions))
        self.objects[obj["kind"], obj["metadata"]["name"]] = stored
        return copy.deepcopy(stored)

    # --- the client's side

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Document:
        self._asked("get", name)
        return copy.deepcopy(self._found(resource, name))

    async def create(self, resource: Resource, obj: Mapping[str, Any], *, timeout: float = 0) -> Document:
        name = obj["metadata"]["name"]
        self._asked("create", name)
        if (resource.kind, name) in self.objects:
            raise ApiError(409, "AlreadyExists", f"{name} already exists")
        made = copy.deepcopy(dict(obj))
        made["metadata"]["uid"] = f"uid-{next(self._versions)}"
        return self._store(made)

    async def replace(self, resource: Resource, obj: Mapping[str, Any], *, timeout: float = 0) -> Document:
        self._asked("replace", obj["metadata"]["name"])
        metadata = obj["metadata"]
        self._check(resource, metadata["name"], metadata.get("uid"), metadata.get("resourceVersion"))
        return self._store(dict(obj))

    async def merge_patch(
        self,
        resource: Resource,
        name: str,
        namespace: str | None,
        patch: Mapping[str, Any],
        *,
        subresource: str | None = None,
        timeout: float = 0,
    ) -> Document:
        self._asked("patch", name)
        version = patch.get("metadata", {}).get("resourceVersion")
        self._check(resource, name, None, version)
        return self._store(_merged(self.objects[resource.kind, name], patch))

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        timeout: float = 0,
    ) -> None:
        self._asked("delete", name)
        self._check(resource, name, uid, resource_version)
        del self.objects[resource.kind, name]

    async def request(self, method: str, path: str, *, query: Mapping[str, str] | None = None) -> bytes:
        assert method == "GET"
        kind = {resource.path("edge"): resource.kind for resource in (CONFIG_MAPS, SECRETS)}[path]
        self._asked("list", kind)
        label, _, value = (query or {})["labelSelector"].partition("=")
        items = [
            {key: value for key, value in obj.items() if key not in {"kind", "apiVersion"}}
            for (of, _), obj in self.objects.items()
            if of == kind and (obj["metadata"].get("labels") or {}).get(label) == value
        ]
        return json.dumps({"items": items}).encode()

    def _asked(self, verb: str, name: str) -> None:
        self.requests.append((verb, name))
        if (error := self.refuse(verb, name)) is not None:
            raise error

    def _found(self, resource: Resource, name: str) -> Document:
        try:
            return self.objects[resource.kind, name]
        except KeyError:
            raise ApiError(404, "NotFound", f"{name} not found") from None

    def _check(self, resource: Resource, name: str, uid: str | None, version: str | None) -> None:
        metadata = self._found(resource, name)["metadata"]
        if uid not in {None, metadata["uid"]} or version not in {None, metadata["resourceVersion"]}:
            raise ApiError(409, "Conflict", f"{name} has been modified")


def _merged(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = _merged(result.get(name), value)
    return result


class Office:
    """A term, and whether the Lease still names it."""

    def __init__(self, cluster: Cluster, clock: FakeClock, *, term: str = "50") -> None:
        self.held = True
        self.asked = 0
        self.term = Term("me", term, 1, Fence.standalone(clock))
        self.writer = Writer(cluster, self.term, self._verify, timeout=5.0)

    async def _verify(self, term: Term) -> bool:
        self.asked += 1
        return self.held
