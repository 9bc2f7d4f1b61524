"""Watch variables: iteration, get(), by()."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2.exceptions import TemplateRuntimeError

from controller.templating.protocol import WatchData
from controller.templating.watches import WatchVariable
from tests.controller.templating.support import kubernetes_object, patient, render, watch


def names(objects: Iterable[dict[str, Any]]) -> list[str]:
    return [one["metadata"]["name"] for one in objects]


WEB_A = kubernetes_object("web", "a", spec={"class": "edge", "ports": [80, 443]})
WEB_B = kubernetes_object("web", "b", spec={"class": "inner", "ports": [80]})
DB_B = kubernetes_object("db", "b", spec={"class": "inner"})


def variable(*objects: dict[str, Any], index_by: tuple[str, ...] = ()) -> WatchVariable:
    return WatchVariable(watch("web", *objects, index_by=index_by))


def test_objects_come_in_the_order_given():
    assert names(variable(WEB_B, WEB_A, DB_B)) == ["web", "web", "db"]


def test_templates_see_length_and_ends():
    template = "{{ web | length }} {{ (web | first).metadata.namespace }} {{ (web | last).metadata.name }}"
    assert render(template, watch("web", WEB_A, DB_B)) == "2 a db"


def test_an_empty_watch_is_false():
    assert render("{{ not some }} {{ not web }}", watch("some", WEB_A), watch("web")) == "False True"


def test_get_finds_by_namespace():
    assert variable(WEB_A, WEB_B).get("web", "b") == WEB_B


def test_get_without_a_namespace_finds_a_unique_name():
    assert variable(WEB_A, DB_B).get("db") == DB_B


def test_get_finds_cluster_scoped_objects():
    node = kubernetes_object("node-1")
    assert variable(node).get("node-1") == node


@pytest.mark.parametrize("wanted", [("nope",), ("web", "nope"), ("nope", "a")])
def test_get_gives_none_for_what_is_absent(wanted):
    assert variable(WEB_A).get(*wanted) is None


def test_get_names_the_namespaces_of_an_ambiguous_name():
    with pytest.raises(TemplateRuntimeError, match=r"web.get\('web'\) is ambiguous.*namespaces a, b"):
        variable(WEB_A, WEB_B).get("web")


def test_by_takes_one_value_for_each_path():
    found = variable(WEB_A, WEB_B, DB_B, index_by=("metadata.namespace", "spec.class")).by("b", "inner")
    assert found == (WEB_B, DB_B)


def test_by_finds_an_object_under_each_value_of_a_list():
    by_port = variable(WEB_A, WEB_B, DB_B, index_by=("spec.ports[*]",))
    assert (names(by_port.by(443)), names(by_port.by(80)), by_port.by(1)) == (["web"], ["web", "web"], ())


def test_by_finds_an_object_once_even_if_a_value_comes_twice():
    twice = kubernetes_object("web", spec={"hosts": ["x", "x"]})
    assert len(variable(twice, index_by=("spec.hosts[*]",)).by("x")) == 1


def test_by_tells_true_from_one_and_takes_objects():
    flags = variable(
        kubernetes_object("t", on=True), kubernetes_object("o", on={"b": 1, "a": 2}), index_by=("on",)
    )
    assert (flags.by(1), names(flags.by(True)), names(flags.by({"a": 2, "b": 1}))) == ((), ["t"], ["o"])


@pytest.mark.parametrize(("paths", "values"), [((), ("x",)), (("a", "b"), ("x",)), (("a",), ())])
def test_by_refuses_what_the_index_cannot_answer(paths, values):
    with pytest.raises(TemplateRuntimeError, match=r"web\.by\(\)"):
        variable(index_by=paths).by(*values)


def test_nothing_is_decoded_before_it_is_needed():
    broken = WatchVariable(WatchData("web", (), (b"{",)))
    assert len(broken) == 1
    with pytest.raises(msgspec.DecodeError):
        list(broken)


@patient
@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3) | st.booleans() | st.none()), max_size=12)
)
def test_by_finds_what_a_search_finds(pairs):
    objects = [kubernetes_object(str(i), kind=kind, value=value) for i, (kind, value) in enumerate(pairs)]
    indexed = variable(*objects, index_by=("kind", "value"))
    for kind, value in pairs:
        searched = [
            one
            for one in objects
            if one["kind"] == kind
            and one["value"] == value
            and isinstance(one["value"], bool) == isinstance(value, bool)
        ]
        assert list(indexed.by(kind, value)) == searched
