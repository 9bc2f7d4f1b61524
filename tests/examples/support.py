"""Where the examples are, and what becomes of them on a cluster."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from controller.cli.files import read
from controller.kube.client import CONFIG_MAPS
from controller.kube.errors import ApiError
from tests.controller.cli.manifests import kopfbus
from tests.support.cluster import NAMESPACES, connected, eventually, found, install_crd
from tests.support.replica import replica

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMESPACE = "demo"
NAMES = ("haproxy", "prometheus")


def template(name: str) -> str:
    """The ConfigTemplate's file."""
    return str(EXAMPLES / name / "configtemplate.yaml")


def objects(name: str) -> str:
    """The folder of the objects to render from."""
    return str(EXAMPLES / name / "objects")


async def published(kubeconfig: Path, name: str) -> dict[str, str]:
    """The data of the target, after one example was applied to a cluster with an operator."""
    async with connected(kubeconfig) as client:
        await install_crd(client)
        with suppress(ApiError):  # the other example may have been here
            await client.create(
                NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
            )
        for manifest in read([objects(name), template(name)]):
            resource = await client.discover(manifest.api_version, manifest.kind)
            await client.create(resource, manifest.body)
        async with replica(kubeconfig, namespaces=(NAMESPACE,)):
            target = await eventually(
                lambda: found(client, CONFIG_MAPS, name, NAMESPACE), f"the ConfigMap {name} is published"
            )
    return dict(target["data"])


def rendered(name: str, output: str) -> str:
    """An output as the command line renders it."""
    result = kopfbus("render", template(name), "--objects", objects(name), "--output", output)
    assert result.exit_code == 0, result.output
    return result.stdout
