"""What a platform engineer types: the CRD goes in by kubectl, and `kubectl get ctpl` says how things are."""

from __future__ import annotations

import asyncio
import shutil
import sys
from pathlib import Path

import pytest

from controller.kube.client import CONFIG_TEMPLATES
from tests.support.cluster import condition, config_template, connected
from tests.support.replica import replica

KUBECTL = shutil.which("kubectl")

pytestmark = pytest.mark.skipif(KUBECTL is None, reason="kubectl is not on the PATH: install it to run these")


async def output_of(*command: str, stdin: bytes = b"") -> str:
    """A command's output; fails with it when the command does."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate(stdin)
    assert process.returncode == 0, output.decode()
    return output.decode()


async def kubectl(kubeconfig: Path, *arguments: str, stdin: bytes = b"") -> str:
    """Run it as admin."""
    assert KUBECTL is not None
    return await output_of(KUBECTL, "--kubeconfig", str(kubeconfig), *arguments, stdin=stdin)


async def test_get_ctpl_shows_ready_and_reason(apiserver, namespace) -> None:
    definition = await output_of(sys.executable, "-m", "controller", "crd")
    await kubectl(
        apiserver.kubeconfig,
        "apply",
        "--server-side",
        "--force-conflicts",
        "-f",
        "-",
        stdin=definition.encode(),
    )
    await kubectl(
        apiserver.kubeconfig, "wait", "--for=condition=Established", "crd/configtemplates.kopfbus.dev"
    )
    async with connected(apiserver.kubeconfig) as client:
        await client.create(CONFIG_TEMPLATES, config_template(namespace, template="x", watches=[]))
        await client.create(
            CONFIG_TEMPLATES, config_template(namespace, "bad", template="{% if %}", watches=[])
        )
        async with replica(apiserver.kubeconfig, namespaces=(namespace,)):
            await condition(client, namespace, "Ready", "True")
            await condition(client, namespace, "Ready", "False", name="bad")
            table = await kubectl(apiserver.kubeconfig, "get", "ctpl", "-n", namespace)
    heading, bad, web = (line.split() for line in table.splitlines())
    assert heading == ["NAME", "READY", "REASON", "AGE"]
    assert bad[:3] == ["bad", "False", "NoValidConfig"]
    assert web[:3] == ["web", "True", "Succeeded"]
