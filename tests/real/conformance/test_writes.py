"""Create, replace, patch, delete: who wins, and what is refused with which status."""

from __future__ import annotations

from typing import Any

import pytest

from tests.real.conformance.conftest import Server
from tests.support.apiclient import JSON_PATCH


def named(name: str, **fields: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, **fields}


async def made(server: Server, path: str, obj: dict[str, Any]) -> dict[str, Any]:
    reply = await server.post(path, obj)
    assert reply.code == 201, reply.body
    return reply.body


async def test_the_server_sets_identity_and_creation_time(server):
    obj = await made(
        server, server.configmaps, {"metadata": {"name": "a", "uid": "mine"}, "data": {"k": "v"}}
    )
    assert obj["metadata"]["uid"] != "mine"
    assert obj["metadata"]["namespace"] == server.namespace
    assert obj["metadata"]["creationTimestamp"].endswith("Z")
    assert obj["data"] == {"k": "v"}
    assert (obj["apiVersion"], obj["kind"]) == ("v1", "ConfigMap")


async def test_generate_name_makes_a_name_of_its_own(server):
    first = await made(server, server.configmaps, {"metadata": {"generateName": "part-"}})
    second = await made(server, server.configmaps, {"metadata": {"generateName": "part-"}})
    assert first["metadata"]["name"].startswith("part-")
    assert first["metadata"]["name"] != second["metadata"]["name"]


async def test_a_taken_name_is_already_exists(server):
    await made(server, server.configmaps, named("a"))
    reply = await server.post(server.configmaps, named("a"))
    assert (reply.code, reply.reason) == (409, "AlreadyExists")
    assert reply.body["message"] == 'configmaps "a" already exists'


async def test_creating_in_a_missing_namespace_is_not_found(server):
    reply = await server.post("/api/v1/namespaces/nowhere/configmaps", named("a"))
    assert (reply.code, reply.reason) == (404, "NotFound")
    assert reply.body["message"] == 'namespaces "nowhere" not found'


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        ({"metadata": {}}, ("FieldValueRequired", "metadata.name")),
        (named("Upper"), ("FieldValueInvalid", "metadata.name")),
        ({"metadata": {"name": "a", "labels": {"a b": "c"}}}, ("FieldValueInvalid", "metadata.labels")),
        ({"metadata": {"name": "a", "labels": {"a": "b c"}}}, ("FieldValueInvalid", "metadata.labels")),
        ({"metadata": {"name": "a", "finalizers": ["x"]}}, ("FieldValueInvalid", "metadata.finalizers[0]")),
        (named("a", data={"a/b": "c"}), ("FieldValueInvalid", "data[a/b]")),
        (named("a", data={"a": "b"}, binaryData={"a": "Yg=="}), ("FieldValueInvalid", "data[a]")),
        (named("a", data={"a": "b" * 1048577}), ("FieldValueTooLong", "[]")),
    ],
)
async def test_an_invalid_object_is_refused_with_its_field(server, body, cause):
    reply = await server.post(server.configmaps, body)
    assert (reply.code, reply.reason) == (422, "Invalid")
    assert reply.causes == {cause}


async def test_one_mebibyte_of_data_is_accepted(server):
    await made(server, server.configmaps, named("a", data={"a": "b" * 1048576}))


async def test_owner_references_are_complete_and_one_controls(server):
    reply = await server.post(
        server.configmaps, {"metadata": {"name": "a", "ownerReferences": [{"kind": "ConfigMap"}]}}
    )
    fields = {f"metadata.ownerReferences[0].{name}" for name in ("apiVersion", "name", "uid")}
    assert reply.causes == {("FieldValueRequired", field) for field in fields}
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "1", "controller": True}
    references = [owner, owner | {"name": "y", "uid": "2"}]
    reply = await server.post(server.configmaps, {"metadata": {"name": "a", "ownerReferences": references}})
    assert reply.causes == {("FieldValueInvalid", "metadata.ownerReferences")}


@pytest.mark.parametrize(
    "body",
    [
        b"{nonsense",
        {"apiVersion": "v2", "kind": "ConfigMap", **named("a")},
        {"apiVersion": "v1", "kind": "Secret", **named("a")},
        {"metadata": {"name": "a", "namespace": "elsewhere"}},
        {"metadata": {"name": "a", "labels": {"a": 1}}},
        named("a", data={"a": 1}),
        named("a", binaryData={"a": "not base64"}),
    ],
)
async def test_what_cannot_be_decoded_is_a_bad_request(server, body):
    reply = await server.post(server.configmaps, body)
    assert (reply.code, reply.reason) == (400, "BadRequest")


async def test_unknown_fields_are_dropped_with_a_warning_or_refused_if_strict(server):
    reply = await server.post(server.configmaps, named("a", dta={}))
    assert reply.code == 201
    assert "dta" not in reply.body
    assert [warning for warning in reply.warnings if 'unknown field \\"dta\\"' in warning]
    reply = await server.post(server.configmaps, named("b", dta={}), fieldValidation="Strict")
    assert reply.code == 400
    assert 'unknown field "dta"' in reply.body["message"]


async def test_replacing_with_the_current_version_replaces_everything(server):
    obj = await made(server, server.configmaps, named("a", data={"k": "v"}))
    reply = await server.put(
        f"{server.configmaps}/a", {"metadata": obj["metadata"], "binaryData": {"b": "Yg=="}}
    )
    assert reply.code == 200
    assert reply.body["binaryData"] == {"b": "Yg=="}
    assert "data" not in reply.body
    assert reply.body["metadata"]["uid"] == obj["metadata"]["uid"]
    assert int(reply.version) > int(obj["metadata"]["resourceVersion"])


async def test_replacing_with_a_stale_version_is_a_conflict(server):
    obj = await made(server, server.configmaps, named("a"))
    assert (await server.put(f"{server.configmaps}/a", {**obj, "data": {"k": "1"}})).code == 200
    reply = await server.put(f"{server.configmaps}/a", {**obj, "data": {"k": "2"}})
    assert (reply.code, reply.reason) == (409, "Conflict")
    assert reply.body["message"].startswith(
        'Operation cannot be fulfilled on configmaps "a": the object has been'
    )
    assert (await server.get(f"{server.configmaps}/a")).body["data"] == {"k": "1"}


async def test_replacing_with_another_uid_is_a_conflict_whatever_the_version(server):
    obj = await made(server, server.configmaps, named("a"))
    other = {"metadata": {"name": "a", "uid": "other"}}
    assert (await server.put(f"{server.configmaps}/a", other)).reason == "Conflict"
    other["metadata"]["resourceVersion"] = obj["metadata"]["resourceVersion"]
    assert (await server.put(f"{server.configmaps}/a", other)).reason == "Conflict"


async def test_replacing_what_is_absent_is_not_found(server):
    assert (await server.put(f"{server.configmaps}/a", named("a"))).code == 404
    fixed = {"metadata": {"name": "a", "uid": "gone", "resourceVersion": "1"}}
    reply = await server.put(f"{server.configmaps}/a", fixed)
    assert (reply.code, reply.reason) == (404, "NotFound")


async def test_a_replacement_without_version_or_uid_goes_through_for_configmaps(server):
    await made(server, server.configmaps, named("a"))
    assert (await server.put(f"{server.configmaps}/a", named("a", data={"k": "v"}))).code == 200


async def test_the_name_in_the_body_must_be_that_in_the_path(server):
    await made(server, server.configmaps, named("a"))
    assert (await server.put(f"{server.configmaps}/a", named("b"))).code == 400
    assert (await server.patch(f"{server.configmaps}/a", named("b"))).code == 400


async def test_an_update_that_changes_nothing_keeps_the_version(server):
    obj = await made(server, server.configmaps, named("a", data={"k": "v"}))
    replaced = await server.put(f"{server.configmaps}/a", obj)
    patched = await server.patch(f"{server.configmaps}/a", {"data": {"k": "v", "absent": None}})
    assert replaced.version == patched.version == obj["metadata"]["resourceVersion"]


async def test_a_merge_patch_merges_objects_and_null_removes(server):
    await made(server, server.configmaps, named("a", data={"old": "1", "kept": "2"}))
    reply = await server.patch(f"{server.configmaps}/a", {"data": {"old": None, "new": "3"}})
    assert reply.body["data"] == {"kept": "2", "new": "3"}


async def test_a_merge_patch_with_a_stale_version_is_a_conflict(server):
    obj = await made(server, server.configmaps, named("a"))
    await server.patch(f"{server.configmaps}/a", {"data": {"k": "1"}})
    stale = {"metadata": {"resourceVersion": obj["metadata"]["resourceVersion"]}, "data": {"k": "2"}}
    reply = await server.patch(f"{server.configmaps}/a", stale)
    assert (reply.code, reply.reason) == (409, "Conflict")


async def test_a_merge_patch_cannot_change_the_uid(server):
    await made(server, server.configmaps, named("a"))
    reply = await server.patch(f"{server.configmaps}/a", {"metadata": {"uid": "other"}})
    assert reply.causes == {("FieldValueInvalid", "metadata.uid")}


async def test_patching_what_is_absent_is_not_found(server):
    assert (await server.patch(f"{server.configmaps}/a", {"data": {}})).code == 404


async def test_a_patch_of_unknown_type_is_refused(server):
    await made(server, server.configmaps, named("a"))
    reply = await server.patch(f"{server.configmaps}/a", {"data": {}}, content_type="application/json")
    assert (reply.code, reply.reason) == (415, "UnsupportedMediaType")


async def test_a_json_patch_changes_single_places(server):
    await made(
        server, server.configmaps, {"metadata": {"name": "a", "finalizers": ["a.b/c"]}, "data": {"k": "v"}}
    )
    operations = [
        {"op": "test", "path": "/data/k", "value": "v"},
        {"op": "add", "path": "/metadata/finalizers/-", "value": "d.e/f"},
        {"op": "remove", "path": "/metadata/finalizers/0"},
        {"op": "add", "path": "/metadata/annotations", "value": {}},
        {"op": "add", "path": "/metadata/annotations/a.b~1c", "value": "x"},
        {"op": "replace", "path": "/data/k", "value": "w"},
    ]
    reply = await server.patch(f"{server.configmaps}/a", operations, JSON_PATCH)
    assert reply.code == 200
    assert reply.body["metadata"]["finalizers"] == ["d.e/f"]
    assert reply.body["metadata"]["annotations"] == {"a.b/c": "x"}
    assert reply.body["data"] == {"k": "w"}


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/data/k", "value": "other"},
        {"op": "remove", "path": "/data/absent"},
        {"op": "replace", "path": "/metadata/finalizers/0", "value": "a.b/c"},
    ],
)
async def test_a_json_patch_that_does_not_apply_changes_nothing(server, operation):
    await made(server, server.configmaps, named("a", data={"k": "v"}))
    first = {"op": "replace", "path": "/data/k", "value": "w"}
    operations = [operation] if operation["op"] == "test" else [first, operation]
    reply = await server.patch(f"{server.configmaps}/a", operations, JSON_PATCH)
    assert (reply.code, reply.reason) == (422, "Invalid")
    assert (await server.get(f"{server.configmaps}/a")).body["data"] == {"k": "v"}


async def test_a_delete_goes_through_only_if_its_preconditions_hold(server):
    obj = await made(server, server.configmaps, named("a"))
    uid, version = obj["metadata"]["uid"], obj["metadata"]["resourceVersion"]
    path = f"{server.configmaps}/a"
    for wrong in ({"uid": "other"}, {"resourceVersion": "1"}, {"uid": uid, "resourceVersion": "1"}):
        reply = await server.delete(path, {"preconditions": wrong})
        assert (reply.code, reply.reason) == (409, "Conflict")
    reply = await server.delete(path, {"preconditions": {"uid": uid, "resourceVersion": version}})
    assert (reply.code, reply.body["status"]) == (200, "Success")
    assert (await server.get(path)).code == 404


async def test_deleting_what_is_absent_is_not_found(server):
    assert (await server.delete(f"{server.configmaps}/a", {"preconditions": {"uid": "gone"}})).code == 404


async def test_a_finalizer_holds_a_deleted_object_until_it_is_removed(server):
    await made(server, server.configmaps, {"metadata": {"name": "a", "finalizers": ["a.b/c"]}})
    path = f"{server.configmaps}/a"
    marked = await server.delete(path)
    assert marked.code == 200
    assert "deletionTimestamp" in marked.body["metadata"]
    again = await server.delete(path)
    assert again.version == marked.version
    more = await server.patch(path, {"metadata": {"finalizers": ["a.b/c", "d.e/f"]}})
    assert more.causes == {("FieldValueForbidden", "metadata.finalizers")}
    assert (await server.patch(path, {"metadata": {"finalizers": None}})).code == 200
    assert (await server.get(path)).code == 404


async def test_a_collection_is_deleted_by_selector(server):
    for name in ("a", "b"):
        await made(server, server.configmaps, {"metadata": {"name": name, "labels": {"is": name}}})
    reply = await server.delete(server.configmaps, labelSelector="is=a")
    assert (reply.code, reply.names) == (200, ["a"])
    assert (await server.get(server.configmaps, labelSelector="is")).names == ["b"]


async def test_an_immutable_configmap_keeps_its_data_but_not_its_labels(server):
    await made(server, server.configmaps, named("a", immutable=True, data={"k": "v"}))
    path = f"{server.configmaps}/a"
    reply = await server.patch(path, {"data": {"k": "w"}})
    assert reply.causes == {("FieldValueForbidden", "data")}
    reply = await server.patch(path, {"immutable": False})
    assert reply.causes == {("FieldValueForbidden", "immutable")}
    assert (await server.patch(path, {"metadata": {"labels": {"a": "b"}}})).code == 200


async def test_an_immutable_secret_keeps_its_data(server):
    await made(server, server.secrets, named("a", immutable=True, data={"k": "dg=="}))
    reply = await server.patch(f"{server.secrets}/a", {"data": {"k": "dw=="}})
    assert reply.causes == {("FieldValueForbidden", "data")}


async def test_string_data_of_a_secret_becomes_data(server):
    obj = await made(
        server, server.secrets, named("a", data={"a": "eA==", "b": "eA=="}, stringData={"a": "y"})
    )
    assert obj["data"] == {"a": "eQ==", "b": "eA=="}
    assert "stringData" not in obj
    assert obj["type"] == "Opaque"
    reply = await server.patch(f"{server.secrets}/a", {"type": "example.com/other"})
    assert reply.causes == {("FieldValueInvalid", "type")}


async def test_a_replacement_of_a_lease_names_its_version(server):
    obj = await made(server, server.leases, named("a", spec={"holderIdentity": "x"}))
    reply = await server.put(f"{server.leases}/a", named("a", spec={"holderIdentity": "y"}))
    assert reply.causes == {("FieldValueInvalid", "metadata.resourceVersion")}
    current = {"name": "a", "resourceVersion": obj["metadata"]["resourceVersion"]}
    reply = await server.put(f"{server.leases}/a", {"metadata": current, "spec": {"holderIdentity": "y"}})
    assert reply.code == 200


async def test_replacing_an_absent_lease_creates_it_unless_a_uid_is_named(server):
    by_uid = {"metadata": {"name": "a", "uid": "gone", "resourceVersion": "1"}, "spec": {}}
    assert (await server.put(f"{server.leases}/a", by_uid)).reason == "Conflict"
    by_version = {"metadata": {"name": "a", "resourceVersion": "1"}, "spec": {}}
    assert (await server.put(f"{server.leases}/a", by_version)).code == 201


async def test_the_times_of_a_lease_have_six_decimal_places(server):
    good = {"renewTime": "2030-01-01T00:00:00.123456Z", "leaseDurationSeconds": 15}
    await made(server, server.leases, named("a", spec=good))
    bad = {"renewTime": "2030-01-01T00:00:00Z"}
    assert (await server.post(server.leases, named("b", spec=bad))).code == 400
    assert (await server.patch(f"{server.leases}/a", {"spec": bad})).code == 422


async def test_the_duration_of_a_lease_is_positive(server):
    reply = await server.post(server.leases, named("a", spec={"leaseDurationSeconds": 0}))
    assert reply.causes == {("FieldValueInvalid", "spec.leaseDurationSeconds")}


async def test_an_emptied_lease_has_an_empty_spec(server):
    await made(server, server.leases, named("a", spec={"holderIdentity": "x"}))
    reply = await server.patch(f"{server.leases}/a", {"spec": None})
    assert reply.body["spec"] == {}


async def test_an_event_lives_beside_what_it_is_about(server):
    path = f"/api/v1/namespaces/{server.namespace}/events"
    about = {"kind": "ConfigMap", "namespace": server.namespace, "name": "a"}
    await made(server, path, {"metadata": {"generateName": "a."}, "involvedObject": about, "type": "Normal"})
    selected = await server.get(path, fieldSelector="involvedObject.kind=ConfigMap,involvedObject.name=a")
    assert len(selected.body["items"]) == 1
    elsewhere = {"metadata": {"generateName": "a."}, "involvedObject": about | {"namespace": "other"}}
    assert (await server.post(path, elsewhere)).causes == {("FieldValueInvalid", "involvedObject.namespace")}


async def test_whoever_may_do_everything_is_told_so(server):
    review = {"spec": {"resourceAttributes": {"verb": "get", "resource": "configmaps"}}}
    reply = await server.post("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
    assert (reply.code, reply.body["status"]["allowed"]) == (201, True)
