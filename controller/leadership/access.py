"""Reading, writing and watching the one Lease of an election through the Kubernetes client."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from controller.kube.errors import ApiError
from controller.kube.resource import LEASES, Resource
from controller.leadership.lease import Lease, new_lease
from controller.leadership.timings import LeaseTimings

_CHANGES = frozenset({"ADDED", "MODIFIED", "DELETED"})


class LeaseClient(Protocol):
    """What election needs of `controller.kube.client.KubeClient`; timeouts in seconds."""

    async def get(
        self, resource: Resource, name: str, namespace: str | None = None, *, timeout: float = 30.0
    ) -> dict[str, Any]:
        """Read one object."""
        ...

    async def create(
        self, resource: Resource, obj: Mapping[str, Any], *, timeout: float = 30.0
    ) -> dict[str, Any]:
        """POST it; the object as created."""
        ...

    async def replace(
        self, resource: Resource, obj: Mapping[str, Any], *, timeout: float = 30.0
    ) -> dict[str, Any]:
        """PUT it; the object as written."""
        ...

    def stream(
        self, path: str, query: Mapping[str, str], *, idle_timeout: float
    ) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
        """Read a response line by line."""
        ...


class LeaseAccess:
    """One Lease on the server. Callers bound the calls; what fails raises KubeError."""

    def __init__(self, client: LeaseClient, name: str, namespace: str, timings: LeaseTimings) -> None:
        self.name = name
        self.namespace = namespace
        self._client = client
        self._timings = timings

    async def read(self) -> Lease | None:
        """The Lease as it is now, None if there is none."""
        timeout = self._timings.longest_call
        try:
            raw = await self._client.get(LEASES, self.name, self.namespace, timeout=timeout)
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        return Lease.parse(raw)

    async def take(self, lease: Lease | None, identity: str) -> Lease:
        """Take office: create the Lease, or overwrite it exactly as it was read."""
        if lease is not None:
            return await self.replace(lease.taken(identity, self._timings))
        obj = new_lease(self.name, self.namespace, identity, self._timings)
        return Lease.parse(await self._client.create(LEASES, obj, timeout=self._timings.longest_call))

    async def replace(self, obj: Mapping[str, Any]) -> Lease:
        """Write it back; its uid and resourceVersion make the server refuse it if anything has changed."""
        return Lease.parse(await self._client.replace(LEASES, obj, timeout=self._timings.longest_call))

    async def give_back(self, identity: str) -> None:
        """Release the Lease if `identity` still holds it, again if another change comes first."""
        while True:
            lease = await self.read()
            if lease is None or lease.holder != identity:
                return
            try:
                await self.replace(lease.given_back())
            except ApiError as error:
                if error.status != 409:
                    raise
            else:
                return

    async def watch(self, seen: Callable[[str, Lease], None]) -> None:
        """Call `seen(type, lease)` for the state found and for each change (ADDED, MODIFIED, DELETED).

        Without a resourceVersion the server begins with the present state, so there is nothing to resume. The
        holder renews several times per lease duration: a stream silent for longer than that is given up.
        """
        query = {"watch": "true", "fieldSelector": f"metadata.name={self.name}"}
        path = LEASES.path(self.namespace)
        async with self._client.stream(path, query, idle_timeout=self._timings.lease_duration) as lines:
            async for line in lines:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    status = event["object"]
                    raise ApiError(status.get("code", 0), status.get("reason", ""), status.get("message", ""))
                if event["type"] in _CHANGES:
                    seen(event["type"], Lease.parse(event["object"]))
