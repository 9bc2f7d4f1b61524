"""Paths: which of their parts is the namespace, the resource, the name, the subresource."""

from __future__ import annotations

import pytest

from controller.sandbox.builtin_kinds import BUILTIN_KINDS
from controller.sandbox.kinds import Catalogue
from controller.sandbox.routing import Route
from controller.sandbox.statuses import Refused


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/api/v1/configmaps", ("", "v1", "", "configmaps", "", "")),
        ("/api/v1/namespaces", ("", "v1", "", "namespaces", "", "")),
        ("/api/v1/namespaces/x", ("", "v1", "", "namespaces", "x", "")),
        ("/api/v1/namespaces/x/status", ("", "v1", "", "namespaces", "x", "status")),
        ("/api/v1/namespaces/x/configmaps/", ("", "v1", "x", "configmaps", "", "")),
        ("/api/v1/namespaces/x/configmaps/y", ("", "v1", "x", "configmaps", "y", "")),
        ("/apis/apps/v1/namespaces/x/deployments/y/scale", ("apps", "v1", "x", "deployments", "y", "scale")),
        ("/apis/g.io/v1/things/y/a/b", ("g.io", "v1", "", "things", "y", "a/b")),
    ],
)
def test_a_path_is_read_like_the_api_server_reads_it(path, route):
    found = Route.of(path)
    assert found is not None
    parts = (found.group, found.version, found.namespace, found.plural, found.name, found.subresource)
    assert parts == route


@pytest.mark.parametrize("path", ["/", "/api", "/api/v1", "/apis", "/apis/g.io", "/apis/g.io/v1", "/version"])
def test_other_paths_name_no_resource(path):
    assert Route.of(path) is None


@pytest.mark.parametrize(
    "path",
    [
        "/api/v2/configmaps",
        "/apis/apps/v1/things",
        "/api/v1/namespaces/x/pods/y/log",
        "/api/v1/namespaces/x/nodes",
        "/api/v1/configmaps/y",
        "/api/v1/namespaces/x/configmaps/y/status",
    ],
)
def test_a_resource_that_is_not_served_is_refused(path):
    route = Route.of(path)
    assert route is not None
    with pytest.raises(Refused, match="not supported by the sandbox") as refused:
        route.target(Catalogue(BUILTIN_KINDS))
    assert refused.value.code == 404
