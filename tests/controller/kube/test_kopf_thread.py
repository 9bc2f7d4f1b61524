"""Kopf in its thread, for real, against an API server that remembers every request (section 6)."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import kopf
import pytest
import structlog
from aiohttp import web

from controller.config.crd import crd
from controller.events import ComponentFailed, ConfigResourceChanged
from controller.handlers import register
from controller.kube import kopf_thread
from controller.kube.client import CONFIG_TEMPLATES, KubeClient, Resource
from controller.kube.kopf_thread import KopfThread
from controller.sandbox.server import Sandbox
from controller.testing import FakeClock, settle
from events import Event
from tests.controller.config.specs import MINIMAL
from tests.controller.support import Stage, running

DEFINITIONS = Resource(
    "apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", False
)
THEIRS = "kopf.zalando.org/KopfFinalizerMarker"
"""The finalizer of some other kopf operator."""


class Recording(Sandbox):
    """Remembers what kopf asks for, and may refuse it."""

    def __init__(self) -> None:
        super().__init__()
        self.kopfs: list[tuple[str, str]] = []
        self.refusing = False

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("User-Agent", "").startswith("kopf/"):
            self.kopfs.append((request.method, request.path))
            if self.refusing and "configtemplates" in request.path:
                status = {"kind": "Status", "code": 403, "reason": "Forbidden", "message": "kopf may not"}
                return web.json_response(status, status=403)
        return await super()._answer(request)


@pytest.fixture
async def server() -> AsyncIterator[Recording]:
    sandbox = Recording()
    await sandbox.start()
    yield sandbox
    await sandbox.stop()


@pytest.fixture
async def client(server: Recording, tmp_path: Path) -> AsyncIterator[KubeClient]:
    """Connected, with the CRD installed and served."""
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(server.kubeconfig())
    client = await KubeClient.connect(str(kubeconfig))
    await client.create(DEFINITIONS, crd())
    async with asyncio.timeout(5):
        while (
            not (await client.get(DEFINITIONS, crd()["metadata"]["name"])).get("status", {}).get("conditions")
        ):
            await asyncio.sleep(0)
    yield client
    await client.close()


def template(name: str = "web", **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "kopfbus.dev/v1alpha1",
        "kind": "ConfigTemplate",
        "metadata": {"namespace": "default", "name": name, **metadata},
        "spec": dict(MINIMAL),
    }


async def at_once() -> None:
    """Listed already."""


def component(client: KubeClient, handlers: Any = register, **settings: Any) -> KopfThread:
    return KopfThread(client, handlers, **{"namespaces": (), "ready": at_once, **settings})


def threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "kopf"]


async def no_thread_is_left() -> None:
    """A thread tells of its end a moment before it ends."""
    for thread in threads():
        await asyncio.to_thread(thread.join, 2)
    assert threads() == []


async def seen(stage: Stage, name: str, generation: int = 1) -> ConfigResourceChanged:
    """Kopf's hint of a ConfigTemplate."""
    return await stage.recorder.wait_for(
        ConfigResourceChanged,
        lambda event: (
            event.template == f"default/{name}" and event.body["metadata"]["generation"] == generation
        ),
    )


# --- what it tells, what it asks


async def test_it_tells_of_what_there_is_and_of_what_changes(client: KubeClient) -> None:
    await client.create(CONFIG_TEMPLATES, template("early"))
    async with running(component(client)) as stage:
        assert (await seen(stage, "early")).source == "kopf"
        await client.create(CONFIG_TEMPLATES, template("late"))
        await seen(stage, "late")
        await client.merge_patch(CONFIG_TEMPLATES, "late", "default", {"spec": {"suspend": True}})
        await seen(stage, "late", 2)


async def test_it_never_writes(server: Recording, client: KubeClient) -> None:
    """Not even another kopf operator's finalizer away, which is what kopf does by default."""
    await client.create(CONFIG_TEMPLATES, template("theirs", finalizers=[THEIRS]))
    created = await client.get(CONFIG_TEMPLATES, "theirs", "default")
    async with running(component(client)) as stage:
        await seen(stage, "theirs")
        await client.delete(CONFIG_TEMPLATES, "theirs", "default")
        await stage.recorder.wait_for(
            ConfigResourceChanged, lambda event: "deletionTimestamp" in event.body["metadata"]
        )
        await client.create(CONFIG_TEMPLATES, template("last"))
        await seen(stage, "last")
    assert {method for method, _ in server.kopfs} == {"GET"}
    found = await client.get(CONFIG_TEMPLATES, "theirs", "default")
    assert found["metadata"]["finalizers"] == [THEIRS]
    assert found["metadata"]["uid"] == created["metadata"]["uid"]


async def test_it_asks_only_for_the_namespaces_it_serves(server: Recording, client: KubeClient) -> None:
    await client.create(CONFIG_TEMPLATES, template())
    async with running(component(client, namespaces=("default",))) as stage:
        await seen(stage, "web")
    paths = {path for _, path in server.kopfs if "configtemplates" in path}
    assert paths == {"/apis/kopfbus.dev/v1alpha1/namespaces/default/configtemplates"}


async def test_it_waits_until_its_resource_can_be_listed(server: Recording, client: KubeClient) -> None:
    """Kopf would give up on a resource that is not there yet."""
    ready = asyncio.Event()

    async def wait() -> None:
        await ready.wait()

    await client.create(CONFIG_TEMPLATES, template())
    async with running(component(client, ready=wait)) as stage:
        await settle()
        assert (threads(), server.kopfs) == ([], [])
        ready.set()
        await seen(stage, "web")


# --- C2


async def test_when_kopf_dies_the_cause_is_named_and_it_is_started_again(client: KubeClient) -> None:
    failures = [RuntimeError("no such resource")]

    def handlers(registry: kopf.OperatorRegistry, publish: Callable[[Event], object]) -> None:
        if failures:
            raise failures.pop()
        register(registry, publish)

    await client.create(CONFIG_TEMPLATES, template())
    async with running(component(client, handlers)) as stage:
        failure = await stage.recorder.wait_for(ComponentFailed)
        assert (failure.component, failure.where) == ("kopf", "thread")
        assert "RuntimeError: no such resource" in failure.error
        await settle()
        await stage.clock.advance(1)
        await seen(stage, "web")


async def test_a_refusal_that_ends_kopf_is_named(
    server: Recording, client: KubeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One resource that keeps answering 403 ends the whole of kopf."""
    settings = kopf_thread._settings()
    settings.networking.error_backoffs = (0.01,)
    monkeypatch.setattr(kopf_thread, "_settings", lambda: settings)
    server.refusing = True
    await client.create(CONFIG_TEMPLATES, template())
    async with running(component(client)) as stage:
        failure = await stage.recorder.wait_for(ComponentFailed)
        assert "kopf may not" in failure.error
        server.refusing = False
        await settle()
        await stage.clock.advance(1)
        await seen(stage, "web")


async def test_an_exit_in_kopfs_thread_does_not_end_the_process(client: KubeClient) -> None:
    def handlers(registry: kopf.OperatorRegistry, publish: Callable[[Event], object]) -> None:
        raise SystemExit(3)

    async with running(component(client, handlers)) as stage:
        failure = await stage.recorder.wait_for(ComponentFailed)
        assert "SystemExit: 3" in failure.error


# --- stopping


async def test_it_stops_within_a_second_and_leaves_no_thread(client: KubeClient) -> None:
    await client.create(CONFIG_TEMPLATES, template())
    async with running(component(client)) as stage:
        await seen(stage, "web")
        began = time.monotonic()
    assert time.monotonic() - began < 1.0
    await no_thread_is_left()


@pytest.mark.parametrize("turns", [0, 1, 2, 30])
async def test_it_can_be_stopped_from_the_first_moment(client: KubeClient, turns: int) -> None:
    """Before its loop has run at all, too, and while it logs in: the wish to end must not be lost."""
    with structlog.testing.capture_logs() as logs:
        async with running(component(client)):
            await settle(turns)
    assert [line for line in logs if line["log_level"] == "warning"] == []
    await no_thread_is_left()


async def test_a_thread_that_does_not_end_is_left_behind_and_named(
    client: KubeClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kopf_thread, "STOP_TIMEOUT", 0.05)
    door, entered = threading.Event(), threading.Event()

    def handlers(registry: kopf.OperatorRegistry, publish: Callable[[Event], object]) -> None:
        entered.set()
        door.wait(5)

    with structlog.testing.capture_logs() as logs:
        async with running(component(client, handlers)):
            await asyncio.to_thread(entered.wait, 5)
    assert [line["event"] for line in logs if line["log_level"] == "warning"] == [
        "kopf has not ended in time"
    ]
    door.set()
    await no_thread_is_left()


def test_an_end_of_kopf_never_ends_the_process() -> None:
    """By default kopf has the process killed ten minutes after it was cancelled."""
    assert kopf_thread._settings().process.ultimate_exiting_timeout is None


# --- liveness


async def test_silence_is_counted_only_while_kopf_runs(client: KubeClient) -> None:
    kopfs = component(client)
    looks = [kopfs.silence]
    await client.create(CONFIG_TEMPLATES, template())
    async with running(kopfs, clock=FakeClock()) as stage:
        await seen(stage, "web")
        looks.append(kopfs.silence)
    looks.append(kopfs.silence)
    assert looks[0] == looks[2] == 0.0
    assert 0.0 < looks[1] < 5.0


async def test_a_loop_that_hangs_grows_silent(client: KubeClient) -> None:
    """What liveness asks for."""
    door, entered = threading.Event(), threading.Event()

    def handlers(registry: kopf.OperatorRegistry, publish: Callable[[Event], object]) -> None:
        @kopf.on.event("kopfbus.dev", "v1alpha1", "configtemplates", id="hangs", registry=registry)
        async def hangs(**_: Any) -> None:
            entered.set()
            door.wait(5)

    await client.create(CONFIG_TEMPLATES, template())
    kopfs = component(client, handlers)
    async with running(kopfs):
        await asyncio.to_thread(entered.wait, 5)
        began, before = time.monotonic(), kopfs.silence
        await asyncio.to_thread(door.wait, 0.1)
        assert kopfs.silence - before >= 0.9 * (time.monotonic() - began)
        door.set()
