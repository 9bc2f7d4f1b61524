"""kubectl against the sandbox: what a user of the demo types."""

from __future__ import annotations

import asyncio
import os
import shutil
from pathlib import Path

import pytest
import yaml

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not on PATH")

SCHEMA = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["size"],
            "properties": {"size": {"type": "integer", "maximum": 10, "description": "How large."}},
        },
        "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}
COLUMNS = [
    {"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "widgets.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "widgets", "kind": "Widget", "shortNames": ["wd"]},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {"openAPIV3Schema": SCHEMA},
                "additionalPrinterColumns": COLUMNS,
            }
        ],
    },
}
WIDGET = {
    "apiVersion": "example.com/v1",
    "kind": "Widget",
    "metadata": {"name": "a"},
    "spec": {"size": 3},
}
CONFIGMAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}


class Kubectl:
    """Runs kubectl with a home of its own: its discovery cache must not outlive the test."""

    def __init__(self, home: Path, kubeconfig: Path) -> None:
        self._environment = {**os.environ, "HOME": str(home), "KUBECONFIG": str(kubeconfig)}

    async def __call__(self, *arguments: str, given: object = None, fails: bool = False) -> str:
        process = await asyncio.create_subprocess_exec(
            "kubectl",
            *arguments,
            env=self._environment,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        text = b"" if given is None else yaml.safe_dump(given).encode()
        output, _ = await asyncio.wait_for(process.communicate(text), 30)
        assert (process.returncode != 0) is fails, output.decode()
        return output.decode()


@pytest.fixture
def kubectl(sandbox, tmp_path):
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text(sandbox.kubeconfig())
    return Kubectl(tmp_path, kubeconfig)


@pytest.fixture
async def _widgets(kubectl):
    await kubectl("create", "-f", "-", given=DEFINITION)
    await kubectl("wait", "--for=condition=Established", "crd/widgets.example.com", "--timeout=10s")


async def test_objects_are_created_shown_replaced_and_deleted(kubectl):
    assert "configmap/a created" in await kubectl("create", "-f", "-", given=CONFIGMAP)
    shown = yaml.safe_load(await kubectl("get", "configmap", "a", "-o", "yaml"))
    assert shown["data"] == {"k": "v"}
    assert "replaced" in await kubectl("replace", "-f", "-", given={**CONFIGMAP, "data": {"k": "w"}})
    assert await kubectl("get", "cm", "a", "-o", "jsonpath={.data.k}") == "w"
    await kubectl("delete", "configmap", "a")
    assert "NotFound" in await kubectl("get", "configmap", "a", fails=True)


async def test_objects_are_patched_labelled_and_annotated(kubectl):
    await kubectl("create", "-f", "-", given=CONFIGMAP)
    await kubectl("patch", "configmap", "a", "--type=merge", "-p", '{"data": {"k": "w"}}')
    await kubectl("label", "configmap", "a", "colour=red")
    await kubectl("annotate", "configmap", "a", "kopfbus.dev/reconcile-requested-at=now")
    shown = yaml.safe_load(await kubectl("get", "configmap", "-l", "colour=red", "-o", "yaml"))
    assert shown["items"][0]["data"] == {"k": "w"}
    assert shown["items"][0]["metadata"]["annotations"] == {"kopfbus.dev/reconcile-requested-at": "now"}


async def test_apply_creates_and_then_changes(kubectl):
    assert "created" in await kubectl("apply", "-f", "-", given=CONFIGMAP)
    assert "unchanged" in await kubectl("apply", "-f", "-", given=CONFIGMAP)
    assert "configured" in await kubectl("apply", "-f", "-", given={**CONFIGMAP, "data": {"k": "w"}})
    assert await kubectl("get", "cm", "a", "-o", "jsonpath={.data.k}") == "w"


@pytest.mark.usefixtures("_widgets")
async def test_a_custom_resource_is_shown_with_its_columns(kubectl):
    await kubectl("create", "-f", "-", given=WIDGET)
    header, row = (await kubectl("get", "wd")).splitlines()
    assert header.split() == ["NAME", "SIZE", "AGE"]
    assert row.split()[:2] == ["a", "3"]


@pytest.mark.usefixtures("_widgets")
async def test_what_the_schema_refuses_is_explained(kubectl):
    large = {**WIDGET, "spec": {"size": 11}}
    assert "less than or equal to 10" in await kubectl("create", "-f", "-", given=large, fails=True)
    misspelt = {**WIDGET, "spec": {"size": 1, "sise": 2}}
    assert 'unknown field "spec.sise"' in await kubectl("create", "-f", "-", given=misspelt, fails=True)
    assert "How large." in await kubectl("explain", "widgets.spec.size")


async def test_a_namespace_is_deleted_with_its_content(kubectl):
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "extra"}}
    await kubectl("create", "-f", "-", given=namespace)
    await kubectl("create", "-n", "extra", "-f", "-", given=CONFIGMAP)
    await kubectl("delete", "namespace", "extra", "--timeout=10s")
    assert "NotFound" in await kubectl("get", "namespace", "extra", fails=True)


async def test_protobuf_is_refused_with_the_way_around_it(kubectl):
    refusal = await kubectl("create", "configmap", "a", "--from-literal=k=v", fails=True)
    assert "--dry-run=client -o yaml | kubectl create -f -" in refusal
