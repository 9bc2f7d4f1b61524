"""Specs for two sets of tests: what the API server refuses and what `parse_spec` refuses must be the same."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from controller.config.paths import FieldPath

ABSENT = object()
"""Stands for: take the field away."""

EXAMPLE: Mapping[str, Any] = {
    "suspend": False,
    "watches": [
        {
            "name": "ingresses",
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "namespaces": ["edge"],
            "labelSelector": {
                "matchLabels": {"app": "web"},
                "matchExpressions": [{"key": "example.org/tier", "operator": "In", "values": ["a", "b"]}],
            },
            "fieldSelector": "metadata.name!=old",
            "indexBy": ["metadata.namespace", "spec.ingressClassName"],
            "ignoreFields": ["metadata.annotations"],
        },
        {"name": "services", "apiVersion": "v1", "kind": "Service", "allNamespaces": True},
    ],
    "snippets": [{"name": "macros", "template": "{% macro line(it) %}{{ it }}{% endmacro %}"}],
    "values": {"port": 80, "nested": {"any": ["thing", None, 1.5, True]}},
    "outputs": [
        {
            "name": "haproxy.cfg",
            "template": "{% for it in ingresses %}{{ it.metadata.name }}{% endfor %}",
            "format": "text",
            "target": {"kind": "ConfigMap", "name": "haproxy", "key": "haproxy.cfg"},
            "validators": ["haproxy"],
            "allowEmpty": False,
        },
        {
            "name": "map",
            "template": "{}",
            "format": "json",
            "target": {"name": "haproxy", "key": "map.json"},
        },
    ],
    "tests": [
        {
            "name": "routes one host",
            "fixtures": {"ingresses": [{"metadata": {"name": "a"}, "spec": {"rules": [{"host": None}]}}]},
            "values": {"port": 8080},
            "expect": [
                {"output": "haproxy.cfg", "contains": "example.org"},
                {"output": "haproxy.cfg", "notContains": "example.net"},
                {"output": "haproxy.cfg", "matches": "^server [a-z]+$"},
                {"output": "haproxy.cfg", "count": {"text": "server", "times": 1}},
                {"output": "map", "equals": "{}"},
                {"error": "no backend"},
            ],
        }
    ],
    "reconcile": {"minInterval": "2s", "driftInterval": "10m"},
}
"""The one in the documentation, with everything in it."""

MINIMAL: Mapping[str, Any] = {
    "outputs": [{"name": "hello", "template": "hello", "target": {"name": "hello", "key": "hello.txt"}}]
}


def changed(place: str, value: object) -> dict[str, Any]:
    """The example with one value replaced; an index one past a list's end appends."""
    spec = copy.deepcopy(dict(EXAMPLE))
    *way, last = FieldPath.parse(place).steps
    parent: Any = spec
    for step in way:
        parent = parent[step]
    if value is ABSENT:
        del parent[last]
    elif isinstance(parent, list) and last == len(parent):
        parent.append(value)
    else:
        parent[last] = value
    return spec


@dataclass(frozen=True)
class Bad:
    """A change of the example that makes it bad, and what is then said about it."""

    at: str
    value: object
    says: str
    """In the message of `parse_spec`."""
    server: str = ""
    """In the API server's message; the same if it is left out."""
    where: str = ""
    """What `parse_spec` blames; the changed field if it is left out."""

    @property
    def spec(self) -> dict[str, Any]:
        return changed(self.at, self.value)

    @property
    def path(self) -> str:
        return f"spec.{self.where or self.at}"

    def __str__(self) -> str:
        return f"{self.at}={'absent' if self.value is ABSENT else str(self.value)[:20]}"


_REQUIRED = "Required value"
_PATTERN = "should match"
_DUPLICATE = "Duplicate value"
_FEW = "should have at least 1 items"
_EMPTY = "should be at least 1 chars"

_NAMED = "must be letters, digits and _"
_UNIQUE = "must be unique in this list"

_SERVICES = {"apiVersion": "v1", "kind": "Service"}
_HELLO = {"template": "", "target": {"name": "hello", "key": "hello.txt"}}

_SHAPE = (
    Bad("outputs", ABSENT, "is required", _REQUIRED),
    Bad("outputs", [], "must not be empty", _FEW),
    Bad("outputs", {}, "must be a list, not a mapping", "must be of type array"),
    Bad("outputs[0]", "text", "must be a mapping, not text", "must be of type object"),
    Bad("outputs[0]", None, "must be a mapping, not null", "must be of type object"),
    Bad("suspend", "yes", "must be true or false, not text", "must be of type boolean"),
    Bad("suspend", 1, "must be true or false, not a number", "must be of type boolean"),
    Bad("values", [1], "must be a mapping, not a list", "must be of type object"),
    Bad("reconcile", "2s", "must be a mapping, not text", "must be of type object"),
)
_WATCHES = (
    Bad("watches[0].name", ABSENT, "is required", _REQUIRED),
    Bad("watches[0].name", None, "is required", _REQUIRED),
    Bad("watches[0].name", "9lives", f"'9lives' {_NAMED}", _PATTERN),
    Bad("watches[0].name", "Ingresses", "beginning with a small letter", _PATTERN),
    Bad("watches[0].name", "my-ingresses", _NAMED, _PATTERN),
    Bad("watches[0].name", "ingresses\n", _NAMED, _PATTERN),
    Bad("watches[0].name", "", _NAMED, _PATTERN),
    Bad("watches[0].name", "a" * 64, "has 64 characters; 63 are allowed", "may not be more than 63"),
    Bad("watches[2]", {"name": "values", **_SERVICES}, "another meaning", where="watches[2].name"),
    Bad("watches[2]", {"name": "services", **_SERVICES}, _UNIQUE, _DUPLICATE, "watches[2].name"),
    Bad("watches[0].apiVersion", "networking/v1/x", "must be a group and a version", _PATTERN),
    Bad("watches[0].apiVersion", 1, "must be text, not a number", "must be of type string"),
    Bad("watches[0].kind", "", "must be a kind", _PATTERN),
    Bad("watches[0].kind", "ingresses.networking", "must be a kind", _PATTERN),
    Bad("watches[0].namespaces", "edge", "must be a list, not text", "must be of type array"),
    Bad("watches[0].namespaces[0]", "Edge", "must be small letters", _PATTERN),
    Bad("watches[0].namespaces[1]", "edge", _UNIQUE, _DUPLICATE),
    Bad("watches[0].allNamespaces", True, "namespaces and allNamespaces exclude each other"),
    Bad("watches[0].labelSelector.matchLabels.app", "a,b", "must be letters", _PATTERN),
    Bad("watches[0].labelSelector.matchLabels.app", 1, "must be text", "must be of type string"),
    Bad(
        "watches[0].labelSelector.matchExpressions[0].operator", "Near", "is not one of", "Unsupported value"
    ),
    Bad(
        "watches[0].labelSelector.matchExpressions[1]",
        {"key": "a", "operator": "Exists", "values": ["b"]},
        "take none",
        where="watches[0].labelSelector.matchExpressions[1].values",
    ),
    Bad("watches[0].labelSelector.matchExpressions[0].values", [], "In and NotIn need values"),
    Bad("watches[0].labelSelector.matchExpressions[0].values", ABSENT, "In and NotIn need values"),
    Bad("watches[0].labelSelector.matchExpressions[0].key", "a b", "must be a label key", _PATTERN),
    Bad("watches[0].fieldSelector", "x" * 1025, "1024 are allowed", "may not be more than 1024"),
    Bad("watches[0].indexBy[0]", "", "must not be empty", _EMPTY),
    Bad("watches[0].indexBy[1]", "metadata.namespace", _UNIQUE, _DUPLICATE),
    Bad(
        "watches[0].ignoreFields",
        [f"f{n}" for n in range(65)],
        "has 65 entries",
        "must have at most 64 items",
    ),
)
_SNIPPETS = (
    Bad("snippets[0].name", "macros.j2", _NAMED, _PATTERN),
    Bad("snippets[1]", {"name": "macros", "template": ""}, _UNIQUE, _DUPLICATE, "snippets[1].name"),
    Bad("snippets[0].template", ABSENT, "is required", _REQUIRED),
    Bad("snippets[0].template", "x" * 262145, "has 262145 characters", "may not be more than 262144"),
)
_OUTPUTS = (
    Bad("outputs[0].name", "a/b", "must be letters, digits, -, _ and .", _PATTERN),
    Bad("outputs[1].name", ".map", "must be letters, digits, -, _ and .", _PATTERN),
    Bad("outputs[2]", {"name": "map", **_HELLO}, _UNIQUE, _DUPLICATE, "outputs[2].name"),
    Bad("outputs[0].format", "xml", "'xml' is not one of 'text', 'json', 'yaml'", "Unsupported value"),
    Bad("outputs[0].target", ABSENT, "is required", _REQUIRED),
    Bad("outputs[0].target.kind", "Deployment", "is not one of 'ConfigMap'", "Unsupported value"),
    Bad("outputs[0].target.name", "HAProxy", "must be small letters", _PATTERN),
    Bad("outputs[0].target.name", "a..b", "must be small letters", _PATTERN),
    Bad("outputs[0].target.name", "a" * 254, "253 are allowed", "may not be more than 253"),
    Bad("outputs[1].target.key", "a/b", "'a/b' must be letters, digits, -, _ and .", _PATTERN),
    Bad("outputs[0].target.key", "", "must be letters", _PATTERN),
    Bad("outputs[0].target.key", ".", "must not be . and must not begin with .."),
    Bad("outputs[0].target.key", "..data", "must not be . and must not begin with .."),
    Bad("outputs[0].target.key", "map.json", "have the same target", where="outputs[1].target"),
    Bad("outputs[0].validators[1]", "haproxy", _UNIQUE, _DUPLICATE),
    Bad("outputs[0].validators[0]", "Proxy", "must be small letters", _PATTERN),
)
_TESTS = (
    Bad("tests[0].name", "", "must not be empty", _EMPTY),
    Bad("tests[1]", EXAMPLE["tests"][0], _UNIQUE, _DUPLICATE, "tests[1].name"),
    Bad("tests[0].fixtures.ingresses", {}, "must be a list", "must be of type array"),
    Bad("tests[0].fixtures.ingresses[0]", "a", "must be a mapping", "must be of type object"),
    Bad("tests[0].fixtures.gateways", [], "fixtures may be given for watches of this spec only"),
    Bad("tests[0].expect", [], "must not be empty", _FEW),
    Bad("tests[0].expect", ABSENT, "is required", _REQUIRED),
    Bad("tests[0].expect[0].output", "nginx.conf", "a test may look at outputs of this spec only"),
    Bad("tests[0].expect[0].output", ABSENT, "give either output or error", where="tests[0].expect[0]"),
    Bad("tests[0].expect[0].error", "x", "give either output or error", where="tests[0].expect[0]"),
    Bad("tests[0].expect[0].contains", ABSENT, "give exactly one of", where="tests[0].expect[0]"),
    Bad("tests[0].expect[0].equals", "", "give exactly one of", where="tests[0].expect[0]"),
    Bad("tests[0].expect[5].contains", "x", "with error none", where="tests[0].expect[5]"),
    Bad("tests[0].expect[0].contains", "", "must not be empty", _EMPTY),
    Bad("tests[0].expect[3].count.times", -1, "must be at least 0, not -1", "greater than or equal to 0"),
    Bad("tests[0].expect[3].count.times", "1", "must be a whole number", "must be of type integer"),
)
_RECONCILE = (
    Bad("reconcile.minInterval", "99ms", "must be at least 100ms"),
    Bad("reconcile.driftInterval", "999ms", "must be at least 1s"),
    Bad("reconcile.minInterval", "2", "'2' must be a duration", _PATTERN),
    Bad("reconcile.minInterval", "1.5s", "must be a duration", _PATTERN),
    Bad("reconcile.minInterval", "-2s", "must be a duration", _PATTERN),
    Bad("reconcile.minInterval", "1d", "must be a duration", _PATTERN),
    Bad("reconcile.minInterval", 2, "must be text, not a number", "must be of type string"),
)
BAD = (*_SHAPE, *_WATCHES, *_SNIPPETS, *_OUTPUTS, *_TESTS, *_RECONCILE)
"""At least one for every pattern, bound and rule."""

GOOD: tuple[Mapping[str, Any], ...] = (
    EXAMPLE,
    MINIMAL,
    changed("reconcile", ABSENT),
    changed("reconcile", {}),
    changed("reconcile", None),
    changed("reconcile", {"minInterval": "100ms", "driftInterval": "1h2m3s4ms"}),
    changed("reconcile", {"minInterval": "99999h99999h99999h99999h"}),
    changed("watches[0].namespaces", []),
    changed("watches[0].labelSelector", {}),
    changed("watches[0].labelSelector", None),
    changed("watches[0].labelSelector.matchLabels", {"app": "", "gone": None}),
    changed("watches[0].fieldSelector", ""),
    changed("watches[0].kind", "widget-v2"),
    changed("outputs[0].target.key", ".data_A-1"),
    changed("outputs[0].target.name", "a.b-c.d"),
    changed("outputs[0].target.kind", None),
    changed("outputs[0].template", ""),
    changed("tests[0].fixtures", {}),
    changed("tests[0].fixtures.gateways", None),
    changed("tests[0].expect[0].error", None),
    changed("tests[0].expect[4].equals", ""),
    changed("tests[0].expect[3].count.times", 1.0),
    changed("values", None),
    changed("values", {"": {"a b": [[]]}}),
)
