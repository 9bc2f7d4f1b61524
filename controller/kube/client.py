"""The API server as the rest of the operator uses it: plain documents, every request bounded in time.

Configuration, authentication and TLS are `kubernetes.aio`'s; of its models nothing is used, because they
cost ten times what a plain document costs. Everything here belongs to the loop that awaited `connect`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast
from urllib.parse import urlencode

import aiohttp
import kopf
import msgspec
import structlog

from controller.kube.credentials import Credentials
from controller.kube.errors import ApiError, ApiUnreachable, KindNotFound, KubeConfigError
from controller.kube.resource import (
    CONFIG_MAPS,
    CONFIG_TEMPLATES,
    EVENTS,
    LEASES,
    SECRETS,
    Resource,
)
from controller.kube.stream import LineStream

__all__ = ["CONFIG_MAPS", "CONFIG_TEMPLATES", "EVENTS", "LEASES", "SECRETS", "KubeClient", "Resource"]

TIMEOUT = 30.0
"""Seconds for a request, if the caller does not say."""
DISCOVERY_LIFETIME = 30.0
"""Seconds for which the kinds of a group and version are remembered."""
MERGE_PATCH = "application/merge-patch+json"

Document = dict[str, Any]

_log = structlog.get_logger("kopfbus.kube")


class KubeClient:
    """Requests to one API server. They raise ApiError for a refusal, ApiUnreachable for want of an answer.

    `timeout` is in seconds and covers everything: connecting, renewing credentials, the whole answer.
    After a 401 credentials are loaded afresh and the request is sent once more, within the same time.
    """

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._kinds: dict[str, tuple[float, dict[str, Resource]]] = {}

    @classmethod
    async def connect(cls, kubeconfig: str | None = None, context: str | None = None) -> KubeClient:
        """Take the kubeconfig or context named, else the pod's service account, else the usual kubeconfig.

        No request is made yet. Raises KubeConfigError.
        """
        return cls(await Credentials.load(kubeconfig, context))

    @property
    def server(self) -> str:
        """The API server's URL."""
        return str(self._credentials.configuration.host)

    @property
    def default_namespace(self) -> str:
        """The namespace of the context, or of the pod."""
        return self._credentials.source.namespace

    async def close(self) -> None:
        """Close all connections."""
        await self._credentials.close()

    async def kopf_connection(self) -> kopf.ConnectionInfo:
        """Freshly loaded credentials for kopf, which has a session of its own in a loop of its own.

        To be awaited in this client's loop; a login handler in kopf's loop gets there with
        `asyncio.run_coroutine_threadsafe`. Raises KubeConfigError.
        """
        return await self._credentials.kopf_connection()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object | None = None,
        content_type: str = "application/json",
        timeout: float = TIMEOUT,
    ) -> bytes:
        """Send one request, `body` as JSON, and return the answer's body."""
        limit = aiohttp.ClientTimeout(total=None)
        try:
            async with asyncio.timeout(timeout):
                response = await self._send(method, path, query, body, content_type, limit)
                async with response:
                    return await response.read()
        except TimeoutError:
            raise ApiUnreachable(f"{self.server}: no answer within {timeout:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(error) from error

    async def get(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        timeout: float = TIMEOUT,
    ) -> Document:
        """Read one object."""
        return self._document(await self.request("GET", resource.path(namespace, name), timeout=timeout))

    async def create(
        self,
        resource: Resource,
        obj: Mapping[str, Any],
        *,
        timeout: float = TIMEOUT,
    ) -> Document:
        """POST an object to the namespace in its metadata."""
        path = resource.path(obj["metadata"].get("namespace"))
        return self._document(await self.request("POST", path, body=obj, timeout=timeout))

    async def replace(
        self,
        resource: Resource,
        obj: Mapping[str, Any],
        *,
        timeout: float = TIMEOUT,
    ) -> Document:
        """PUT an object; a uid and resourceVersion in its metadata are preconditions (else 409)."""
        metadata = obj["metadata"]
        path = resource.path(metadata.get("namespace"), metadata["name"])
        return self._document(await self.request("PUT", path, body=obj, timeout=timeout))

    async def merge_patch(
        self,
        resource: Resource,
        name: str,
        namespace: str | None,
        patch: Mapping[str, Any],
        *,
        subresource: str | None = None,
        timeout: float = TIMEOUT,
    ) -> Document:
        """Apply a JSON merge patch (RFC 7386); a resourceVersion in it is a precondition (else 409)."""
        path = resource.path(namespace, name, subresource)
        answer = await self.request("PATCH", path, body=patch, content_type=MERGE_PATCH, timeout=timeout)
        return self._document(answer)

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        """Delete an object, if it still has that uid and resourceVersion (else 409)."""
        conditions = {"uid": uid, "resourceVersion": resource_version}
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "preconditions": {name: value for name, value in conditions.items() if value},
        }
        await self.request("DELETE", resource.path(namespace, name), body=options, timeout=timeout)

    async def discover(self, api_version: str, kind: str) -> Resource:
        """Find out how the server serves a kind. Raises KindNotFound, which is asked again each time."""
        expires, kinds = self._kinds.get(api_version, (0.0, {}))
        if kind not in kinds or time.monotonic() >= expires:
            kinds = await self._kinds_of(api_version, kind)
            self._kinds[api_version] = (time.monotonic() + DISCOVERY_LIFETIME, kinds)
        if kind not in kinds:
            raise KindNotFound(api_version, kind)
        return kinds[kind]

    @asynccontextmanager
    async def stream(
        self, path: str, query: Mapping[str, str], *, idle_timeout: float
    ) -> AsyncIterator[LineStream]:
        """Open a response without end, such as a watch; `idle_timeout` limits the seconds between two chunks.

        Leaving the block closes the connection. See LineStream for what reading raises.
        """
        limit = aiohttp.ClientTimeout(total=None, sock_read=idle_timeout)
        try:
            async with asyncio.timeout(TIMEOUT):
                response = await self._send("GET", path, query, None, "application/json", limit)
        except TimeoutError:
            seconds = min(TIMEOUT, idle_timeout)
            raise ApiUnreachable(f"{self.server}: no answer within {seconds:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise self._unreachable(error) from error
        try:
            yield LineStream(response)
        finally:
            _abort(response)

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None,
        body: object | None,
        content_type: str,
        limit: aiohttp.ClientTimeout,
    ) -> aiohttp.ClientResponse:
        url = f"{path}?{urlencode(query)}" if query else path
        version = self._credentials.version
        response = await self._send_once(method, url, body, content_type, limit)
        if response.status == 401 and await self._reloaded(version):
            response.release()
            response = await self._send_once(method, url, body, content_type, limit)
        if response.status >= 300:
            async with response:
                raise await _refusal(response)
        return response

    async def _reloaded(self, version: int) -> bool:
        try:
            await self._credentials.reload(version)
        except KubeConfigError as error:
            _log.warning("credentials not reloaded", error=str(error))
            return False
        return True

    async def _send_once(
        self, method: str, url: str, body: object | None, content_type: str, limit: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        headers = {"Accept": "application/json", "User-Agent": "kopfbus", "Content-Type": content_type}
        if authorization := await self._credentials.authorization():
            headers["Authorization"] = authorization
        answer = await self._credentials.api.call_api(
            method, self.server + url, header_params=headers, body=body, _request_timeout=limit
        )
        return cast("aiohttp.ClientResponse", answer.response)

    async def _kinds_of(self, api_version: str, kind: str) -> dict[str, Resource]:
        group, _, version = api_version.rpartition("/")
        try:
            answer = await self.request("GET", f"/apis/{group}/{version}" if group else f"/api/{version}")
        except ApiError as error:
            if error.status == 404:
                raise KindNotFound(api_version, kind) from error
            raise
        served = self._document(answer).get("resources") or ()
        return {
            entry["kind"]: Resource(group, version, entry["kind"], entry["name"], bool(entry["namespaced"]))
            for entry in served
            if "/" not in entry["name"]
        }

    def _document(self, answer: bytes) -> Document:
        try:
            return msgspec.json.decode(answer, type=Document)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ApiUnreachable(f"{self.server}: answered something that is no object: {error}") from error

    def _unreachable(self, error: Exception) -> ApiUnreachable:
        return ApiUnreachable(f"{self.server}: {' '.join(str(error).split()) or type(error).__name__}")


def _abort(response: aiohttp.ClientResponse) -> None:
    """Drop the connection now: TLS's farewell would wait for a server that may still be sending."""
    connection = response.connection
    if connection is not None and connection.transport is not None:
        connection.transport.abort()
    response.close()


async def _refusal(response: aiohttp.ClientResponse) -> ApiError:
    retry_after = response.headers.get("Retry-After", "")
    body = await response.read()
    return ApiError.from_body(response.status, body, phrase=response.reason or "", retry_after=retry_after)
