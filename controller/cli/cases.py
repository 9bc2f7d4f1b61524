"""Runs the tests that a ConfigTemplate brings along: fixtures, a render, the validators, the verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from controller.cli.expectations import unmet
from controller.cli.kinds import kind_of, placed
from controller.cli.offline import Workbench
from controller.config.model import ConfigTemplateSpec, TemplateTest, Watch
from controller.kube.store import Change, ObjectDecoder, Store, UndecodableObject
from controller.problems import Problem
from controller.templating.renderer import RenderFailed, WatchData


@dataclass(frozen=True, slots=True)
class Verdict:
    """How one test ended; without problems it passed."""

    name: str
    problems: tuple[Problem, ...]


async def run_tests(bench: Workbench, template: str, spec: ConfigTemplateSpec) -> list[Verdict]:
    """Run all tests of a valid ConfigTemplate, in order."""
    return [
        Verdict(test.name, await _run(bench, template, spec, test, f"spec.tests[{number}]"))
        for number, test in enumerate(spec.tests)
    ]


async def _run(
    bench: Workbench, template: str, spec: ConfigTemplateSpec, test: TemplateTest, path: str
) -> tuple[Problem, ...]:
    try:
        watches = fixture_data(template, spec, test, path)
    except BadFixture as error:
        return (error.problem,)
    values = {**spec.values, **test.values}
    rendered: Mapping[str, str] | Problem
    refused: tuple[Problem, ...] = ()
    try:
        rendered = texts = await bench.render(spec.model_copy(update={"values": values}), watches)
        refused = await bench.judge_outputs(template, spec, texts)
    except RenderFailed as error:
        rendered = error.problem
    return (*unmet(test.expect, rendered, path), *refused)


class BadFixture(ValueError):
    """A fixture is no object that a cluster could hold; `problem` says where."""

    def __init__(self, message: str, path: str) -> None:
        self.problem = Problem(message=message, path=path)
        super().__init__(str(self.problem))


def fixture_data(
    template: str, spec: ConfigTemplateSpec, test: TemplateTest, path: str
) -> tuple[WatchData, ...]:
    """What each watch finds in a test: all its fixtures, whatever it selects. Raises BadFixture."""
    own = template.partition("/")[0]
    return tuple(
        WatchData(
            watch.name,
            watch.index_by,
            _objects(watch, test.fixtures.get(watch.name, ()), own, f"{path}.fixtures.{watch.name}"),
        )
        for watch in spec.watches
    )


def _objects(watch: Watch, fixtures: tuple[dict[str, Any], ...], own: str, path: str) -> tuple[bytes, ...]:
    kind = kind_of(watch)
    namespace = watch.namespaces[0] if watch.namespaces else own
    decoder = ObjectDecoder(watch.api_version, watch.kind, watch.ignore_fields)
    store = Store()
    for number, fixture in enumerate(fixtures):
        place = f"{path}[{number}]"
        if not isinstance(fixture.get("metadata", {}), dict):
            raise BadFixture("must be a mapping", f"{place}.metadata")
        body = placed(fixture, kind, namespace, f"{watch.kind.lower()}-{number + 1}")
        try:
            obj = decoder.decode(msgspec.json.encode(body))
        except UndecodableObject as error:
            raise BadFixture(str(error), place) from None
        if store.apply(obj) is not Change.CREATED:
            raise BadFixture(f"{obj.namespace}/{obj.name} is there already", place)
    return tuple(obj.raw for obj in store.snapshot())
