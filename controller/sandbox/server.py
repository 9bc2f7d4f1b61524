"""The sandbox as a server: HTTP in, the registry's verbs, HTTP out.

Everything else lives beside: `registry` for the rules of writes, `listing` and `watching` for reads, `schema` and
`validation` for custom resources, `controllers` for what happens in the background.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

import msgspec
import yaml
from aiohttp import web

from controller.sandbox import discovery
from controller.sandbox.builtin_kinds import BUILTIN_KINDS, NAMESPACE
from controller.sandbox.controllers import Controllers
from controller.sandbox.kinds import Catalogue, Kind
from controller.sandbox.listing import ListQuery, Page
from controller.sandbox.registry import Answer, DeleteOptions, Registry, Target
from controller.sandbox.routing import Route
from controller.sandbox.statuses import Object, Refused, bad_request, unsupported
from controller.sandbox.store import Store
from controller.sandbox.tables import table, wants_table
from controller.sandbox.watching import Watch

NAMESPACES = ("default", "kopfbus-system")
"""They exist from the start."""
HISTORY = 10_000
"""Writes that can be resumed from: a watch that asks for an older resourceVersion gets 410."""
MAX_BODY = 3 * 1024 * 1024
"""Bytes; the real server's limit."""
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"

_log = logging.getLogger(__name__)


class Sandbox:
    """An API server in this process and loop, over plain HTTP, for one cluster that lives in memory.

        sandbox = Sandbox()
        await sandbox.start()
        Path("kubeconfig").write_text(sandbox.kubeconfig())
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
        # Cancelling the handler of a connection that is gone ends its watch at once, not at the next bookmark.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        self.url = f"http://{host}:{self._runner.addresses[0][1]}"
        self._controllers = asyncio.create_task(Controllers(self._store, self._catalogue, self._registry).run())

    async def stop(self) -> None:
        """Close every connection and forget everything."""
        if self._controllers is not None:
            self._controllers.cancel()
            await asyncio.gather(self._controllers, return_exceptions=True)
        if self._runner is not None:
            await self._runner.cleanup()

    def kubeconfig(self) -> str:
        """A kubeconfig for this server, as YAML."""
        name = "kopfbus-sandbox"
        context = {"cluster": name, "user": name, "namespace": NAMESPACES[0]}
        return yaml.safe_dump({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": {"server": self.url}}],
            "users": [{"name": name, "user": {}}],
            "contexts": [{"name": name, "context": context}],
            "current-context": name,
        })

    def compact(self) -> None:
        """Forget the history: watches and lists that go on from before it get 410."""
        self._store.forget_history()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        try:
            return await self._dispatch(request)
        except Refused as refused:
            return _json(refused.status(), refused.code)
        except web.HTTPRequestEntityTooLarge:
            message = f"Request entity too large: limit is {MAX_BODY}"
            return _json(Refused(413, "RequestEntityTooLarge", message).status(), 413)
        except Exception as error:
            _log.exception("sandbox: %s %s failed", request.method, request.path)
            return _json(Refused(500, "InternalError", f"{type(error).__name__}: {error}").status(), 500)

    async def _dispatch(self, request: web.Request) -> web.StreamResponse:
        if "dryRun" in request.query:
            raise unsupported("dryRun", 405)
        route = Route.of(request.path)
        if route is None:
            return self._about(request)
        if (route.group, route.version, route.plural) == discovery.ACCESS_REVIEW and request.method == "POST":
            return _json({**await _body(request), "status": {"allowed": True}}, 201)
        target = route.target(self._catalogue)
        if request.method == "GET" and not target.name:
            return await self._read_collection(request, target)
        if request.method == "GET":
            return _one(request, target.kind, self._registry.get(target))
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
                return _json(discovery.version())
            case ["api"]:
                return _json(discovery.core_versions())
            case ["apis"]:
                return _json(discovery.groups(self._catalogue))
            case ["apis", group]:
                return _json(discovery.group(self._catalogue, group))
            case ["openapi", "v3"]:
                return _json(discovery.openapi_index(self._catalogue))
            case ["api", version] | ["apis", _, version] as parts:
                return _json(discovery.resources(self._catalogue, "/".join(parts[1:]) if version else ""))
            case ["openapi", "v3", "api" | "apis", *group_version]:
                return _json(discovery.openapi(self._catalogue, "/".join(group_version)))
        raise unsupported(request.path)

    async def _read_collection(self, request: web.Request, target: Target) -> web.StreamResponse:
        query = ListQuery.of(request.query)
        if request.query.get("watch", "").lower() not in {"1", "true"}:
            return _many(request, target.kind, self._registry.list(target, query))
        watch = Watch(self._store, self._catalogue, target.kind, target.namespace, query)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        as_table = wants_table(request.headers.get("Accept", ""))
        async for batch in watch.events():
            shown = (_as_table(target.kind, event) for event in batch) if as_table else batch
            await response.write(b"".join(msgspec.json.encode(event) + b"\n" for event in shown))
        return response

    async def _write(self, request: web.Request, target: Target) -> web.Response:
        strict = request.query.get("fieldValidation") == "Strict"
        match request.method, bool(target.name):
            case "POST", False:
                answer = self._registry.create(target, await _body(request), strict=strict)
            case "PUT", True:
                answer = self._registry.replace(target, await _body(request), strict=strict)
            case "PATCH", True:
                answer = self._registry.merge_patch(target, await _patch(request, target.kind), strict=strict)
            case method, _:
                raise unsupported(f"{method} {request.path}", 405)
        if request.query.get("fieldValidation") == "Ignore":
            answer.warnings = []
        return _one(request, target.kind, answer.obj, answer)

    async def _delete(self, request: web.Request, target: Target) -> web.Response:
        if target.is_status:
            raise unsupported(f"DELETE {request.path}", 405)
        options = await _delete_options(request)
        if target.name:
            return _json(self._registry.delete(target, options))
        if "deletecollection" not in target.kind.verbs:
            raise unsupported(f"DELETE {request.path}", 405)
        query = ListQuery.of(request.query)
        return _many(request, target.kind, self._registry.delete_collection(target, query, options))


async def _body(request: web.Request) -> Object:
    """Return the decoded JSON object; refuses with 400, 413 or 415."""
    if request.content_type not in {"application/json", "application/octet-stream"}:
        raise unsupported(f"Content-Type {request.content_type}", 415)
    return await _decoded(request)


async def _patch(request: web.Request, kind: Kind) -> Object:
    """Return a merge patch; a strategic one of a built-in kind passes where both mean the same."""
    if request.content_type not in {MERGE_PATCH, STRATEGIC_PATCH}:
        raise unsupported(f"Content-Type {request.content_type} (use {MERGE_PATCH})", 415)
    patch = await _decoded(request)
    if request.content_type == STRATEGIC_PATCH and (kind.is_custom or _is_strategic(patch)):
        raise unsupported(f"a strategic merge patch with lists or directives (use {MERGE_PATCH})", 415)
    return patch


def _is_strategic(patch: object) -> bool:
    """Whether lists or directives make the patch mean something else than a merge patch."""
    if not isinstance(patch, dict):
        return isinstance(patch, list)
    return any(name.startswith("$") or _is_strategic(value) for name, value in patch.items())


async def _decoded(request: web.Request) -> Object:
    try:
        return msgspec.json.decode(await request.read(), type=dict)
    except msgspec.DecodeError as error:
        raise bad_request(f"the body is no JSON object: {error}") from error


async def _delete_options(request: web.Request) -> DeleteOptions:
    body = await _decoded(request) if request.can_read_body else {}
    given = {"propagationPolicy": request.query["propagationPolicy"]} if "propagationPolicy" in request.query else {}
    try:
        return msgspec.convert({**body, **given}, DeleteOptions)
    except msgspec.ValidationError as error:
        raise bad_request(f"DeleteOptions: {error}") from error


def _one(request: web.Request, kind: Kind, obj: Object, answer: Answer | None = None) -> web.Response:
    if wants_table(request.headers.get("Accept", "")):
        obj = table(kind, [obj], {"resourceVersion": obj["metadata"]["resourceVersion"]})
    if answer is None:
        return _json(obj)
    return _json(obj, answer.code, answer.warnings)


def _many(request: web.Request, kind: Kind, page: Page) -> web.Response:
    metadata: Object = {"resourceVersion": str(page.version)}
    if page.token:
        metadata["continue"] = page.token
    if page.remaining is not None:
        metadata["remainingItemCount"] = page.remaining
    if wants_table(request.headers.get("Accept", "")):
        return _json(table(kind, page.items, metadata))
    items = page.items if kind.is_custom else [_untyped(obj) for obj in page.items]
    return _json({
        "kind": f"{kind.kind}List",
        "apiVersion": kind.api_version,
        "metadata": metadata,
        "items": items,
    })


def _untyped(obj: Object) -> Object:
    """Return the object without apiVersion and kind, as lists of built-in kinds have them."""
    return {name: value for name, value in obj.items() if name not in {"apiVersion", "kind"}}


def _as_table(kind: Kind, event: Object) -> Object:
    if event["type"] in {"BOOKMARK", "ERROR"}:
        return event
    return {"type": event["type"], "object": table(kind, [event["object"]], {})}


def _json(body: Object, code: int = 200, warnings: Iterable[str] = ()) -> web.Response:
    headers = [("Warning", '299 - "{}"'.format(text.replace('"', '\\"'))) for text in warnings]
    data = msgspec.json.encode(body)
    return web.Response(body=data, status=code, content_type="application/json", headers=headers)
