"""Every example is valid, passes its own tests, and renders; on a cluster it gives the same as offline."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest
import yaml

from controller.cli.files import read
from controller.sandbox.server import Sandbox
from tests.controller.cli.manifests import kopfbus
from tests.examples.support import (
    EXAMPLES,
    NAMES,
    NAMESPACE,
    objects,
    published,
    rendered,
    template,
)


def test_no_example_is_left_out():
    assert sorted(path.name for path in EXAMPLES.iterdir() if path.is_dir()) == sorted(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_it_is_valid(name):
    result = kopfbus("validate", template(name))
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("name", NAMES)
def test_an_operator_that_allows_nothing_special_accepts_it(name):
    """Its namespace need not be trusted, and it uses no Secrets."""
    result = kopfbus("validate", template(name), "--trusted-namespace", "operator")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("name", NAMES)
def test_its_own_tests_pass(name):
    result = kopfbus("test", template(name))
    assert result.exit_code == 0, result.output
    assert re.search(r"^passed: [1-9][0-9]*, failed: 0$", result.stdout, re.MULTILINE)


@pytest.mark.parametrize("name", NAMES)
def test_its_manifests_are_in_the_namespace_demo(name):
    """So that they can be applied as they are."""
    assert {item.metadata.namespace for item in read([objects(name), template(name)])} == {NAMESPACE}


@pytest.mark.parametrize("name", NAMES)
def test_what_its_readme_shows_is_what_is_rendered(name):
    text = (EXAMPLES / name / "README.md").read_text(encoding="utf-8")
    shown = re.findall(r"--output (\S+)\n(.*?)```", text, re.DOTALL)
    assert shown
    for output, excerpt in shown:
        assert excerpt == rendered(name, output)


def test_haproxy_routes_by_host_and_path_to_ready_endpoints():
    config = rendered("haproxy", "haproxy.cfg")
    assert "    server 10-0-0-11 10.0.0.11:8080 check\n" in config
    assert "10.0.0.13" not in config, "this endpoint is not ready"
    assert "shop.example.org/news/ demo_blog_80\n" in rendered("haproxy", "prefix.map")
    assert "shop.example.org/status demo_shop_80\n" in rendered("haproxy", "exact.map")


def test_prometheus_scrapes_what_is_annotated():
    config = yaml.safe_load(rendered("prometheus", "prometheus.yml"))
    assert [job["job_name"] for job in config["scrape_configs"]] == ["demo/orders", "demo/payments"]


@pytest.mark.parametrize("name", NAMES)
def test_on_the_sandbox_it_publishes_what_is_rendered_offline(name, tmp_path: Path):
    data = asyncio.run(published_on_the_sandbox(name, tmp_path / "kubeconfig"))
    assert data == {key: rendered(name, key) for key in data}


async def published_on_the_sandbox(name: str, kubeconfig: Path) -> dict[str, str]:
    sandbox = Sandbox()
    await sandbox.start()
    try:
        kubeconfig.write_text(sandbox.kubeconfig(), encoding="utf-8")
        return await published(kubeconfig, name)
    finally:
        await sandbox.stop()
