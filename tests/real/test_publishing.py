"""Targets on a real API server: whose they are, what becomes of them, and who may write them (P3-P7, P9)."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest

from controller.events import ConfigPublished, ConfigPublishFailed, DriftDetected
from controller.kube.client import CONFIG_MAPS, CONFIG_TEMPLATES, SECRETS, KubeClient, Resource
from tests.support.apiserver import ApiServer
from tests.support.cluster import (
    DEFINITIONS,
    condition,
    config_template,
    connected,
    edit,
    eventually,
    found,
    install_crd,
    target_with,
)
from tests.support.replica import replica

RBAC = "rbac.authorization.k8s.io"
ROLES = Resource(RBAC, "v1", "Role", "roles", namespaced=True)
ROLE_BINDINGS = Resource(RBAC, "v1", "RoleBinding", "rolebindings", namespaced=True)


@pytest.fixture
async def client(apiserver: ApiServer) -> AsyncIterator[KubeClient]:
    async with connected(apiserver.kubeconfig) as client:
        await install_crd(client)
        yield client


def plain(namespace: str, name: str = "web", template: str = "right", **spec: Any) -> dict[str, Any]:
    """A ConfigTemplate that watches nothing."""
    return config_template(namespace, name, template, watches=[], **spec)


def an_output(name: str, template: str, *, key: str, **target: str) -> dict[str, Any]:
    return {"name": name, "template": template, "target": {"name": "web-out", "key": key, **target}}


async def grant(client: KubeClient, namespace: str, user: str, name: str, *rules: tuple[str, str]) -> None:
    """Give a user every right on some (group, resource) of a namespace."""
    metadata = {"name": name, "namespace": namespace}
    granted = [{"apiGroups": [group], "resources": [what], "verbs": ["*"]} for group, what in rules]
    await client.create(
        ROLES, {"apiVersion": f"{RBAC}/v1", "kind": "Role", "metadata": metadata, "rules": granted}
    )
    await client.create(
        ROLE_BINDINGS,
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": name},
            "subjects": [{"apiGroup": RBAC, "kind": "User", "name": user}],
        },
    )


async def status_of(client: KubeClient, namespace: str, name: str = "web") -> dict[str, Any]:
    return dict((await client.get(CONFIG_TEMPLATES, name, namespace))["status"])


async def test_a_secret_target_is_written_repaired_and_its_content_not_told(
    apiserver, namespace, client
) -> None:
    """P4, P6, X3: an opaque Secret; neither a checksum in the status nor the text in any event."""
    outputs = [an_output("password", "hush-hush", key="password", kind="Secret")]
    await client.create(CONFIG_TEMPLATES, plain(namespace, outputs=outputs))

    async def in_place() -> dict[str, Any] | None:
        secret = await found(client, SECRETS, "web-out", namespace)
        right = secret and base64.b64decode((secret.get("data") or {}).get("password", "")) == b"hush-hush"
        return secret if right else None

    async with replica(apiserver.kubeconfig, namespaces=(namespace,), allow_secrets=True) as recorder:
        secret = await eventually(in_place, "the Secret is written")
        assert secret["type"] == "Opaque"
        await condition(client, namespace, "Ready", "True")
        assert "checksum" not in (await status_of(client, namespace))["outputs"][0]
        await edit(client, SECRETS, "web-out", namespace, lambda obj: obj["data"].update(password="eA=="))
        await eventually(in_place, "the Secret is repaired")
        assert not any("hush-hush" in repr(event) for event in recorder.events)


async def test_targets_go_with_their_config_template(apiserver, namespace, client, controllers) -> None:
    """P7: the server's garbage collector follows the owner reference."""
    await client.create(CONFIG_TEMPLATES, plain(namespace))
    async with replica(apiserver.kubeconfig, namespaces=(namespace,)):
        await target_with(client, namespace, "right")
        await client.delete(CONFIG_TEMPLATES, "web", namespace)

        async def gone() -> bool:
            return await found(client, CONFIG_MAPS, "web-out", namespace) is None

        await eventually(gone, "the target is collected", seconds=60)


async def test_the_first_to_create_a_target_wins(apiserver, namespace, client) -> None:
    """P4: the second is refused, and gets it when the first has let go of it."""
    await client.create(CONFIG_TEMPLATES, plain(namespace, "first", "first's"))
    second = plain(namespace, "second", "second's")
    second["spec"]["outputs"][0]["target"]["name"] = "first-out"
    async with replica(apiserver.kubeconfig, namespaces=(namespace,)):
        await target_with(client, namespace, "first's", name="first-out")
        await client.create(CONFIG_TEMPLATES, second)
        refused = await condition(client, namespace, "Published", "False", "TargetConflict", name="second")
        assert "belongs to ConfigTemplate first" in refused["message"]
        await target_with(client, namespace, "first's", name="first-out")

        def elsewhere(obj: dict[str, Any]) -> None:
            obj["spec"]["outputs"][0]["target"]["name"] = "elsewhere"

        await edit(client, CONFIG_TEMPLATES, "first", namespace, elsewhere)
        await target_with(client, namespace, "second's", name="first-out")
        await condition(client, namespace, "Ready", "True", name="second")


async def test_a_config_template_created_anew_takes_over_its_targets(apiserver, namespace, client) -> None:
    """P4: same name, and the other uid no longer exists; the status is about the new one."""
    await client.create(CONFIG_TEMPLATES, plain(namespace, template="old"))
    async with replica(apiserver.kubeconfig, namespaces=(namespace,)):
        await target_with(client, namespace, "old")
        await client.delete(CONFIG_TEMPLATES, "web", namespace)
        created = await client.create(CONFIG_TEMPLATES, plain(namespace, template="new"))
        target = await target_with(client, namespace, "new")
        assert target["metadata"]["ownerReferences"][0]["uid"] == created["metadata"]["uid"]
        await condition(client, namespace, "Ready", "True", "Succeeded")


async def test_an_immutable_target_is_reported_and_replaced_once_deleted(
    apiserver, namespace, client
) -> None:
    """P4."""
    await client.create(CONFIG_TEMPLATES, plain(namespace, template="old"))
    async with replica(apiserver.kubeconfig, namespaces=(namespace,)):
        await target_with(client, namespace, "old")
        await edit(client, CONFIG_MAPS, "web-out", namespace, lambda obj: obj.update(immutable=True))

        def renew(obj: dict[str, Any]) -> None:
            obj["spec"]["outputs"][0]["template"] = "new"

        await edit(client, CONFIG_TEMPLATES, "web", namespace, renew)
        await condition(client, namespace, "Published", "False", "TargetImmutable")
        await target_with(client, namespace, "old")
        await client.delete(CONFIG_MAPS, "web-out", namespace)
        await target_with(client, namespace, "new")
        await condition(client, namespace, "Ready", "True")


async def test_several_outputs_to_one_target_are_one_object(apiserver, namespace, client) -> None:
    """P4, P7: one write; a key that leaves the spec leaves the target."""
    outputs = [an_output("a", "1", key="a"), an_output("b", "2", key="b")]
    await client.create(CONFIG_TEMPLATES, plain(namespace, outputs=outputs))
    async with replica(apiserver.kubeconfig, namespaces=(namespace,)) as recorder:
        await target_with(client, namespace, "1", key="a")
        published = await recorder.wait_for(ConfigPublished)
        assert (len(published.outputs), len(published.targets)) == (2, 1)
        await edit(client, CONFIG_TEMPLATES, "web", namespace, lambda obj: obj["spec"]["outputs"].pop())

        async def one_key() -> bool:
            target = await client.get(CONFIG_MAPS, "web-out", namespace)
            return bool(target["data"] == {"a": "1"})

        await eventually(one_key, "the key is removed")
        assert recorder.of(DriftDetected) == []


async def test_a_restart_with_an_invalid_generation_leaves_the_targets(apiserver, namespace, client) -> None:
    """P1: the replica has never seen a valid one; drift is reported, not repaired (P6)."""
    await client.create(CONFIG_TEMPLATES, plain(namespace))
    async with replica(apiserver.kubeconfig, namespaces=(namespace,)):
        await target_with(client, namespace, "right")

    def spoil(obj: dict[str, Any]) -> None:
        obj["spec"]["outputs"][0]["template"] = "{% for %}"

    await edit(client, CONFIG_TEMPLATES, "web", namespace, spoil)
    async with replica(apiserver.kubeconfig, namespaces=(namespace,)) as recorder:
        await condition(client, namespace, "Ready", "False", "NoValidConfig")
        await target_with(client, namespace, "right")
        await edit(client, CONFIG_MAPS, "web-out", namespace, lambda obj: obj["data"].update(hosts="wrong"))
        await recorder.wait_for(DriftDetected)
        assert "generationInForce" not in await status_of(client, namespace)
        assert recorder.of(ConfigPublished) == []
        await target_with(client, namespace, "wrong")


async def test_an_unknown_kind_heals_when_its_definition_appears(apiserver, namespace, client) -> None:
    """KindNotFound holds up the targets until the kind can be watched."""
    group = f"{namespace}.example"
    watches = [{"name": "things", "apiVersion": f"{group}/v1", "kind": "Thing"}]
    await client.create(
        CONFIG_TEMPLATES, config_template(namespace, template="{{ things|length }}", watches=watches)
    )
    schema = {"type": "object"}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"things.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"plural": "things", "singular": "thing", "kind": "Thing"},
            "versions": [
                {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
            ],
        },
    }
    async with replica(apiserver.kubeconfig, namespaces=(namespace,)):
        await condition(client, namespace, "WatchesSynced", "False", "KindNotFound")
        assert await found(client, CONFIG_MAPS, "web-out", namespace) is None
        await client.create(DEFINITIONS, definition)
        await target_with(client, namespace, "0", seconds=60)
        await condition(client, namespace, "Ready", "True")


async def test_a_missing_right_is_named_and_granting_it_heals(apiserver, namespace, client) -> None:
    """P9: the write is tried again by itself."""
    await client.create(CONFIG_TEMPLATES, plain(namespace))
    served = (("kopfbus.dev", "configtemplates"), ("kopfbus.dev", "configtemplates/status"), ("", "events"))
    await grant(client, namespace, "user7", "operator", *served)
    async with replica(apiserver.kubeconfig_for("user7"), namespaces=(namespace,)) as recorder:
        refused = await condition(client, namespace, "Published", "False", "PublishFailed")
        assert 'resource "configmaps"' in refused["message"]
        await grant(client, namespace, "user7", "targets", ("", "configmaps"))
        await target_with(client, namespace, "right")
        await condition(client, namespace, "Ready", "True")
        assert all(event.retry for event in recorder.of(ConfigPublishFailed))
