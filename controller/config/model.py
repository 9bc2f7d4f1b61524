"""The ConfigTemplate's spec: what a user may write, with its bounds and rules.

The CRD is generated from these classes, their docstrings included: `kubectl explain` shows them.
What the API server refuses, `parse_spec` refuses offline, and the other way round.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool, TypeAdapter, ValidationError

from controller.config import durations, fields
from controller.config.explain import explain
from controller.config.fields import Distinct, Named
from controller.config.labels import LabelExpression, LabelSelector
from controller.config.rules import All, Place, Rule, Unique
from controller.config.schema import Schema
from controller.config.testcases import Count, Expectation, TemplateTest
from controller.problems import Problem

__all__ = [
    "GROUP",
    "KIND",
    "PLURAL",
    "SPEC",
    "VERSION",
    "ConfigTemplateSpec",
    "Count",
    "Expectation",
    "Format",
    "LabelExpression",
    "LabelSelector",
    "Output",
    "Reconcile",
    "Snippet",
    "SpecInvalid",
    "Target",
    "TemplateTest",
    "Watch",
    "parse_spec",
]

GROUP = "kopfbus.dev"
VERSION = "v1alpha1"
KIND = "ConfigTemplate"
PLURAL = "configtemplates"


class Watch(Schema):
    """Resources to watch: their objects are in the templates as a variable."""

    name: fields.WatchName
    """The variable in templates."""
    api_version: fields.ApiVersion
    """Group and version of the resources, like networking.k8s.io/v1."""
    kind: fields.KindName
    """Kind of the resources."""
    namespaces: Distinct[fields.DnsLabel] = ()
    """Where to watch. Default: the ConfigTemplate's own namespace. Others need a trusted namespace."""
    all_namespaces: StrictBool = False
    """Watch all namespaces. Needs a trusted namespace."""
    label_selector: LabelSelector | None = None
    """Only objects with these labels."""
    field_selector: Annotated[str, Field(max_length=1024)] = ""
    """Only objects with these field values, like metadata.name!=old."""
    index_by: Distinct[fields.PathText] = ()
    """Field paths whose values `.by(value, ...)` looks objects up with, like spec.ingressClassName."""
    ignore_fields: Distinct[fields.PathText] = ()
    """Field paths to remove from the objects: what changes there triggers nothing."""


class Snippet(Schema):
    """A template for others to include or import."""

    name: fields.Identifier
    """The name to include or import it by."""
    template: fields.Template
    """Jinja2."""


class Format(StrEnum):
    """What an output is."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"
    TOML = "toml"


class Target(Schema):
    """Where an output goes: one key of a ConfigMap or Secret in the ConfigTemplate's namespace."""

    kind: Literal["ConfigMap", "Secret"] = "ConfigMap"
    """ConfigMap or Secret."""
    name: fields.DnsSubdomain
    """Name of the ConfigMap or Secret."""
    key: fields.DataKey
    """Key in its data."""


class Output(Schema):
    """A text to render, have validated, and publish."""

    name: fields.OutputName
    """What it is called in messages, tests and status."""
    template: fields.Template
    """Jinja2."""
    format: Format = Format.TEXT
    """The rendered text must parse as this."""
    target: Target
    """Where the text goes."""
    validators: Distinct[fields.DnsLabel] = ()
    """Names of output validators that the operator must have; all it has are always asked."""
    allow_empty: StrictBool = False
    """Publish the text even if there is nothing in it but white space."""


class Reconcile(Schema):
    """When to render."""

    min_interval: fields.MinInterval = "2s"
    """The least time between two renders that changes in the cluster trigger, like 2s; at least 100ms."""
    drift_interval: fields.DriftInterval = "10m"
    """How often to render and compare although nothing changed, like 10m; at least 1s."""

    @property
    def min_interval_seconds(self) -> float:
        """`min_interval` in seconds."""
        return durations.seconds(self.min_interval)

    @property
    def drift_interval_seconds(self) -> float:
        """`drift_interval` in seconds."""
        return durations.seconds(self.drift_interval)


def _repeated_targets(outputs: tuple[Output, ...]) -> Iterator[Place]:
    seen: set[Target] = set()
    for index, output in enumerate(outputs):
        if output.target in seen:
            yield index, "target"
        seen.add(output.target)


class ConfigTemplateSpec(Schema):
    """What to watch, what to render from it, and where to publish it."""

    suspend: StrictBool = False
    """Validate, but neither publish nor repair."""
    watches: Named[
        Annotated[
            Watch,
            Rule(
                cel="!self.allNamespaces || !has(self.namespaces) || size(self.namespaces) == 0",
                message="namespaces and allNamespaces exclude each other",
                field="allNamespaces",
                broken=lambda watch: (
                    [("allNamespaces",)] if watch.all_namespaces and watch.namespaces else []
                ),
            ),
        ]
    ] = ()
    """Resources to render from."""
    snippets: Named[Snippet] = ()
    """Templates for {% include %} and {% import %}."""
    values: dict[str, Any] = Field(default_factory=dict)
    """Free-form; in templates as `values`."""
    outputs: Annotated[
        tuple[Output, ...],
        Field(min_length=1, max_length=fields.LIST_LIMIT),
        All(
            (
                Unique("name"),
                Rule(
                    cel="self.all(a, self.exists_one(b, a.target.kind == b.target.kind && "
                    "a.target.name == b.target.name && a.target.key == b.target.key))",
                    message="two outputs have the same target: kind, name and key",
                    broken=_repeated_targets,
                ),
            )
        ),
    ]
    """Texts to render. All are published, or none."""
    tests: Named[TemplateTest] = ()
    """Tests of the templates, for `kopfbus test`."""
    reconcile: Reconcile = Reconcile()
    """When to render."""

    @property
    def watches_secrets(self) -> bool:
        """Whether what it renders is to be kept from view (X3)."""
        return any((watch.api_version, watch.kind) == ("v1", "Secret") for watch in self.watches)


def _unknown_watches(spec: ConfigTemplateSpec) -> Iterator[Place]:
    names = {watch.name for watch in spec.watches}
    for index, test in enumerate(spec.tests):
        yield from (("tests", index, "fixtures", name) for name in test.fixtures if name not in names)


def _unknown_outputs(spec: ConfigTemplateSpec) -> Iterator[Place]:
    names = {output.name for output in spec.outputs}
    for index, test in enumerate(spec.tests):
        for number, expectation in enumerate(test.expect):
            if expectation.output is not None and expectation.output not in names:
                yield "tests", index, "expect", number, "output"


SPEC: TypeAdapter[ConfigTemplateSpec] = TypeAdapter(
    Annotated[
        ConfigTemplateSpec,
        All(
            (
                Rule(
                    cel="!has(self.tests) || self.tests.all(t, !has(t.fixtures) || t.fixtures.all(name, "
                    "has(self.watches) && self.watches.exists(w, w.name == name)))",
                    message="fixtures may be given for watches of this spec only",
                    field="tests",
                    broken=_unknown_watches,
                ),
                Rule(
                    cel="!has(self.tests) || self.tests.all(t, t.expect.all(e, !has(e.output) || "
                    "self.outputs.exists(o, o.name == e.output)))",
                    message="a test may look at outputs of this spec only",
                    field="tests",
                    broken=_unknown_outputs,
                ),
            )
        ),
    ]
)
"""The spec with the rules that concern several of its lists."""


class SpecInvalid(ValueError):
    """A spec that the API server would refuse, or (if strict) prune; `problems` has every finding."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems


def parse_spec(spec: Mapping[str, Any], *, strict: bool) -> ConfigTemplateSpec:
    """Read a spec as the API server would; strict refuses unknown fields, else they are left out.

    Raises SpecInvalid. Nothing is copied out of `values` and fixtures: do not change them afterwards.
    """
    try:
        return SPEC.validate_python(
            spec, extra="forbid" if strict else "ignore", by_alias=True, by_name=False
        )
    except ValidationError as error:
        raise SpecInvalid(explain(error, ConfigTemplateSpec)) from None
