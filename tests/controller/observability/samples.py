"""One event of each type in the catalogue, with a secret wherever there is room for text."""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from typing import Any

from controller.config.model import Target, parse_spec
from controller.events import Outcome, PublishedOutput, PublishedTarget, RenderedOutput, Trigger
from controller.problems import Problem
from events import Event, declared_types

SECRET = "s3cr3t"

PROBLEM = Problem(
    message="'hots' is undefined",
    path="spec.outputs[0].template",
    template="haproxy.cfg",
    line=3,
    column=12,
    source_line="  server {{ hots }}",
    validator="template",
)

TARGET = Target(kind="Secret", name="haproxy", key="haproxy.cfg")

RENDERED = RenderedOutput(
    template="edge/web", name="haproxy.cfg", text=SECRET, format="text", target=TARGET, sensitive=True
)

SPEC = parse_spec(
    {
        "values": {"password": SECRET},
        "outputs": [
            {
                "name": "haproxy.cfg",
                "template": f"password {SECRET}",
                "target": {"kind": "Secret", "name": "haproxy", "key": "haproxy.cfg"},
            }
        ],
    },
    strict=True,
)

_VALUES: dict[str | tuple[str, str], Any] = {
    "body": {"metadata": {"name": "web"}, "spec": {"values": {"password": SECRET}}},
    "generation": 3,
    "kind": "Ingress",
    "lease": "kopfbus/kopfbus-leader",
    "name": "haproxy",
    "namespace": "edge",
    "namespaces": ("edge", "core"),
    "outcome": Outcome.PUBLISHED,
    "outputs": (RENDERED,),
    "phase": "render",
    "problem": PROBLEM,
    "problems": (PROBLEM,),
    "reason": "TemplateError",
    "seconds": 0.012345,
    "spec": SPEC,
    "targets": (PublishedTarget(kind="Secret", name="haproxy", uid="u-2", checksum=SECRET),),
    "template": "edge/web",
    "watch": "ingresses",
    ("config.published", "outputs"): (
        PublishedOutput(name="haproxy.cfg", target=TARGET, checksum=SECRET, size=6, published_at="now"),
    ),
    ("reconciliation.started", "reason"): Trigger.RESOURCES,
    ("reconciliation.triggered", "reason"): Trigger.RESOURCES,
    ("template.rendered", "outputs"): (("haproxy.cfg", 6),),
}
"""By field, or by type and field where one field means several things."""

_PLAIN: dict[str, Any] = {"str": "some text", "int": 1, "float": 0.5, "bool": True, "tuple": ()}
"""By type, for the fields whose value does not matter."""


def catalogue() -> list[type[Event]]:
    """Every type that `controller.events` declares."""
    return [cls for cls in declared_types().values() if cls.__module__.startswith("controller.events.")]


def sample(cls: type[Event]) -> Event:
    """An event of that type; KeyError names the type of a field for which a value has to be added above."""
    return cls(
        **{
            field.name: _value(cls, field)
            for field in fields(cls)
            if field.init and field.default is MISSING and field.default_factory is MISSING
        }
    )


def _value(cls: type[Event], field: Field[Any]) -> Any:
    for name in ((cls.event_type, field.name), field.name):
        if name in _VALUES:
            return _VALUES[name]
    return _PLAIN[str(field.type).partition("[")[0]]


def one_of_each() -> list[Event]:
    """A sample of every type."""
    return [sample(cls) for cls in catalogue()]
