"""The reference page of the template language: what it shows is what comes out, and nothing is missing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from controller.templating import renderer
from controller.templating.filters import FILTERS, HELPERS
from controller.templating.protocol import Failed, Rendered, RenderJob, WatchData
from tests.controller.templating.support import frames

PAGE = (Path(__file__).parents[3] / "docs" / "templates.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```jinja\n(.*?)```\n\n(renders|fails with)\n\n```text\n(.*?)```", PAGE, re.DOTALL)


def state() -> dict[str, Any]:
    """The state that all examples are rendered with."""
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)
    return dict(yaml.safe_load(block))


def example(template: str) -> RenderJob:
    given = state()
    return RenderJob(
        outputs=(("example", template),),
        snippets=tuple(given["snippets"].items()),
        values=given["values"],
        watches=tuple(
            WatchData(name, index_by, tuple(map(msgspec.json.encode, given[name])))
            for name, index_by in (("ingresses", ("spec.ingressClassName",)), ("services", ()))
        ),
    )


@pytest.mark.parametrize(("template", "how", "text"), EXAMPLES)
def test_an_example_does_what_the_page_says(template, how, text):
    last = frames(example(template))[-1]
    if how == "renders":
        assert isinstance(last, Rendered), last
        assert last.outputs["example"].decode() == text
    else:
        assert isinstance(last, Failed), last
        assert f"{last.problem}\n" == text


def test_every_example_has_its_result():
    assert len(EXAMPLES) == PAGE.count("```jinja") > 10


@pytest.mark.parametrize("name", [*FILTERS, *HELPERS, "indent", "get", "by"])
def test_every_helper_and_filter_has_a_heading_and_an_example(name):
    assert re.search(rf"^### .*\b{name}\b", PAGE, re.MULTILINE)
    assert any(re.search(rf"\b{name}\b", template) for template, _, _ in EXAMPLES)


def test_the_limits_are_those_of_the_renderer():
    made = renderer.Renderer()
    for limit in ("time", "memory", "output"):
        assert f"`{made._beyond(limit, 'rendering')}`" in PAGE
