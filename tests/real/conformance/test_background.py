"""What happens after the answer: garbage collection by owner reference, and the end of a namespace."""

from __future__ import annotations

import pytest

from tests.real.conformance.conftest import Server


@pytest.fixture(autouse=True)
async def _controllers(server):
    await server.start_controllers()


async def made(server: Server, name: str, *owners: dict[str, str]) -> dict[str, str]:
    reply = await server.post(
        server.configmaps, {"metadata": {"name": name, "ownerReferences": list(owners)}}
    )
    assert reply.code == 201, reply.body
    return {"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": reply.body["metadata"]["uid"]}


async def gone(server: Server, name: str) -> None:
    await server.wait_until(f"{server.configmaps}/{name}", lambda code, _: code == 404)


async def test_dependents_go_after_their_owner_and_theirs_after_them(server):
    owner = await made(server, "owner")
    dependent = await made(server, "dependent", owner)
    await made(server, "second", dependent)
    await server.delete(f"{server.configmaps}/owner")
    await gone(server, "dependent")
    await gone(server, "second")


async def test_whose_owner_never_existed_goes_at_once(server):
    await made(server, "a", {"apiVersion": "v1", "kind": "ConfigMap", "name": "ghost", "uid": "ghost"})
    await gone(server, "a")


async def test_an_owner_of_the_same_name_and_another_uid_does_not_keep_it(server):
    owner = await made(server, "owner")
    await made(server, "a", owner | {"uid": "former"})
    await gone(server, "a")
    assert (await server.get(f"{server.configmaps}/owner")).code == 200


async def test_one_owner_left_keeps_it_and_the_other_reference_goes(server):
    first, second = await made(server, "first"), await made(server, "second")
    await made(server, "a", first, second)
    await server.delete(f"{server.configmaps}/first")

    def kept_by_second(code, body):
        return code == 200 and body["metadata"]["ownerReferences"] == [second]

    await server.wait_until(f"{server.configmaps}/a", kept_by_second)


async def test_an_owner_of_an_unknown_kind_keeps_it(server):
    unknown = {"apiVersion": "nowhere.example.com/v1", "kind": "Thing", "name": "x", "uid": "x"}
    await made(server, "kept", unknown)
    await made(server, "a", {"apiVersion": "v1", "kind": "ConfigMap", "name": "ghost", "uid": "ghost"})
    await gone(server, "a")
    assert (await server.get(f"{server.configmaps}/kept")).code == 200


async def test_deleting_a_namespace_deletes_what_is_in_it(server):
    await made(server, "a")
    path = f"/api/v1/namespaces/{server.namespace}"
    deleted = await server.delete(path)
    assert deleted.body["status"]["phase"] == "Terminating"
    await server.wait_until(path, lambda code, _: code == 404)
    assert (await server.get(f"{server.configmaps}/a")).code == 404
    assert (await server.post(server.configmaps, {"metadata": {"name": "b"}})).code == 404


async def test_nothing_is_created_in_a_namespace_that_is_ending(server):
    await server.post(server.configmaps, {"metadata": {"name": "a", "finalizers": ["a.b/c"]}})
    path = f"/api/v1/namespaces/{server.namespace}"
    await server.delete(path)
    reply = await server.post(server.configmaps, {"metadata": {"name": "b"}})
    assert (reply.code, reply.reason) == (403, "Forbidden")
    await server.patch(f"{server.configmaps}/a", {"metadata": {"finalizers": None}})
    await server.wait_until(path, lambda code, _: code == 404)


async def test_the_default_namespace_stays(server):
    assert (await server.delete("/api/v1/namespaces/default")).code == 403
