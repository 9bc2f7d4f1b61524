"""From a ConfigTemplate to its target on a real API server: P1-P9."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from controller.events import ConfigInvalid, ConfigPublished, ReconciliationCompleted
from controller.kube.client import CONFIG_MAPS, CONFIG_TEMPLATES, KubeClient
from controller.kube.errors import ApiError
from tests.support.apiserver import ApiServer
from tests.support.cluster import (
    EVENTS,
    condition,
    config_map,
    config_template,
    connected,
    edit,
    eventually,
    found,
    install_crd,
    target_with,
)
from tests.support.replica import replica

BROKEN = "first line\n{{ sources | no_such_filter }}\n"


@pytest.fixture
async def client(apiserver: ApiServer) -> AsyncIterator[KubeClient]:
    async with connected(apiserver.kubeconfig) as client:
        await install_crd(client)
        yield client


def template_text(text: str) -> Any:
    def change(obj: dict[str, Any]) -> None:
        obj["spec"]["outputs"][0]["template"] = text

    return change


def set_host(host: str, obj: dict[str, Any]) -> None:
    obj["data"]["host"] = host


async def test_a_config_template_becomes_a_config_map(apiserver, namespace, client) -> None:
    """The slice: owner, checksum and labels included; a changed object changes it; the status tells."""
    await client.create(CONFIG_MAPS, config_map(namespace, "a", host="a.example"))
    created = await client.create(CONFIG_TEMPLATES, config_template(namespace))
    async with replica(apiserver.kubeconfig, namespaces=(namespace,)):
        target = await target_with(client, namespace, "a.example\n")
        metadata = target["metadata"]
        assert metadata["ownerReferences"][0]["uid"] == created["metadata"]["uid"]
        assert metadata["annotations"]["kopfbus.dev/checksum"].startswith("sha256:")
        assert metadata["labels"]["app.kubernetes.io/managed-by"] == "kopfbus"
        await client.create(CONFIG_MAPS, config_map(namespace, "b", host="b.example"))
        await target_with(client, namespace, "a.example\nb.example\n")
        await client.delete(CONFIG_MAPS, "a", namespace)
        await target_with(client, namespace, "b.example\n")
        await condition(client, namespace, "Ready", "True", "Succeeded")


async def test_a_broken_template_leaves_the_target_and_says_where(apiserver, namespace, client) -> None:
    """P1, P5: the generation before stays in force; the condition has template, line and caret."""
    await client.create(CONFIG_MAPS, config_map(namespace, "a", host="a.example"))
    await client.create(CONFIG_TEMPLATES, config_template(namespace))
    async with replica(apiserver.kubeconfig, namespaces=(namespace,)) as recorder:
        await target_with(client, namespace, "a.example\n")
        await edit(client, CONFIG_TEMPLATES, "web", namespace, template_text(BROKEN))
        refused = await condition(client, namespace, "ConfigValid", "False", "TemplateError")
        assert "hosts line 2" in refused["message"]
        assert "^" in refused["message"]
        await condition(client, namespace, "Ready", "False", "TemplateError")
        await client.create(CONFIG_MAPS, config_map(namespace, "b", host="b.example"))
        await target_with(client, namespace, "a.example\nb.example\n")
        status = (await client.get(CONFIG_TEMPLATES, "web", namespace))["status"]
        assert (status["observedGeneration"], status["generationInForce"]) == (2, 1)
        await edit(client, CONFIG_TEMPLATES, "web", namespace, template_text("good again"))
        await target_with(client, namespace, "good again")
        await condition(client, namespace, "Ready", "True", "Succeeded")
        assert len(recorder.of(ConfigInvalid)) == 1

        async def told() -> bool:
            answer = await client.request("GET", EVENTS.path(namespace))
            return b"TemplateError" in answer and b'"Valid"' in answer

        await eventually(told, "Kubernetes Events of the failure and the recovery")


async def test_a_foreign_target_is_refused_and_never_written(apiserver, namespace, client) -> None:
    """P4: TargetConflict; the annotation gives it to us."""
    await client.create(CONFIG_MAPS, {**config_map(namespace, "web-out", hosts="mine"), "immutable": False})
    await client.create(CONFIG_TEMPLATES, config_template(namespace, template="theirs", watches=[]))
    async with replica(apiserver.kubeconfig, namespaces=(namespace,)):
        refused = await condition(client, namespace, "Published", "False", "TargetConflict")
        assert "web-out" in refused["message"]
        assert (await client.get(CONFIG_MAPS, "web-out", namespace))["data"] == {"hosts": "mine"}

        def adopt(obj: dict[str, Any]) -> None:
            obj["metadata"]["annotations"] = {"kopfbus.dev/adopt-by": "web"}

        await edit(client, CONFIG_MAPS, "web-out", namespace, adopt)
        await target_with(client, namespace, "theirs")


async def test_a_target_edited_by_hand_is_repaired(apiserver, namespace, client) -> None:
    """P6: data, deletion, and a lost label."""
    await client.create(CONFIG_TEMPLATES, config_template(namespace, template="right", watches=[]))
    async with replica(apiserver.kubeconfig, namespaces=(namespace,)):
        await target_with(client, namespace, "right")
        await edit(client, CONFIG_MAPS, "web-out", namespace, lambda obj: obj["data"].update(hosts="wrong"))
        await target_with(client, namespace, "right")
        await client.delete(CONFIG_MAPS, "web-out", namespace)
        await target_with(client, namespace, "right")
        await edit(client, CONFIG_MAPS, "web-out", namespace, lambda obj: obj["metadata"].pop("labels"))

        async def labelled() -> bool:
            target = await client.get(CONFIG_MAPS, "web-out", namespace)
            return "kopfbus.dev/config-template-uid" in (target["metadata"].get("labels") or {})

        await eventually(labelled, "the label is back")


async def test_our_own_writes_are_no_drift(apiserver, namespace, client) -> None:
    """P6: ten changes of content are ten publications and no repair."""
    await client.create(CONFIG_MAPS, config_map(namespace, "a", host="0"))
    await client.create(CONFIG_TEMPLATES, config_template(namespace))
    async with replica(apiserver.kubeconfig, namespaces=(namespace,)) as recorder:
        await target_with(client, namespace, "0\n")
        for number in range(1, 6):
            await edit(
                client,
                CONFIG_MAPS,
                "a",
                namespace,
                partial(set_host, str(number)),
            )
            await target_with(client, namespace, f"{number}\n")
        reasons = [event.event_type for event in recorder.events if event.event_type.startswith("drift")]
        assert reasons == []


async def test_a_target_that_left_the_spec_is_removed_after_the_new_one_is_out(
    apiserver, namespace, client
) -> None:
    """P7."""
    await client.create(CONFIG_TEMPLATES, config_template(namespace, template="same", watches=[]))
    async with replica(apiserver.kubeconfig, namespaces=(namespace,)):
        await target_with(client, namespace, "same")

        def rename(obj: dict[str, Any]) -> None:
            obj["spec"]["outputs"][0]["target"]["name"] = "other"

        await edit(client, CONFIG_TEMPLATES, "web", namespace, rename)
        await target_with(client, namespace, "same", name="other")

        async def gone() -> bool:
            return await found(client, CONFIG_MAPS, "web-out", namespace) is None

        await eventually(gone, "the old target is removed")


async def test_all_or_nothing(apiserver, namespace, client) -> None:
    """P3: one refused output keeps the other from being published."""
    outputs = [
        {"name": "good", "template": "fine", "target": {"name": "good", "key": "x"}},
        {"name": "bad", "template": "{not json", "format": "json", "target": {"name": "bad", "key": "x"}},
    ]
    await client.create(CONFIG_TEMPLATES, config_template(namespace, outputs=outputs, watches=[]))
    async with replica(apiserver.kubeconfig, namespaces=(namespace,)):
        refused = await condition(client, namespace, "Published", "False", "OutputInvalid")
        assert "bad" in refused["message"]
        assert await found(client, CONFIG_MAPS, "good", namespace) is None


async def test_a_render_without_end_is_ended_and_delays_nobody(apiserver, namespace, client) -> None:
    """P8."""
    endless = config_template(
        namespace, "endless", template="{% for n in values.n %}{{ 9**9**8 }}{% endfor %}"
    )
    endless["spec"]["values"] = {"n": [1]}
    await client.create(CONFIG_TEMPLATES, endless)
    await client.create(CONFIG_TEMPLATES, config_template(namespace, template="quick", watches=[]))
    async with replica(apiserver.kubeconfig, namespaces=(namespace,)):
        await target_with(client, namespace, "quick")
        await condition(client, namespace, "Ready", "False", name="endless")

        async def ended() -> bool:
            status = (await client.get(CONFIG_TEMPLATES, "endless", namespace)).get("status") or {}
            return any("limit" in c["message"] for c in status.get("conditions", ()))

        await eventually(ended, "the endless render is reported")


async def test_what_is_too_large_is_reported(apiserver, namespace, client) -> None:
    """P4: over 1 MiB is a clear error."""
    await client.create(
        CONFIG_TEMPLATES, config_template(namespace, template='{{ "x" * 1100000 }}', watches=[])
    )
    async with replica(apiserver.kubeconfig, namespaces=(namespace,)):
        refused = await condition(client, namespace, "Published", "False")
        assert "1,048,576" in refused["message"]


async def test_an_unknown_kind_heals_when_its_crd_appears(apiserver, namespace, client) -> None:
    """WatchesSynced=False/KindNotFound."""
    watches = [{"name": "things", "apiVersion": "things.example/v1", "kind": "Thing"}]
    await client.create(
        CONFIG_TEMPLATES, config_template(namespace, template="{{ things|length }}", watches=watches)
    )
    async with replica(apiserver.kubeconfig, namespaces=(namespace,)):
        await condition(client, namespace, "WatchesSynced", "False", "KindNotFound")


async def test_an_untrusted_namespace_sees_only_itself(apiserver, namespace, client) -> None:
    """X2."""
    watches = [{"name": "all", "apiVersion": "v1", "kind": "ConfigMap", "allNamespaces": True}]
    await client.create(CONFIG_TEMPLATES, config_template(namespace, template="x", watches=watches))
    async with replica(apiserver.kubeconfig, namespaces=(namespace,), trusted_namespaces=("other",)):
        await condition(client, namespace, "ConfigValid", "False", "NamespaceNotAllowed")
        await condition(client, namespace, "Ready", "False", "NoValidConfig")


async def test_a_suspended_config_template_is_validated_and_not_published(
    apiserver, namespace, client
) -> None:
    await client.create(CONFIG_TEMPLATES, config_template(namespace, template="x", watches=[], suspend=True))
    async with replica(apiserver.kubeconfig, namespaces=(namespace,)):
        await condition(client, namespace, "ConfigValid", "True")
        await condition(client, namespace, "Ready", "False", "Suspended")
        assert await found(client, CONFIG_MAPS, "web-out", namespace) is None


async def test_a_changed_annotation_requests_a_reconciliation(apiserver, namespace, client) -> None:
    await client.create(CONFIG_TEMPLATES, config_template(namespace, template="x", watches=[]))
    async with replica(apiserver.kubeconfig, namespaces=(namespace,)) as recorder:
        await recorder.wait_for(ReconciliationCompleted, timeout=20)

        def ask(obj: dict[str, Any]) -> None:
            obj["metadata"]["annotations"] = {"kopfbus.dev/reconcile-requested-at": "now"}

        await edit(client, CONFIG_TEMPLATES, "web", namespace, ask)

        async def handled() -> bool:
            status = (await client.get(CONFIG_TEMPLATES, "web", namespace))["status"]
            return bool(status.get("lastHandledReconcileAt") == "now")

        await eventually(handled, "lastHandledReconcileAt")
        assert len(recorder.of(ConfigPublished)) >= 2


async def test_the_api_server_refuses_what_the_schema_can_know(namespace, client) -> None:
    twice = config_template(namespace)
    twice["spec"]["outputs"] *= 2
    with pytest.raises(ApiError) as refused:
        await client.create(CONFIG_TEMPLATES, twice)
    assert refused.value.status == 422
