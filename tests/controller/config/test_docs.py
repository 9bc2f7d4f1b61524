"""The reference page of the ConfigTemplate: its examples work and nothing is missing from it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.config.crd import crd
from controller.config.fields import RESERVED
from controller.config.model import Reconcile, parse_spec

PAGE = (Path(__file__).parents[3] / "docs" / "configtemplate.md").read_text(encoding="utf-8")
CONDITIONS = ("Ready", "ConfigValid", "WatchesSynced", "Published")


def blocks() -> list[Any]:
    return [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]


def section(title: str) -> str:
    """What stands below a heading, up to the next of its rank."""
    found = re.search(rf"^(#+) {re.escape(title)}$\n(.*?)(?=^\1 |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, title
    return found[2]


def fields_of(part: str) -> dict[str, Any]:
    schema = crd()["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"][part]
    return dict(schema["properties"])


def test_every_example_is_a_valid_config_template():
    manifests = [
        block for block in blocks() if isinstance(block, dict) and block.get("kind") == "ConfigTemplate"
    ]
    assert manifests
    for manifest in manifests:
        parse_spec(manifest["spec"], strict=True)


@pytest.mark.parametrize("field", fields_of("spec"))
def test_every_field_of_the_spec_has_its_section(field):
    text = section(field.capitalize())
    inner = fields_of("spec")[field]
    for name in inner.get("properties", inner.get("items", {}).get("properties", {})):
        assert re.search(rf"`(\w+\.)?{name}[`.:]", text), name


def test_every_field_of_the_status_is_described():
    text = section("ConfigTemplate status")
    for field in fields_of("status"):
        assert f"| `{field}` |" in text


def test_every_condition_has_a_section_with_an_example():
    shown = [block[0]["type"] for block in blocks() if isinstance(block, list)]
    assert shown == list(CONDITIONS)
    for condition in CONDITIONS:
        assert "| reason |" in section(condition)


def test_the_status_examples_have_only_fields_that_exist():
    status = next(block["status"] for block in blocks() if isinstance(block, dict) and "status" in block)
    assert set(status) <= set(fields_of("status"))
    for field in ("outputs", "watches", "conditions"):
        assert set(status[field][0]) <= set(fields_of("status")[field]["items"]["properties"])


def test_defaults_and_reserved_names_are_those_of_the_model():
    assert f"`{Reconcile().min_interval}`" in section("Reconcile")
    assert f"`{Reconcile().drift_interval}`" in section("Reconcile")
    assert all(f"`{name}`" in section("Watches") for name in RESERVED)


def test_links_within_the_page_lead_somewhere():
    headings = {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^#+ (.*)$", PAGE, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]*)\)", PAGE)) <= headings
