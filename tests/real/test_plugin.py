"""A validator in a package of its own, as docs/validators.md has it: once installed, it is asked."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from controller.kube.client import CONFIG_MAPS, CONFIG_TEMPLATES, KubeClient
from tests.support.apiserver import ApiServer
from tests.support.cluster import condition, config_map, config_template, connected, install_crd, target_with
from tests.support.replica import ReplicaProcess

PAGE = (Path(__file__).parents[2] / "docs" / "validators.md").read_text(encoding="utf-8")


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder for PYTHONPATH with the page's package, installed there by pip."""
    (python, *_), (toml,) = (
        re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL) for kind in ("python", "toml")
    )
    source, site = tmp_path / "source", tmp_path / "site"
    source.mkdir()
    (source / "no_wildcard_hosts.py").write_text(python)
    (source / "pyproject.toml").write_text(toml)
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
    offline = ("--no-index", "--no-deps", "--no-build-isolation")
    subprocess.run([*pip, *offline, "--target", str(site), str(source)], check=True, timeout=60)
    return site


@pytest.fixture
async def client(apiserver: ApiServer) -> AsyncIterator[KubeClient]:
    async with connected(apiserver.kubeconfig) as client:
        await install_crd(client)
        yield client


async def test_a_package_with_one_class_and_one_entry_point_can_refuse_a_render(
    apiserver, namespace, client, site, tmp_path
) -> None:
    """What it agreed to is out and stays so; what it refuses is not published, and it is named."""
    await client.create(CONFIG_MAPS, config_map(namespace, "a", host="a.example"))
    await client.create(CONFIG_TEMPLATES, config_template(namespace))
    replica = await ReplicaProcess.start(
        apiserver.kubeconfig, tmp_path / "log", "--namespace", namespace, "--standalone",
        env={"PYTHONPATH": str(site)},
    )  # fmt: skip
    try:
        await target_with(client, namespace, "a.example\n", seconds=40)
        await client.create(CONFIG_MAPS, config_map(namespace, "b", host="*.example"))
        refused = await condition(client, namespace, "Published", "False", "OutputInvalid")
        assert refused["message"].startswith(
            "hosts line 2: no-wildcard-hosts: no wildcards, please\n  *.example\n"
        )
        await target_with(client, namespace, "a.example\n")
        await client.delete(CONFIG_MAPS, "b", namespace)
        await condition(client, namespace, "Published", "True")
        assert await replica.end() == 0
    finally:
        await replica.kill()


async def test_a_plug_in_that_cannot_be_imported_is_one_clear_line(apiserver, site, tmp_path) -> None:
    (site / "no_wildcard_hosts.py").write_text("import no_such_module\n")
    replica = await ReplicaProcess.start(
        apiserver.kubeconfig, tmp_path / "log", "--standalone", env={"PYTHONPATH": str(site)}
    )
    assert await replica.ended() == 1
    assert replica.log == (
        "Error: plug-in no-wildcard-hosts 1.0 (no-wildcard-hosts = no_wildcard_hosts:NoWildcardHosts): "
        "ModuleNotFoundError: No module named 'no_such_module'\n"
    )


async def test_one_that_hangs_is_named_and_keeps_nobody_from_stopping(
    apiserver, namespace, client, site, tmp_path
) -> None:
    """Its thread cannot be ended; the process can."""
    module = site / "no_wildcard_hosts.py"
    text = module.read_text()
    module.write_text(f"import threading\n{text}            threading.Event().wait()\n")
    await client.create(CONFIG_TEMPLATES, config_template(namespace, template="one line", watches=[]))
    replica = await ReplicaProcess.start(
        apiserver.kubeconfig, tmp_path / "log", "--namespace", namespace, "--standalone",
        env={"PYTHONPATH": str(site)},
    )  # fmt: skip
    try:
        refused = await condition(client, namespace, "Published", "False", "ValidationTimeout", seconds=40)
        assert refused["message"] == "validator no-wildcard-hosts did not answer within 10 s"
        assert await replica.end(seconds=20) == 0
    finally:
        await replica.kill()
