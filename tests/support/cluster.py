"""What tests do to a cluster, and how they wait for what it should become."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from controller.config.crd import crd
from controller.kube.client import CONFIG_MAPS, CONFIG_TEMPLATES, KubeClient, Resource
from controller.kube.errors import ApiError

T = TypeVar("T")
Document = dict[str, Any]

NAMESPACES = Resource("", "v1", "Namespace", "namespaces", namespaced=False)
SERVICES = Resource("", "v1", "Service", "services", namespaced=True)
EVENTS = Resource("", "v1", "Event", "events", namespaced=True)
DEFINITIONS = Resource(
    "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False
)


@asynccontextmanager
async def connected(kubeconfig: Path) -> AsyncIterator[KubeClient]:
    """A client for the length of a test."""
    client = await KubeClient.connect(str(kubeconfig))
    try:
        yield client
    finally:
        await client.close()


async def eventually(look: Callable[[], Awaitable[T | None]], what: str, seconds: float = 20.0) -> T:
    """The first true result of `look`; fails with `what` was awaited and what was last seen."""
    seen: T | None = None
    try:
        async with asyncio.timeout(seconds):
            while True:
                seen = await look()
                if seen:
                    return seen
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"not within {seconds:g} s: {what}; last seen: {seen!r}") from None


async def found(client: KubeClient, resource: Resource, name: str, namespace: str) -> Document | None:
    """An object, or None."""
    try:
        return await client.get(resource, name, namespace)
    except ApiError as error:
        if error.status == 404:
            return None
        raise


async def install_crd(client: KubeClient) -> None:
    """Install the CRD and wait until it is served."""
    definition = crd()
    try:
        await client.create(DEFINITIONS, definition)
    except ApiError as error:
        if error.reason != "AlreadyExists":
            raise

    async def established() -> bool:
        status = (await client.get(DEFINITIONS, definition["metadata"]["name"])).get("status") or {}
        return any(
            c["type"] == "Established" and c["status"] == "True" for c in status.get("conditions") or ()
        )

    await eventually(established, "the CRD is established")


def config_map(namespace: str, name: str, **data: str) -> Document:
    """A manifest."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": namespace, "labels": {"watched": "yes"}},
        "data": data,
    }


def config_template(namespace: str, name: str = "web", template: str = "", **spec: Any) -> Document:
    """A ConfigTemplate that lists the `host` of all labelled ConfigMaps, unless told otherwise."""
    text = template or "{% for source in sources %}{{ source.data.host }}\n{% endfor %}"
    body: Document = {
        "watches": [
            {
                "name": "sources",
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "labelSelector": {"matchLabels": {"watched": "yes"}},
            }
        ],
        "outputs": [
            {
                "name": "hosts",
                "template": text,
                "allowEmpty": True,
                "target": {"name": f"{name}-out", "key": "hosts"},
            }
        ],
        "reconcile": {"minInterval": "100ms", "driftInterval": "10m"},
    }
    body.update(spec)
    return {
        "apiVersion": "kopfbus.dev/v1alpha1",
        "kind": "ConfigTemplate",
        "metadata": {"name": name, "namespace": namespace},
        "spec": body,
    }


async def edit(
    client: KubeClient, resource: Resource, name: str, namespace: str, change: Callable[[Document], None]
) -> Document:
    """Read, change, replace; again when somebody else was faster."""
    while True:
        obj = await client.get(resource, name, namespace)
        change(obj)
        try:
            return await client.replace(resource, obj)
        except ApiError as error:
            if error.status != 409:
                raise


async def target_with(
    client: KubeClient,
    namespace: str,
    expected: str,
    *,
    name: str = "web-out",
    key: str = "hosts",
    seconds: float = 20,
) -> Document:
    """Wait for a target's content."""

    async def look() -> Document | None:
        target = await found(client, CONFIG_MAPS, name, namespace)
        return target if target and (target.get("data") or {}).get(key) == expected else None

    return await eventually(look, f"{name}[{key}] == {expected!r}", seconds)


async def condition(
    client: KubeClient,
    namespace: str,
    kind: str,
    status: str,
    reason: str | None = None,
    *,
    name: str = "web",
    seconds: float = 20,
) -> Document:
    """Wait for a condition of a ConfigTemplate; the condition."""
    last: Document = {}

    async def look() -> Document | None:
        template = await client.get(CONFIG_TEMPLATES, name, namespace)
        conditions = {c["type"]: c for c in (template.get("status") or {}).get("conditions") or ()}
        last.clear()
        last.update(conditions)
        found = conditions.get(kind)
        if found and found["status"] == status and reason in {None, found["reason"]}:
            return dict(found)
        return None

    try:
        return await eventually(look, f"{kind}={status}/{reason}", seconds)
    except AssertionError as error:
        raise AssertionError(f"{error}; conditions: {last}") from None
