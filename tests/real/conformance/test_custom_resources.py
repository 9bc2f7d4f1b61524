"""Custom resources: the schema's defaults, pruning and validation, generation, and the status subresource."""

from __future__ import annotations

from typing import Any

import pytest

from tests.real.conformance.conftest import DEFINITIONS, GROUP, Server, definition

pytestmark = pytest.mark.usefixtures("widgets")


def widget(spec: object, **fields: Any) -> dict[str, Any]:
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": "Widget",
        "metadata": {"name": "a"},
        "spec": spec,
        **fields,
    }


async def made(server: Server, spec: dict[str, Any]) -> dict[str, Any]:
    reply = await server.post(server.widgets, widget(spec))
    assert reply.code == 201, reply.body
    return reply.body


async def test_defaults_come_in_and_unknown_fields_go(server):
    spec = {
        "size": 1,
        "unknown": 1,
        "mode": None,
        "note": None,
        "free": {"kept": [1, None]},
        "parts": [{"name": "p", "unknown": 1}],
    }
    reply = await server.post(server.widgets, widget(spec, extra=1))
    assert reply.body["spec"] == {
        "size": 1,
        "mode": "fast",
        "note": None,
        "free": {"kept": [1, None]},
        "parts": [{"name": "p", "weight": 1}],
        "pace": {"interval": "2s"},
    }
    assert "extra" not in reply.body
    warned = " ".join(reply.warnings)
    for field in ("spec.unknown", "spec.parts[0].unknown", "extra"):
        assert f'unknown field \\"{field}\\"' in warned


async def test_strict_validation_refuses_unknown_fields(server):
    reply = await server.post(server.widgets, widget({"size": 1, "sise": 1}), fieldValidation="Strict")
    assert (reply.code, reply.reason) == (400, "BadRequest")
    assert 'unknown field "spec.sise"' in reply.body["message"]


@pytest.mark.parametrize(
    ("spec", "causes"),
    [
        ({}, {("FieldValueRequired", "spec.size")}),
        (None, set()),
        ("text", {("FieldValueTypeInvalid", "spec")}),
        ({"size": None}, {("FieldValueRequired", "spec.size")}),
        ({"size": "1"}, {("FieldValueTypeInvalid", "spec.size")}),
        ({"size": True}, {("FieldValueTypeInvalid", "spec.size")}),
        ({"size": 0}, {("FieldValueInvalid", "spec.size")}),
        ({"size": 11}, {("FieldValueInvalid", "spec.size")}),
        ({"size": 1, "ratio": 0}, {("FieldValueInvalid", "spec.ratio")}),
        ({"size": 1, "mode": "other"}, {("FieldValueNotSupported", "spec.mode")}),
        ({"size": 1, "name": "UPPER"}, {("FieldValueInvalid", "spec.name")}),
        ({"size": 1, "name": "a"}, {("FieldValueInvalid", "spec.name")}),
        ({"size": 1, "name": "abcdef"}, {("FieldValueTooLong", "spec.name")}),
        ({"size": 1, "labels": {"a": 1}}, {("FieldValueTypeInvalid", "spec.labels.a")}),
        ({"size": 1, "labels": {"a": "", "b": "", "c": ""}}, {("FieldValueTooMany", "spec.labels")}),
        ({"size": 1, "port": []}, {("FieldValueTypeInvalid", "spec.port")}),
        ({"size": 1, "since": "today"}, {("FieldValueTypeInvalid", "spec.since")}),
        ({"size": 1, "parts": []}, {("FieldValueInvalid", "spec.parts")}),
        ({"size": 1, "parts": [{"name": n} for n in "abcd"]}, {("FieldValueTooMany", "spec.parts")}),
        ({"size": 1, "parts": [{}]}, {("FieldValueRequired", "spec.parts[0].name")}),
        ({"size": 1, "parts": [None]}, {("FieldValueTypeInvalid", "spec.parts[0]")}),
        ({"size": 1, "parts": [{"name": "p"}, {"name": "p"}]}, {("FieldValueDuplicate", "spec.parts[1]")}),
        ({"size": 1, "tags": ["t", "t"]}, {("FieldValueDuplicate", "spec.tags[1]")}),
        (
            {"size": 0, "mode": 1},
            {
                ("FieldValueInvalid", "spec.size"),
                ("FieldValueTypeInvalid", "spec.mode"),
                ("FieldValueNotSupported", "spec.mode"),
            },
        ),
    ],
)
async def test_the_schema_refuses_with_the_fields_that_break_it(server, spec, causes):
    reply = await server.post(server.widgets, widget(spec))
    assert reply.causes == causes
    assert (reply.code, reply.reason) == ((422, "Invalid") if causes else (201, ""))


async def test_a_refusal_reads_like_the_real_one(server):
    reply = await server.post(server.widgets, widget({"size": 11}))
    problem = "Invalid value: 11: spec.size in body should be less than or equal to 10"
    assert reply.body["message"] == f'Widget.{GROUP} "a" is invalid: spec.size: {problem}'
    assert reply.body["details"]["name"] == "a"
    assert reply.body["details"]["group"] == GROUP
    assert reply.body["details"]["kind"] == "Widget"
    assert reply.body["details"]["causes"][0]["message"] == problem


async def test_apiversion_and_kind_must_be_given_and_right(server):
    assert (await server.post(server.widgets, {"metadata": {"name": "a"}, "spec": {"size": 1}})).code == 400
    other = {**widget({"size": 1}), "apiVersion": f"{GROUP}/v2"}
    assert (await server.post(server.widgets, other)).code == 400


async def test_generation_counts_changes_of_the_spec_only(server):
    obj = await made(server, {"size": 1})
    path = f"{server.widgets}/a"
    assert obj["metadata"]["generation"] == 1
    labelled = await server.patch(path, {"metadata": {"labels": {"a": "b"}}})
    assert labelled.body["metadata"]["generation"] == 1
    changed = await server.patch(path, {"spec": {"size": 2}})
    assert changed.body["metadata"]["generation"] == 2
    defaulted = await server.patch(path, {"spec": {"mode": None}})
    assert defaulted.body["metadata"]["generation"] == 2
    reported = await server.patch(f"{path}/status", {"status": {"phase": "Ready"}})
    assert reported.body["metadata"]["generation"] == 2


async def test_deleting_what_has_a_finalizer_counts_as_a_change(server):
    await made(server, {"size": 1})
    await server.patch(f"{server.widgets}/a", {"metadata": {"finalizers": ["a.b/c"]}})
    assert (await server.delete(f"{server.widgets}/a")).body["metadata"]["generation"] == 2


async def test_a_replacement_names_its_version(server):
    obj = await made(server, {"size": 1})
    reply = await server.put(f"{server.widgets}/a", widget({"size": 2}))
    assert reply.causes == {("FieldValueInvalid", "metadata.resourceVersion")}
    assert (await server.put(f"{server.widgets}/a", {**obj, "spec": {"size": 2}})).code == 200
    assert (await server.put(f"{server.widgets}/a", {**obj, "spec": {"size": 3}})).reason == "Conflict"


async def test_replacing_what_is_absent_is_not_found(server):
    absent = widget({"size": 1})
    absent["metadata"] = {"name": "a", "uid": "gone", "resourceVersion": "1"}
    assert (await server.put(f"{server.widgets}/a", absent)).code == 404


async def test_status_is_written_through_its_own_path_only(server):
    created = await server.post(server.widgets, widget({"size": 1}, status={"phase": "New"}))
    assert "status" not in created.body
    path = f"{server.widgets}/a"
    await server.patch(path, {"status": {"phase": "New"}})
    assert "status" not in (await server.get(path)).body
    reported = await server.patch(
        f"{path}/status",
        {"status": {"phase": "Ready"}, "spec": {"size": 9}, "metadata": {"labels": {"a": "b"}}},
    )
    assert reported.body["status"] == {"phase": "Ready"}
    assert reported.body["spec"]["size"] == 1
    assert "labels" not in reported.body["metadata"]
    replaced = await server.put(path, {**reported.body, "spec": {"size": 2}, "status": {}})
    assert replaced.body["status"] == {"phase": "Ready"}


async def test_a_status_patch_with_a_stale_version_is_a_conflict(server):
    obj = await made(server, {"size": 1})
    path = f"{server.widgets}/a"
    stale = {"resourceVersion": obj["metadata"]["resourceVersion"]}
    await server.patch(path, {"metadata": {"labels": {"a": "b"}}})
    reply = await server.patch(f"{path}/status", {"metadata": stale, "status": {"phase": "Ready"}})
    assert (reply.code, reply.reason) == (409, "Conflict")
    assert (await server.patch(f"{path}/status", {"status": {"phase": "Ready"}})).code == 200


async def test_a_status_patch_ignores_the_uid(server):
    await made(server, {"size": 1})
    reply = await server.patch(
        f"{server.widgets}/a/status", {"metadata": {"uid": "other"}, "status": {"phase": "Ready"}}
    )
    assert reply.code == 200


async def test_the_status_is_checked_and_pruned_too(server):
    await made(server, {"size": 1})
    path = f"{server.widgets}/a/status"
    assert (await server.patch(path, {"status": {"phase": 1}})).causes == {
        ("FieldValueTypeInvalid", "status.phase")
    }
    assert (await server.patch(path, {"status": {"phase": "x", "other": 1}})).body["status"] == {"phase": "x"}


async def test_the_status_of_what_is_absent_is_not_found(server):
    assert (await server.patch(f"{server.widgets}/a/status", {"status": {}})).code == 404


async def test_a_strategic_patch_is_refused(server):
    await made(server, {"size": 1})
    reply = await server.patch(
        f"{server.widgets}/a", {"spec": {"size": 2}}, "application/strategic-merge-patch+json"
    )
    assert (reply.code, reply.reason) == (415, "UnsupportedMediaType")


async def test_lists_of_custom_resources_name_their_type(server):
    await made(server, {"size": 1})
    reply = await server.get(server.widgets)
    assert (reply.body["kind"], reply.body["items"][0]["kind"]) == ("WidgetList", "Widget")


async def test_a_definition_is_established_served_and_ended_with_its_objects(server):
    path = f"{DEFINITIONS}/gadgets.{GROUP}"
    gadgets = server.widgets.replace("widgets", "gadgets")
    assert (await server.get(gadgets)).code == 404
    assert (await server.post(DEFINITIONS, definition("gadgets", "Gadget"))).code == 201
    await server.wait_until(path, lambda _, body: is_established(body))
    await server.wait_until(gadgets, lambda code, _: code == 200)
    gadget = {**widget({"size": 1}), "kind": "Gadget"}
    assert (await server.post(gadgets, gadget)).code == 201
    assert (await server.delete(path)).code == 200
    await server.wait_until(path, lambda code, _: code == 404)
    await server.wait_until(gadgets, lambda code, _: code == 404)


def is_established(body: dict[str, Any]) -> bool:
    conditions = body.get("status", {}).get("conditions") or []
    return any(one["type"] == "Established" and one["status"] == "True" for one in conditions)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"metadata": {"name": "wrong"}}, "metadata.name"),
        ({"spec": {"scope": "Everywhere"}}, "spec.scope"),
    ],
)
async def test_a_definition_that_cannot_be_served_is_refused(server, change, field):
    body = definition("things", "Thing")
    body |= {name: body[name] | value for name, value in change.items()}
    reply = await server.post(DEFINITIONS, body)
    assert reply.code == 422
    assert field in {cause for _, cause in reply.causes}
