"""The sandbox as a server: HTTP in, the registry's verbs, HTTP out.

Everything else lives beside: `registry` for the rules of writes, `listing` and `watching` for reads, `schema`
and `validation` for custom resources, `controllers` for what happens in the background.

Left out, and refused (404, 405, 415, 422) in words that say so: kinds with several versions, server-side
apply, strategic merge patches with lists, dry runs, protobuf, subresources other than status. Left out, and
not noticed: CEL rules, access control, managedFields, the validation and defaults of built-in kinds beyond
`rules`. Nothing runs Pods.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress

import msgspec
import yaml
from aiohttp import web

from controller.sandbox import discovery
from controller.sandbox.builtin_kinds import BUILTIN_KINDS, NAMESPACE
from controller.sandbox.controllers import Controllers
from controller.sandbox.decoding import Target
from controller.sandbox.kinds import Catalogue
from controller.sandbox.listing import ListQuery
from controller.sandbox.messages import as_table, body, delete_options, json, many, one, patch
from controller.sandbox.registry import Registry
from controller.sandbox.routing import Route
from controller.sandbox.statuses import Refused, unsupported
from controller.sandbox.store import Store
from controller.sandbox.tables import wants_table
from controller.sandbox.watching import Watch

NAMESPACES = ("default", "kopfbus-system")
"""They exist from the start."""
HISTORY = 10_000
"""Writes that can be resumed from: a watch that asks for an older resourceVersion gets 410."""
MAX_BODY = 3 * 1024 * 1024
"""Bytes; the real server's limit."""

_log = logging.getLogger(__name__)


class Sandbox:
    """An API server in this process and loop, over plain HTTP, for one cluster that lives in memory.

    Start it, write `kubeconfig()` to a file, point clients at that.
    """

    def __init__(self) -> None:
        self.url = ""
        """Where it listens, once started."""
        self._store = Store(HISTORY)
        self._catalogue = Catalogue(BUILTIN_KINDS)
        self._registry = Registry(self._store)
        self._controllers: asyncio.Task[None] | None = None
        self._runner: web.AppRunner | None = None

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        """Serve until stopped; port 0 takes a free one. Raises OSError if the port is taken."""
        for name in NAMESPACES:
            self._registry.create(Target(NAMESPACE), {"metadata": {"name": name}})
        app = web.Application(client_max_size=MAX_BODY)
        app.router.add_route("*", "/{path:.*}", self._answer)
        # The watch of a connection that is gone ends at once by cancellation, not at the next bookmark.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        self.url = f"http://{host}:{self._runner.addresses[0][1]}"
        controllers = Controllers(self._store, self._catalogue, self._registry)
        self._controllers = asyncio.create_task(controllers.run())

    async def stop(self) -> None:
        """Close every connection and forget everything."""
        if self._runner is not None:
            await self._runner.cleanup()
        if self._controllers is not None:
            self._controllers.cancel()
            with suppress(asyncio.CancelledError):
                await self._controllers

    def kubeconfig(self) -> str:
        """A kubeconfig for this server, as YAML."""
        name = "kopfbus-sandbox"
        context = {"cluster": name, "user": name, "namespace": NAMESPACES[0]}
        return yaml.safe_dump(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": name, "cluster": {"server": self.url}}],
                "users": [{"name": name, "user": {}}],
                "contexts": [{"name": name, "context": context}],
                "current-context": name,
            }
        )

    def compact(self) -> None:
        """Forget the history: watches and lists that go on from before it get 410."""
        self._store.forget_history()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._dispatch(request)
        except Refused as refused:
            return json(refused.status(), refused.code)
        except web.HTTPRequestEntityTooLarge:
            message = f"Request entity too large: limit is {MAX_BODY}"
            return json(Refused(413, "RequestEntityTooLarge", message).status(), 413)
        except Exception as error:
            _log.exception("sandbox: %s %s failed", request.method, request.path)
            return json(Refused(500, "InternalError", f"{type(error).__name__}: {error}").status(), 500)

    async def _dispatch(self, request: web.Request) -> web.StreamResponse:
        if "dryRun" in request.query:
            raise unsupported("dryRun", 405)
        route = Route.of(request.path)
        if route is None:
            return self._about(request)
        if (route.group, route.version, route.plural) == discovery.ACCESS_REVIEW and request.method == "POST":
            return json(discovery.access_review(await body(request)), 201)
        target = route.target(self._catalogue)
        if request.method == "GET" and not target.name:
            return await self._read_collection(request, target)
        if request.method == "GET":
            return one(request, target.kind, self._registry.get(target))
        if request.method == "DELETE":
            return await self._delete(request, target)
        return await self._write(request, target)

    def _about(self, request: web.Request) -> web.Response:
        """Answer what is not about objects: discovery, version and health."""
        if request.method != "GET":
            raise unsupported(f"{request.method} {request.path}", 405)
        match [part for part in request.path.split("/") if part]:
            case ["readyz" | "livez" | "healthz", *_]:
                return web.Response(text="ok")
            case ["version"]:
                return json(discovery.version())
            case ["api"]:
                return json(discovery.core_versions())
            case ["apis"]:
                return json(discovery.groups(self._catalogue))
            case ["apis", group]:
                return json(discovery.group(self._catalogue, group))
            case ["openapi", "v3"]:
                return json(discovery.openapi_index(self._catalogue))
            case ["api" | "apis", *group_version]:
                return json(discovery.resources(self._catalogue, "/".join(group_version)))
            case ["openapi", "v3", "api" | "apis", *group_version]:
                return json(discovery.openapi(self._catalogue, "/".join(group_version)))
        raise unsupported(request.path)

    async def _read_collection(self, request: web.Request, target: Target) -> web.StreamResponse:
        query = ListQuery.of(request.query)
        if request.query.get("watch", "").lower() not in {"1", "true"}:
            return many(request, target.kind, self._registry.list(target, query))
        watch = Watch(self._store, self._catalogue, target.kind, target.namespace, query)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        tabular = wants_table(request.headers.get("Accept", ""))
        async for batch in watch.events():
            shown = (as_table(target.kind, event) for event in batch) if tabular else batch
            await response.write(b"".join(msgspec.json.encode(event) + b"\n" for event in shown))
        return response

    async def _write(self, request: web.Request, target: Target) -> web.Response:
        strict = request.query.get("fieldValidation") == "Strict"
        match request.method, bool(target.name):
            case "POST", False:
                answer = self._registry.create(target, await body(request), strict=strict)
            case "PUT", True:
                answer = self._registry.replace(target, await body(request), strict=strict)
            case "PATCH", True:
                answer = self._registry.patch(target, await patch(request, target.kind), strict=strict)
            case method, _:
                raise unsupported(f"{method} {request.path}", 405)
        if request.query.get("fieldValidation") == "Ignore":
            answer.warnings = []
        return one(request, target.kind, answer.obj, answer)

    async def _delete(self, request: web.Request, target: Target) -> web.Response:
        if target.is_status:
            raise unsupported(f"DELETE {request.path}", 405)
        options = await delete_options(request)
        if target.name:
            return json(self._registry.delete(target, options))
        if "deletecollection" not in target.kind.verbs:
            raise unsupported(f"DELETE {request.path}", 405)
        query = ListQuery.of(request.query)
        return many(request, target.kind, self._registry.delete_collection(target, query, options))
