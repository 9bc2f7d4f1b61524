"""The informer against a real API server: S1 to S5 and L8 where only the real one can tell."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.clock import SystemClock
from controller.kube import reflector
from controller.kube.client import CONFIG_MAPS, KubeClient, Resource
from controller.kube.credentials import Credentials
from controller.kube.errors import ApiUnreachable
from controller.kube.informer import Informer
from controller.kube.selection import Selection
from controller.kube.store import Changes
from tests.controller.kube.standin import Audience, Pulse
from tests.support.apiserver import ApiServer
from tests.support.cluster import DEFINITIONS, NAMESPACES, config_map, connected, edit, eventually
from tests.support.proxy import Proxy, proxied

ROLES = Resource("rbac.authorization.k8s.io", "v1", "Role", "roles", namespaced=True)
BINDINGS = Resource("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", namespaced=True)


class ImpatientClock(SystemClock):
    """Waits a fifth of a second at most."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(min(seconds, 0.2))


class PatientPulse(Pulse):
    """A real server may take its time to come back."""

    patience = 30.0


class CountingClient(KubeClient):
    """Knows which lists it was asked for."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.limits: list[str] = []

    async def request(self, method: str, path: str, **arguments: Any) -> bytes:
        query: Mapping[str, str] = arguments.get("query") or {}
        if "limit" in query:
            self.limits.append(query["limit"])
        return await super().request(method, path, **arguments)


class Following:
    """An informer at work, and its audience."""

    def __init__(self, client: KubeClient, selection: Selection) -> None:
        self.pulse = PatientPulse()
        self.audience = Audience(self.pulse)
        self.informer = Informer(
            client,
            selection,
            clock=ImpatientClock(),
            on_change=self.audience.on_change,
            on_synced=self.audience.on_synced,
            on_failed=self.audience.on_failed,
            on_recovered=self.audience.on_recovered,
        )

    @property
    def names(self) -> list[str]:
        return [obj.name for obj in self.informer.store.snapshot()]

    @property
    def version(self) -> str:
        """The resourceVersion that the watch would resume from."""
        return self.informer._reflectors[0]._version

    async def has(self, *names: str) -> None:
        await self.pulse.until(lambda: self.names == list(names))


@asynccontextmanager
async def following(client: KubeClient, selection: Selection) -> AsyncIterator[Following]:
    """Run an informer for the length of a block."""
    follower = Following(client, selection)
    task = asyncio.create_task(follower.informer.run())
    try:
        yield follower
    finally:
        task.cancel()
        await asyncio.wait({task})


@asynccontextmanager
async def behind_proxy(apiserver: ApiServer, folder: Path) -> AsyncIterator[tuple[Proxy, KubeClient]]:
    """A client whose connections can be made to fall silent."""
    copy = folder / "kubeconfig"
    async with proxied(apiserver.kubeconfig, apiserver.url, copy) as proxy, connected(copy) as client:
        yield proxy, client


def config_maps(*namespaces: str, **selectors: Any) -> Selection:
    return Selection("v1", "ConfigMap", namespaces, **selectors)


@pytest.fixture
async def admin(apiserver: ApiServer) -> AsyncIterator[KubeClient]:
    async with connected(apiserver.kubeconfig) as client:
        yield client


async def create(admin: KubeClient, namespace: str, *names: str) -> None:
    for name in names:
        await admin.create(CONFIG_MAPS, config_map(namespace, name))


async def grant(admin: KubeClient, namespace: str, user: str, name: str, rule: dict[str, Any]) -> None:
    metadata = {"name": name, "namespace": namespace}
    await admin.create(ROLES, {"metadata": metadata, "rules": [rule]})
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}
    await admin.create(BINDINGS, {"metadata": metadata, "roleRef": reference, "subjects": [subject]})


# --- S1, S2


async def test_an_empty_list_is_synced(admin, namespace):
    """Synced means listed, not filled (S2)."""
    async with following(admin, config_maps(namespace)) as follower:
        await follower.pulse.until(lambda: follower.audience.synced)
        assert follower.names == []
        await create(admin, namespace, "first")
        await follower.has("first")


async def test_what_vanished_before_a_410_is_deleted_by_the_relist(apiserver, admin, namespace, tmp_path):
    """After a relist the store is exactly the server's set, and only differences are reported (S1)."""
    await create(admin, namespace, "changed", "gone", "kept")
    async with (
        behind_proxy(apiserver, tmp_path) as (proxy, client),
        following(client, config_maps(namespace)) as follower,
    ):
        await follower.has("changed", "gone", "kept")
        await create(admin, namespace, "last-seen")
        await follower.has("changed", "gone", "kept", "last-seen")
        proxy.stall()
        await admin.delete(CONFIG_MAPS, "gone", namespace)
        await admin.delete(CONFIG_MAPS, "last-seen", namespace)
        await edit(admin, CONFIG_MAPS, "changed", namespace, lambda obj: obj.update(data={"new": "yes"}))
        await create(admin, namespace, "new")
        await apiserver.compact()
        before = len(follower.audience.changes)
        stale = follower.version
        await apiserver.restart()
        await follower.has("changed", "kept", "new")
        assert follower.audience.changes[before:] == [
            Changes(
                created=1,
                modified=1,
                deleted=2,
                keys=tuple((namespace, name) for name in ("gone", "last-seen", "changed", "new")),
            )
        ]
        await expect_410(admin, namespace, stale)


async def expect_410(admin: KubeClient, namespace: str, version: str) -> None:
    """The server really refuses to resume from there."""
    query = {"watch": "true", "resourceVersion": version}
    async with admin.stream(CONFIG_MAPS.path(namespace), query, idle_timeout=10) as stream:
        event = json.loads(await anext(stream))
    assert (event["type"], event["object"]["code"]) == ("ERROR", 410)


async def test_a_restart_of_the_api_server_is_survived(apiserver, admin, namespace):
    """The store stays while the server is away; afterwards the watch goes on (S1, S3)."""
    await create(admin, namespace, "before")
    async with following(admin, config_maps(namespace)) as follower:
        await follower.has("before")
        await apiserver.stop_apiserver()
        await follower.pulse.until(lambda: follower.audience.failures)
        failure = follower.audience.failures[0]
        assert (failure.reason, failure.status) == ("Unavailable", 0)
        assert follower.names == ["before"]
        await apiserver.start_apiserver()
        await follower.pulse.until(lambda: follower.audience.recovered)
        await create(admin, namespace, "afterwards")
        await follower.has("afterwards", "before")
        assert follower.informer.failure is None


async def test_only_the_named_namespaces_are_followed(admin, namespace):
    """Each has its own LIST and WATCH, under one informer."""
    second, third = f"{namespace}-2", f"{namespace}-3"
    for name in (second, third):
        await admin.create(NAMESPACES, {"metadata": {"name": name}})
        await create(admin, name, f"in-{name}")
    async with following(admin, config_maps(namespace, second)) as follower:
        await follower.has(f"in-{second}")
        await create(admin, third, "late")
        await create(admin, second, "late")
        await create(admin, namespace, "early")
        await follower.has("early", f"in-{second}", "late")
        assert follower.audience.synced == 1


async def test_objects_that_enter_and_leave_a_selector_come_and_go(admin, namespace):
    """What no longer matches is gone, although it still exists."""
    await create(admin, namespace, "a")
    async with following(admin, config_maps(namespace, label_selector="watched in (yes)")) as follower:
        await follower.has("a")
        await edit(admin, CONFIG_MAPS, "a", namespace, lambda obj: obj["metadata"].pop("labels"))
        await follower.has()


# --- S3


async def test_a_forbidden_kind_leaves_the_others_alone_and_recovers_when_granted(
    apiserver, admin, namespace
):
    """The rule that is named is the one that helps."""
    rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["list", "watch"]}
    await grant(admin, namespace, "user1", "config-maps", rule)
    async with (
        connected(apiserver.kubeconfig_for("user1")) as client,
        following(client, config_maps(namespace)) as good,
        following(client, Selection("v1", "Secret", (namespace,))) as denied,
    ):
        await denied.pulse.until(lambda: denied.audience.failures)
        failure = denied.audience.failures[0]
        assert (failure.status, failure.reason) == (403, "Forbidden")
        assert denied.informer.tried
        await create(admin, namespace, "a")
        await good.has("a")
        text, _, place = failure.missing_rule.partition(" (")
        assert place == f"in a Role of namespace {namespace})"
        await grant(admin, namespace, "user1", "secrets", yaml.safe_load("{" + text + "}"))
        await denied.pulse.until(lambda: denied.audience.recovered)
        assert denied.informer.synced
        assert good.audience.failures == []


async def test_a_kind_is_served_as_soon_as_its_definition_is(admin, namespace):
    """KindNotFound heals."""
    group = f"{namespace}.example.org"
    async with following(admin, Selection(f"{group}/v1", "Widget", (namespace,))) as follower:
        await follower.pulse.until(lambda: follower.audience.failures)
        assert follower.audience.failures[0].reason == "KindNotFound"
        await admin.create(DEFINITIONS, widgets(group))
        await follower.pulse.until(lambda: follower.audience.recovered)
        kind = Resource(group, "v1", "Widget", "widgets", namespaced=True)
        widget = {
            "apiVersion": f"{group}/v1",
            "kind": "Widget",
            "metadata": {"name": "a", "namespace": namespace},
        }

        async def created() -> bool:
            await admin.create(kind, widget)
            return True

        await eventually(created, "a widget is accepted")
        await follower.has("a")


def widgets(group: str) -> dict[str, Any]:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": [version]},
    }


@pytest.mark.parametrize(
    ("selector", "words"),
    [
        ({"field_selector": "spec.nonsense=1"}, "spec.nonsense"),
        ({"field_selector": "nonsense"}, "nonsense"),
        ({"label_selector": "not ! a selector"}, "unable to parse"),
    ],
)
async def test_a_bad_selector_is_told(admin, namespace, selector, words):
    """The server's own words say what is wrong with it."""
    async with following(admin, config_maps(namespace, **selector)) as follower:
        await follower.pulse.until(lambda: follower.audience.failures)
        failure = follower.audience.failures[0]
        assert (failure.status, failure.reason) == (400, "BadSelector")
        assert words in failure.message


async def test_a_kind_that_cannot_be_listed_is_no_kind_to_watch(admin):
    """405 is as lasting as 404."""
    selection = Selection("authorization.k8s.io/v1", "SubjectAccessReview")
    async with following(admin, selection) as follower:
        await follower.pulse.until(lambda: follower.audience.failures)
        assert follower.audience.failures[0].reason == "KindNotFound"


# --- S5


async def test_ignored_fields_change_in_silence(admin, namespace):
    """So do managedFields, which every write touches."""

    def annotate(value: str) -> Any:
        return lambda obj: obj["metadata"].update(annotations={"noise": value})

    await create(admin, namespace, "a")
    selection = config_maps(namespace, ignore_fields=("metadata.annotations",))
    async with following(admin, selection) as follower:
        await follower.has("a")
        for value in ("1", "2"):
            await edit(admin, CONFIG_MAPS, "a", namespace, annotate(value))
        await edit(admin, CONFIG_MAPS, "a", namespace, lambda obj: obj.update(data={"signal": "yes"}))
        await follower.pulse.until(lambda: follower.audience.changes[1:])
        assert sum(changes.modified for changes in follower.audience.changes) == 1
        stored = follower.informer.store.get(namespace, "a")
        assert stored is not None
        document = json.loads(stored.raw)
        assert document["data"] == {"signal": "yes"}
        assert not document["metadata"].keys() & {"annotations", "managedFields", "resourceVersion"}


async def test_a_list_and_a_watch_store_the_same_bytes(admin, namespace):
    """The same state renders the same bytes, however it came in."""
    async with following(admin, config_maps(namespace)) as watching:
        await watching.pulse.until(lambda: watching.informer.synced)
        await create(admin, namespace, "a")
        await watching.has("a")
        async with following(admin, config_maps(namespace)) as listing:
            await listing.has("a")
            assert listing.informer.store.snapshot() == watching.informer.store.snapshot()


# --- L8


async def test_a_fresh_store_is_spared_the_full_list(apiserver, namespace):
    """A LIST of one object tells where the server stands."""
    client = CountingClient(await Credentials.load(str(apiserver.kubeconfig), None))
    try:
        async with following(client, config_maps(namespace)) as follower:
            await follower.pulse.until(lambda: follower.informer.synced)
            await create(client, namespace, "a")
            await follower.has("a")
            await spared(client, follower, namespace)
    finally:
        await client.close()


async def spared(client: CountingClient, follower: Following, namespace: str) -> None:
    """Refresh without a full list; again if the server's own housekeeping has written in between."""
    for attempt in range(20):
        client.limits.clear()
        await client.merge_patch(CONFIG_MAPS, "a", namespace, {"data": {"attempt": str(attempt)}})
        await follower.informer.refresh()
        if client.limits == ["1"]:
            return
    raise AssertionError(f"a full list each time: {client.limits}")


async def test_a_store_behind_a_silent_connection_is_brought_up_to_date(
    apiserver, admin, namespace, tmp_path, monkeypatch
):
    """After refresh() the store is as new as the server was when it was called, whatever the watch says."""
    monkeypatch.setattr(reflector, "PROBE_TIMEOUT", 0.5)
    async with (
        behind_proxy(apiserver, tmp_path) as (proxy, client),
        following(client, config_maps(namespace)) as follower,
    ):
        await follower.pulse.until(lambda: follower.informer.synced)
        await create(admin, namespace, "gone")
        await follower.has("gone")  # so the watch is open, and the next request needs a connection of its own
        await client.get(CONFIG_MAPS, "gone", namespace)
        proxy.stall()
        await admin.delete(CONFIG_MAPS, "gone", namespace)
        await create(admin, namespace, "new")
        assert follower.names == ["gone"]
        # The first try finds a pooled connection that is silent as well; a caller tries again.
        with pytest.raises(ApiUnreachable, match="no answer"):
            await follower.informer.refresh()
        await follower.informer.refresh()
        assert follower.names == ["new"]
        await create(admin, namespace, "newer")
        await follower.has("new", "newer")


async def test_refresh_raises_while_the_server_is_away(apiserver, admin, namespace):
    """A caller that may not go on must know."""
    async with following(admin, config_maps(namespace)) as follower:
        await follower.pulse.until(lambda: follower.informer.synced)
        await apiserver.stop_apiserver()
        try:
            with pytest.raises(ApiUnreachable):
                await follower.informer.refresh()
        finally:
            await apiserver.start_apiserver()
        await eventually(follower_refreshed(follower), "the store is fresh again")


def follower_refreshed(follower: Following) -> Any:
    async def refreshed() -> bool:
        try:
            await follower.informer.refresh()
        except ApiUnreachable:
            return False
        return True

    return refreshed
