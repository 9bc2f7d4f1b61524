"""What the servers say about themselves: kinds, subresources, health, and what is not there."""

from __future__ import annotations

import pytest

from tests.real.conformance.conftest import GROUP


@pytest.mark.parametrize(
    ("path", "resource", "kind", "namespaced"),
    [
        ("/api/v1", "configmaps", "ConfigMap", True),
        ("/api/v1", "namespaces", "Namespace", False),
        ("/api/v1", "events", "Event", True),
        ("/apis/apps/v1", "deployments/status", "Deployment", True),
        ("/apis/networking.k8s.io/v1", "ingresses", "Ingress", True),
        ("/apis/coordination.k8s.io/v1", "leases", "Lease", True),
        ("/apis/discovery.k8s.io/v1", "endpointslices", "EndpointSlice", True),
        ("/apis/apiextensions.k8s.io/v1", "customresourcedefinitions", "CustomResourceDefinition", False),
        ("/apis/authorization.k8s.io/v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", False),
    ],
)
async def test_built_in_kinds_are_discovered(server, path, resource, kind, namespaced):
    listed = {one["name"]: one for one in (await server.get(path)).body["resources"]}
    assert (listed[resource]["kind"], listed[resource]["namespaced"]) == (kind, namespaced)


async def test_a_custom_kind_is_discovered_with_its_status(server, widgets):
    def is_listed(code, body):
        return code == 200 and {one["name"] for one in body["resources"]} >= {"widgets", "widgets/status"}

    await server.wait_until(f"/apis/{GROUP}/v1", is_listed)
    groups = (await server.get("/apis")).body["groups"]
    assert GROUP in {group["name"] for group in groups}
    preferred = (await server.get(f"/apis/{GROUP}")).body["preferredVersion"]
    assert preferred == {"groupVersion": f"{GROUP}/v1", "version": "v1"}


async def test_the_core_group_has_one_version(server):
    assert (await server.get("/api")).body["versions"] == ["v1"]


async def test_the_server_tells_its_version(server):
    assert (await server.get("/version")).body["gitVersion"].startswith("v1.")


@pytest.mark.parametrize("path", ["/readyz", "/livez", "/healthz"])
async def test_a_healthy_server_says_so(server, path):
    assert (await server.get(path)).code == 200


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/namespaces/default/nothings",
        "/apis/nowhere.example.com/v1/things",
        "/apis/nowhere.example.com/v1",
        "/api/v1/namespaces/default/configmaps/a/status",
    ],
)
async def test_what_is_not_served_is_not_found(server, path):
    assert (await server.get(path)).code == 404


async def test_kubectl_gets_a_table_with_the_columns_of_the_kind(server, widgets):
    spec = {"apiVersion": f"{GROUP}/v1", "kind": "Widget", "metadata": {"name": "a"}, "spec": {"size": 3}}
    await server.post(widgets, spec)
    accept = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
    table = (await server.call("GET", widgets, accept=accept)).body
    assert table["kind"] == "Table"
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Size"]
    assert [row["cells"] for row in table["rows"]] == [["a", 3]]
    assert table["rows"][0]["object"]["metadata"]["name"] == "a"


@pytest.mark.parametrize(("method", "path"), [("POST", "/configmaps/a"), ("PUT", "/configmaps")])
async def test_a_method_that_does_not_fit_is_refused(server, method, path):
    reply = await server.call(
        method, f"/api/v1/namespaces/{server.namespace}{path}", {"metadata": {"name": "a"}}
    )
    assert (reply.code, reply.reason) == (405, "MethodNotAllowed")
