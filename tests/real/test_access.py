"""What the operator does with the rights it has, and says of those it lacks (X1, X4)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.kube.client import CONFIG_MAPS, CONFIG_TEMPLATES, KubeClient
from tests.support.apiserver import ApiServer
from tests.support.cluster import (
    EVENTS,
    condition,
    config_map,
    config_template,
    connected,
    eventually,
    install_crd,
    target_with,
)
from tests.support.http import answers, free_address
from tests.support.replica import ReplicaProcess
from tests.support.rights import OPERATOR, grant, rule

NOBODY, NARROW, BLIND = "user2", "user3", "user4"
"""Users of this module's own, by what they are granted."""
LEASES = ("coordination.k8s.io", "leases")


@pytest.fixture
async def client(apiserver: ApiServer) -> AsyncIterator[KubeClient]:
    async with connected(apiserver.kubeconfig) as client:
        await install_crd(client)
        yield client


async def refused(kubeconfig: Path, log: Path, *options: str) -> str:
    """The one line with which a replica does not start."""
    replica = await ReplicaProcess.start(kubeconfig, log, *options)
    try:
        assert await replica.ended(seconds=10) == 1
    finally:
        await replica.kill()
    assert replica.log.count("\n") == 1, replica.log
    return replica.log


def read(text: str) -> tuple[str, dict[str, Any]]:
    """Where a rule is missing, and the rule as it would be granted."""
    fields, _, place = text.partition(" (")
    return place.removesuffix(")"), yaml.safe_load("{" + fields + "}")


def changed(kubeconfig: Path, path: Path, part: str, **fields: Any) -> Path:
    """A copy of a kubeconfig with other fields in its `user` or `cluster`."""
    document = json.loads(kubeconfig.read_text())
    document[f"{part}s"][0][part] = fields
    path.write_text(json.dumps(document))
    return path


async def test_a_token_that_is_not_known_is_one_clear_line(apiserver, client, tmp_path) -> None:
    kubeconfig = changed(apiserver.kubeconfig, tmp_path / "kubeconfig", "user", token="wrong")
    line = await refused(kubeconfig, tmp_path / "log")
    assert line.startswith(f"Error: {apiserver.url}: 401 Unauthorized: ")
    assert "are these the credentials for this server" in line


async def test_a_certificate_that_is_not_trusted_is_one_clear_line(apiserver, client, tmp_path) -> None:
    kubeconfig = changed(apiserver.kubeconfig, tmp_path / "kubeconfig", "cluster", server=apiserver.url)
    line = await refused(kubeconfig, tmp_path / "log")
    assert line.startswith(f"Error: {apiserver.url}: ")
    assert "certificate verify failed" in line


async def test_every_missing_right_is_named_as_the_rule_that_grants_it(
    apiserver, namespace, client, tmp_path
):
    kubeconfig = apiserver.kubeconfig_for(NOBODY)
    line = await refused(kubeconfig, tmp_path / "log", "--lease-namespace", namespace)
    assert line.startswith(f"Error: {apiserver.url}: missing rights: ")
    rules = line.removesuffix("\n").partition("missing rights: ")[2].split("; ")
    assert [read(text) for text in rules] == [
        ("in a ClusterRole", rule("kopfbus.dev", "configtemplates", "list", "watch")),
        (f"in a Role of namespace {namespace}", rule(*LEASES, "create")),
        (
            f"in a Role of namespace {namespace}",
            {**rule(*LEASES, "get", "update"), "resourceNames": ["kopfbus"]},
        ),
    ]


async def test_rights_in_one_namespace_are_enough_for_that_namespace(apiserver, namespace, client, tmp_path):
    """Targets, status, Kubernetes Events and the Lease; nothing else is even tried."""
    await grant(client, namespace, NARROW, "operator", *OPERATOR)
    await client.create(CONFIG_MAPS, config_map(namespace, "a", host="a.example"))
    await client.create(CONFIG_TEMPLATES, config_template(namespace))
    await client.create(CONFIG_TEMPLATES, config_template(namespace, "broken", "{% fi %}"))
    kubeconfig = apiserver.kubeconfig_for(NARROW)
    lease = ("--lease-namespace", namespace)
    replica = await ReplicaProcess.start(kubeconfig, tmp_path / "log", "--namespace", namespace, *lease)
    try:
        await target_with(client, namespace, "a.example\n", seconds=40)
        await condition(client, namespace, "Ready", "True", "Succeeded")

        async def told() -> bool:
            return b'"TemplateError"' in await client.request("GET", EVENTS.path(namespace))

        await eventually(told, "a Kubernetes Event")
        await client.delete(CONFIG_MAPS, "web-out", namespace)
        await target_with(client, namespace, "a.example\n")
        assert await replica.end() == 0
    finally:
        await replica.kill()
    assert "forbidden" not in replica.log.lower()
    assert '"level": "error"' not in replica.log


async def test_without_naming_the_namespace_they_are_not(apiserver, namespace, client, tmp_path) -> None:
    await grant(client, namespace, NARROW, "operator", *OPERATOR)
    line = await refused(apiserver.kubeconfig_for(NARROW), tmp_path / "log", "--lease-namespace", namespace)
    assert 'resources: ["configtemplates"], verbs: ["list", "watch"] (in a ClusterRole)' in line
    assert "leases" not in line


async def test_a_forbidden_kind_holds_up_only_who_watches_it(apiserver, namespace, client, tmp_path) -> None:
    """S3, X4: the rule that is named heals it; readiness does not wait for it."""
    await grant(client, namespace, BLIND, "operator", *OPERATOR)
    await client.create(CONFIG_MAPS, config_map(namespace, "a", host="a.example"))
    services = [{"name": "services", "apiVersion": "v1", "kind": "Service"}]
    text = "{{ services | length }} services"
    await client.create(CONFIG_TEMPLATES, config_template(namespace, "blind", text, watches=services))
    await client.create(CONFIG_TEMPLATES, config_template(namespace))
    address = free_address()
    replica = await ReplicaProcess.start(
        apiserver.kubeconfig_for(BLIND), tmp_path / "log", "--namespace", namespace, "--standalone",
        "--http-address", address,
    )  # fmt: skip
    try:
        forbidden = await condition(
            client, namespace, "WatchesSynced", "False", "Forbidden", name="blind", seconds=40
        )
        assert forbidden["message"].startswith("watch services: ")
        await condition(client, namespace, "Ready", "False", "Forbidden", name="blind")
        await target_with(client, namespace, "a.example\n")
        await eventually(lambda: answers(f"http://{address}/readyz"), "readiness")
        place, missing = read(forbidden["message"].partition("missing rule: ")[2])
        assert place == f"in a Role of namespace {namespace}"
        await grant(client, namespace, BLIND, "services", missing)
        await target_with(client, namespace, "0 services", name="blind-out", seconds=40)
        await condition(client, namespace, "Ready", "True", "Succeeded", name="blind")
        assert await replica.end() == 0
    finally:
        await replica.kill()
