"""Offline, a watch finds what it would find on a cluster with the same objects."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from controller.cli.files import Manifest, Metadata
from controller.cli.objects import NotSelectable, watch_data
from controller.config.model import parse_spec
from tests.controller.cli.manifests import Document, changed, config_template, ingress


def found(*objects: Document, **watch: Any) -> list[Document]:
    """What the one watch of edge/web finds."""
    template = changed(config_template(), **watch)
    manifests = [
        Manifest(
            "objects.yaml",
            body["apiVersion"],
            body["kind"],
            msgspec.convert(body["metadata"], Metadata),
            body,
        )
        for body in objects
    ]
    (data,) = watch_data("edge/web", parse_spec(template["spec"], strict=True), manifests)
    return [msgspec.json.decode(document) for document in data.objects]


def names(*objects: Document, **watch: Any) -> list[str]:
    return [f"{o['metadata'].get('namespace', '')}/{o['metadata']['name']}" for o in found(*objects, **watch)]


def test_version_and_kind_must_be_those_of_the_watch():
    other_kind = {**ingress("a"), "kind": "Service"}
    other_version = {**ingress("b"), "apiVersion": "extensions/v1beta1"}
    assert names(other_kind, other_version, ingress("c")) == ["edge/c"]


def test_by_default_it_sees_its_own_namespace():
    assert names(ingress("a"), ingress("b", "other")) == ["edge/a"]


def test_an_object_without_namespace_is_in_default():
    assert names(ingress("a", None)) == []
    assert names(ingress("a", None), namespaces=["default"]) == ["default/a"]


def test_it_sees_the_namespaces_it_names():
    assert names(ingress("a"), ingress("b", "b"), ingress("c", "c"), namespaces=["c", "b"]) == ["b/b", "c/c"]


def test_all_namespaces_are_all():
    assert names(ingress("a"), ingress("b", "b"), ingress("c", None), allNamespaces=True) == [
        "b/b",
        "default/c",
        "edge/a",
    ]


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ({"matchLabels": {"app": "web"}}, ["edge/web"]),
        (
            {"matchExpressions": [{"key": "app", "operator": "In", "values": ["web", "db"]}]},
            ["edge/db", "edge/web"],
        ),
        (
            {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]},
            ["edge/db", "edge/none"],
        ),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, ["edge/db", "edge/web"]),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, ["edge/none"]),
    ],
)
def test_labels_select(selector, expected):
    labelled = [ingress(name, metadata={"labels": {"app": name}}) for name in ("web", "db")]
    assert names(*labelled, ingress("none"), labelSelector=selector) == expected


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        ("metadata.name=a", ["edge/a"]),
        ("metadata.name!=a,metadata.namespace=edge", ["edge/b"]),
        ("metadata.namespace=other", []),
    ],
)
def test_fields_that_every_kind_has_select(selector, expected):
    assert names(ingress("a"), ingress("b"), fieldSelector=selector) == expected


def test_fields_of_well_known_kinds_select():
    pods = [
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": phase, "namespace": "edge"},
            "status": {"phase": phase},
        }
        for phase in ("Running", "Failed")
    ]
    found = names(*pods, apiVersion="v1", kind="Pod", fieldSelector="status.phase=Running")
    assert found == ["edge/Running"]


def test_other_fields_are_refused_with_what_can_be_told_offline():
    with pytest.raises(NotSelectable) as refused:
        names(fieldSelector="spec.host=x")
    text = str(refused.value)
    assert text.startswith('spec.watches[0].fieldSelector: "spec.host" is not a known field selector')
    assert "metadata.name" in text
    assert "offline" in text


def test_a_cluster_scoped_kind_needs_all_namespaces():
    """As on a cluster, where the watch would be refused."""
    node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"}}
    assert names(node, apiVersion="v1", kind="Node", allNamespaces=True) == ["/a"]
    with pytest.raises(NotSelectable, match=r"^spec.watches\[0\]: Node is cluster-scoped"):
        names(node, apiVersion="v1", kind="Node")


def test_what_a_replica_does_not_store_is_not_there():
    noisy = ingress(
        "a",
        metadata={"managedFields": [{}], "resourceVersion": "7", "annotations": {"x": "y"}},
        status={"ip": 1},
    )
    (seen,) = found(noisy, ignoreFields=["metadata.annotations", "status.ip"])
    assert seen == ingress("a", status={})


def test_of_two_manifests_of_an_object_the_later_counts():
    """As after kubectl apply."""
    assert found(ingress("a", spec=1), ingress("a", spec=2)) == [ingress("a", spec=2)]


@given(st.permutations([ingress(name, namespace) for namespace in ("b", "a") for name in ("y", "x", "z")]))
@settings(max_examples=20)
def test_the_order_of_the_files_does_not_matter(objects):
    assert names(*objects, allNamespaces=True) == ["a/x", "a/y", "a/z", "b/x", "b/y", "b/z"]
