"""Writes in a term's name: prepared completely, checked at the fence, sent, and doubted when refused (L4)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from controller.kube.client import Resource
from controller.kube.errors import ApiError
from controller.leadership.fence import FenceClosed, Term

ATTEMPTS = 4
"""How often a refused write is prepared afresh before the refusal counts."""
DOUBTFUL = frozenset({404, 409, 422})
"""Answers after which somebody else may be in office."""

Document = dict[str, Any]


class WriteClient(Protocol):
    """The requests that a writer makes."""

    async def create(self, resource: Resource, obj: Mapping[str, Any], *, timeout: float) -> Document:
        """POST."""
        ...

    async def replace(self, resource: Resource, obj: Mapping[str, Any], *, timeout: float) -> Document:
        """PUT."""
        ...

    async def merge_patch(
        self,
        resource: Resource,
        name: str,
        namespace: str | None,
        patch: Mapping[str, Any],
        *,
        subresource: str | None = None,
        timeout: float,
    ) -> Document:
        """PATCH."""
        ...

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        timeout: float,
    ) -> None:
        """DELETE with preconditions."""
        ...


@dataclass(frozen=True, slots=True)
class Create:
    """POST an object that is not there."""

    resource: Resource
    obj: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Replace:
    """PUT an object over the one with its uid and resourceVersion."""

    resource: Resource
    obj: Mapping[str, Any]

    def __post_init__(self) -> None:
        metadata = self.obj["metadata"]
        if not (metadata.get("uid") and metadata.get("resourceVersion")):
            raise ValueError(
                f"replacing {metadata.get('name')} without uid and resourceVersion fences nothing"
            )


@dataclass(frozen=True, slots=True)
class PatchStatus:
    """Merge a status into the object of that resourceVersion."""

    resource: Resource
    namespace: str
    name: str
    resource_version: str
    status: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Delete:
    """Delete the object of that uid and resourceVersion."""

    resource: Resource
    namespace: str
    name: str
    uid: str
    resource_version: str


Write = Create | Replace | PatchStatus | Delete
Prepare = Callable[[], Awaitable[Write | None]]
"""Reads what there is and fixes the complete request; None when there is nothing to write."""


class Writer:
    """Sends the writes of one term. For the main loop."""

    def __init__(
        self, client: WriteClient, term: Term, verify: Callable[[Term], Awaitable[bool]], *, timeout: float
    ) -> None:
        self.term = term
        self._client = client
        self._verify = verify
        self._timeout = timeout

    async def write(self, prepare: Prepare, standing: Callable[[], None] = lambda: None) -> Document | None:
        """Prepare and send; what was written, or None when there was nothing to write.

        `standing` is called immediately before the fence; what it raises is raised. A refusal that may mean
        another's term (404, 409, 422) makes the writer read the Lease: then it prepares again, or:

        Raises
        ------
        FenceClosed
            When this term is over.
        KubeError, TimeoutError
            When the API server refuses for good, is out of reach, or does not answer in the lease time left.
        """
        for attempt in range(1, ATTEMPTS + 1):
            request = await prepare()
            if request is None:
                return None
            standing()
            try:
                async with self.term.fence.write():
                    return await self._send(request)
            except ApiError as error:
                if error.status not in DOUBTFUL:
                    raise
                await self.confirm()
                if attempt == ATTEMPTS:
                    raise
        raise AssertionError("unreachable")  # the last attempt returns or raises

    async def confirm(self) -> None:
        """Read the Lease afresh; FenceClosed when it is not this term's any more. Raises as `write`."""
        if not await self._verify(self.term):
            raise FenceClosed(self.term.fence.reason or "the Lease is not this term's any more")

    async def _send(self, request: Write) -> Document:
        match request:
            case Create(resource, obj):
                return await self._client.create(resource, obj, timeout=self._timeout)
            case Replace(resource, obj):
                return await self._client.replace(resource, obj, timeout=self._timeout)
            case PatchStatus():
                patch = {"metadata": {"resourceVersion": request.resource_version}, "status": request.status}
                return await self._client.merge_patch(
                    request.resource,
                    request.name,
                    request.namespace,
                    patch,
                    subresource="status",
                    timeout=self._timeout,
                )
            case Delete():
                await self._client.delete(
                    request.resource,
                    request.name,
                    request.namespace,
                    uid=request.uid,
                    resource_version=request.resource_version,
                    timeout=self._timeout,
                )
                return {}
