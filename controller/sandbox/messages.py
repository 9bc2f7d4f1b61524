"""HTTP messages: request bodies decoded, objects and refusals as responses."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
from aiohttp import web

from controller.sandbox.kinds import Kind
from controller.sandbox.listing import Page
from controller.sandbox.patches import Patch, is_strategic, json_patch, merge_patch
from controller.sandbox.preconditions import DeleteOptions
from controller.sandbox.registry import Answer
from controller.sandbox.statuses import Object, bad_request, unsupported
from controller.sandbox.tables import table, wants_table

_INSTEAD_OF_PROTOBUF = "send JSON: kubectl create ... --dry-run=client -o yaml | kubectl create -f -"


async def body(request: web.Request) -> object:
    """Return the decoded body; refuses with 400, 413 or 415."""
    if request.content_type == "application/vnd.kubernetes.protobuf":
        raise unsupported(f"protobuf ({_INSTEAD_OF_PROTOBUF})", 415)
    if request.content_type not in {"application/json", "application/octet-stream"}:
        raise unsupported(f"Content-Type {request.content_type}", 415)
    return await _decoded(request)


async def patch(request: web.Request, kind: Kind) -> Patch:
    """Return the patch; a strategic one of a built-in kind passes where it means what a merge patch means."""
    body = await _decoded(request)
    match request.content_type:
        case "application/merge-patch+json":
            return merge_patch(body)
        case "application/json-patch+json":
            return json_patch(body)
        case "application/strategic-merge-patch+json" if not kind.is_custom and not is_strategic(body):
            return merge_patch(body)
    raise unsupported(f"{request.content_type} here (use application/merge-patch+json)", 415)


async def _decoded(request: web.Request) -> object:
    try:
        return msgspec.json.decode(await request.read())
    except msgspec.DecodeError as error:
        raise bad_request(f"the body is no JSON: {error}") from error


async def delete_options(request: web.Request) -> DeleteOptions:
    """Return how to delete, from body and query; refuses with 400."""
    body = await _decoded(request) if request.can_read_body else {}
    try:
        options = msgspec.convert(body, DeleteOptions)
    except msgspec.ValidationError as error:
        raise bad_request(f"DeleteOptions: {error}") from error
    if policy := request.query.get("propagationPolicy"):
        options.propagation_policy = policy
    return options


def one(request: web.Request, kind: Kind, obj: Object, answer: Answer | None = None) -> web.Response:
    """Answer with one object; `answer` is the write that led to it."""
    if wants_table(request.headers.get("Accept", "")):
        obj = table(kind, [obj], {"resourceVersion": obj["metadata"]["resourceVersion"]})
    if answer is None:
        return json(obj)
    return json(obj, answer.code, answer.warnings)


def many(request: web.Request, kind: Kind, page: Page) -> web.Response:
    """Answer with a page of a list."""
    metadata: Object = {"resourceVersion": str(page.version)}
    if page.token:
        metadata["continue"] = page.token
    if page.remaining is not None:
        metadata["remainingItemCount"] = page.remaining
    if wants_table(request.headers.get("Accept", "")):
        return json(table(kind, page.items, metadata))
    items = page.items if kind.is_custom else [_untyped(obj) for obj in page.items]
    return json(
        {
            "kind": f"{kind.kind}List",
            "apiVersion": kind.api_version,
            "metadata": metadata,
            "items": items,
        }
    )


def _untyped(obj: Object) -> Object:
    """Return the object without apiVersion and kind, as lists of built-in kinds have them."""
    return {name: value for name, value in obj.items() if name not in {"apiVersion", "kind"}}


def as_table(kind: Kind, event: Object) -> Object:
    """Return a watch event whose object is a Table of one row."""
    if event["type"] in {"BOOKMARK", "ERROR"}:
        return event
    return {"type": event["type"], "object": table(kind, [event["object"]], {})}


def json(body: Object, code: int = 200, warnings: Iterable[str] = ()) -> web.Response:
    """Answer with a JSON body; kubectl prints the warnings."""
    headers = [("Warning", '299 - "{}"'.format(text.replace('"', '\\"'))) for text in warnings]
    data = msgspec.json.encode(body)
    return web.Response(body=data, status=code, content_type="application/json", headers=headers)
