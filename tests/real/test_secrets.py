"""X3: of the value of a Secret nothing shows but in the Secrets it is published to, whatever goes wrong."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from controller.kube.client import CONFIG_TEMPLATES, SECRETS, KubeClient
from tests.support.apiserver import ApiServer
from tests.support.cluster import EVENTS, condition, config_template, connected, edit, eventually, install_crd
from tests.support.http import free_address
from tests.support.replica import ReplicaProcess

VALUE = "Tr0ub4dor-&-3.kopfbus"
TEXT = f"password = {VALUE}\n"
TELLTALES = (
    VALUE,
    VALUE[:10],
    base64.b64encode(VALUE.encode()).decode(),
    base64.b64encode(TEXT.encode()).decode(),
    hashlib.sha256(TEXT.encode()).hexdigest(),
)
PASSWORD = "{% set password = vault.get('db').data.password | b64decode %}"
GOOD = PASSWORD + "password = {{ password }}\n"
FAILING = {
    "fails": (PASSWORD + "{{ fail(password) }}", "RenderFailed"),
    "undefined": (PASSWORD + "{{ values[password] }}", "RenderFailed"),
    "unparsable": (PASSWORD + "{{ password | from_json }}", "RenderFailed"),
    "required": (PASSWORD + "{{ required(none, password) }}", "RenderFailed"),
    "refused": (GOOD, "OutputInvalid"),
    "raises": (GOOD, "OutputInvalid"),
    "malformed": (GOOD, "OutputInvalid"),
}
"""ConfigTemplates that fail, by name: template and reason. `malformed` is to be JSON."""

PLUG_IN = '''
import logging
from controller.validators.interface import Problem, Stage, Validator

class Telltale(Validator):
    """Tells all it knows of the outputs it does not like."""

    name = "telltale"
    stage = Stage.OUTPUT

    def validate(self, subject):
        text = subject.text
        if subject.template.endswith("/raises"):
            raise ValueError(text)
        if subject.template.endswith("/refused"):
            yield Problem(message=text, path=text, template=text, line=1, column=3, source_line=text)
'''


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder for PYTHONPATH with the plug-in."""
    site = tmp_path / "site"
    metadata = site / "telltale-1.0.dist-info"
    metadata.mkdir(parents=True)
    (site / "telltale.py").write_text(PLUG_IN)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: telltale\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[kopfbus.validators]\ntelltale = telltale:Telltale\n")
    return site


@pytest.fixture
async def client(apiserver: ApiServer) -> AsyncIterator[KubeClient]:
    async with connected(apiserver.kubeconfig) as client:
        await install_crd(client)
        yield client


def secretive(namespace: str, name: str, template: str, **output: Any) -> dict[str, Any]:
    """A ConfigTemplate that watches Secrets and writes one."""
    watches = [{"name": "vault", "apiVersion": "v1", "kind": "Secret", "fieldSelector": "metadata.name=db"}]
    target = {"kind": "Secret", "name": f"{name}-out", "key": "hosts"}
    outputs = [{"name": "hosts", "template": template, "target": target, **output}]
    return config_template(namespace, name, watches=watches, outputs=outputs)


async def everything_told(
    client: KubeClient, namespace: str, replica: ReplicaProcess, http: str
) -> dict[str, str]:
    """All that a stranger to Secrets can read."""
    told = {
        "log": replica.log,
        "Kubernetes Events": (await client.request("GET", EVENTS.path(namespace))).decode(),
        "ConfigTemplates": (await client.request("GET", CONFIG_TEMPLATES.path(namespace))).decode(),
    }
    async with aiohttp.ClientSession(http) as session:
        async with session.get("/debug/none") as response:
            views = re.findall("/debug/[a-z-]+", await response.text())
        for path in ("/metrics", "/readyz?verbose", "/livez?verbose", *views):
            async with session.get(path) as response:
                assert response.status == 200, path
                told[path] = await response.text()
    assert len(views) > 1
    return told


async def events_tell(client: KubeClient, namespace: str) -> bool:
    """Whether there is an Event of each ConfigTemplate that fails."""
    text = (await client.request("GET", EVENTS.path(namespace))).decode()
    return all(f'"name":"{name}"' in text for name in FAILING)


async def published(client: KubeClient, namespace: str, text: str) -> bool:
    data = (await client.get(SECRETS, "good-out", namespace)).get("data") or {}
    return bool(data.get("hosts") == base64.b64encode(text.encode()).decode())


async def test_the_value_of_a_secret_shows_nowhere(apiserver, namespace, client, site, tmp_path) -> None:
    """Published, repaired, refused by validators and plug-ins, in errors of templates: at log level debug."""
    source = {"metadata": {"name": "db", "namespace": namespace}, "stringData": {"password": VALUE}}
    await client.create(SECRETS, source)
    await client.create(CONFIG_TEMPLATES, secretive(namespace, "good", GOOD))
    for name, (template, _) in FAILING.items():
        fields = {"format": "json"} if name == "malformed" else {}
        await client.create(CONFIG_TEMPLATES, secretive(namespace, name, template, **fields))
    address = free_address()
    replica = await ReplicaProcess.start(
        apiserver.kubeconfig, tmp_path / "log", "--namespace", namespace, "--standalone", "--allow-secrets",
        "--log-level", "debug", "--http-address", address, env={"PYTHONPATH": str(site)},
    )  # fmt: skip
    try:
        await condition(client, namespace, "Ready", "True", name="good", seconds=40)
        assert await published(client, namespace, TEXT)
        for name, (_, reason) in FAILING.items():
            refused = await condition(client, namespace, "Published", "False", reason, name=name)
            assert "hosts" in refused["message"]
        await edit(client, SECRETS, "good-out", namespace, lambda obj: obj["data"].update(hosts="d3Jvbmc="))
        await eventually(lambda: published(client, namespace, TEXT), "the repair")
        await eventually(lambda: events_tell(client, namespace), "the Kubernetes Events")
        told = await everything_told(client, namespace, replica, f"http://{address}")
        assert await replica.end() == 0
    finally:
        await replica.kill()
    told["log"] = replica.log
    assert "OutputInvalid" in told["log"]
    found = {(place, telltale) for place, text in told.items() for telltale in TELLTALES if telltale in text}
    assert not found


async def test_who_watches_secrets_may_not_write_config_maps(apiserver, namespace, client, tmp_path) -> None:
    """X2: or whoever may create one could read what he may not."""
    template = secretive(namespace, "web", GOOD)
    template["spec"]["outputs"][0]["target"]["kind"] = "ConfigMap"
    await client.create(CONFIG_TEMPLATES, template)
    replica = await ReplicaProcess.start(
        apiserver.kubeconfig, tmp_path / "log", "--namespace", namespace, "--standalone", "--allow-secrets"
    )
    try:
        refused = await condition(client, namespace, "ConfigValid", "False", "SecretsNotAllowed", seconds=40)
        assert "spec.outputs[0].target.kind" in refused["message"]
    finally:
        await replica.kill()
