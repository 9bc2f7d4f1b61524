"""The paths of objects."""

from __future__ import annotations

import pytest

from controller.kube.resource import CONFIG_MAPS, CONFIG_TEMPLATES, LEASES, Resource

NODES = Resource("", "v1", "Node", "nodes", namespaced=False)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (CONFIG_MAPS.path("edge", "haproxy"), "/api/v1/namespaces/edge/configmaps/haproxy"),
        (CONFIG_MAPS.path("edge"), "/api/v1/namespaces/edge/configmaps"),
        (CONFIG_MAPS.path(), "/api/v1/configmaps"),
        (LEASES.path("a", "b"), "/apis/coordination.k8s.io/v1/namespaces/a/leases/b"),
        (
            CONFIG_TEMPLATES.path("a", "b", "status"),
            "/apis/kopfbus.dev/v1alpha1/namespaces/a/configtemplates/b/status",
        ),
        (NODES.path(name="node-1"), "/api/v1/nodes/node-1"),
        (NODES.path(), "/api/v1/nodes"),
        (CONFIG_MAPS.path("edge", "a b?c"), "/api/v1/namespaces/edge/configmaps/a%20b%3Fc"),
    ],
)
def test_paths(path, expected):
    assert path == expected


@pytest.mark.parametrize("name", ["..", ".", "a/b", "../secrets", "a%2fb"])
@pytest.mark.parametrize("place", ["namespace", "name"])
def test_a_name_cannot_lead_to_another_path(name, place):
    arguments = {"namespace": "edge", "name": "x"} | {place: name}
    with pytest.raises(ValueError, match="cannot be the name"):
        CONFIG_MAPS.path(**arguments)


def test_a_namespaced_object_needs_a_namespace():
    with pytest.raises(ValueError, match="ConfigMap x needs a namespace"):
        CONFIG_MAPS.path(name="x")


def test_a_cluster_scoped_kind_takes_no_namespace():
    with pytest.raises(ValueError, match="Node has no namespaces"):
        NODES.path("edge")


def test_api_versions_are_written_as_in_manifests():
    assert (CONFIG_MAPS.api_version, LEASES.api_version) == ("v1", "coordination.k8s.io/v1")
