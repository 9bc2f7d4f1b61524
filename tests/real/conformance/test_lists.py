"""LIST: order, selectors, pages, and the versions one may ask for."""

from __future__ import annotations

import pytest


@pytest.fixture
async def five(server):
    """ConfigMaps a to e; `index` counts them, a, c and e are of colour red, b and d blue, e has no colour."""
    for index, name in enumerate("abcde"):
        labels = {"index": str(index)} | ({} if name == "e" else {"colour": "blue" if index % 2 else "red"})
        assert (
            await server.post(server.configmaps, {"metadata": {"name": name, "labels": labels}})
        ).code == 201


@pytest.mark.usefixtures("five")
@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("colour=red", "ac"),
        ("colour==blue", "bd"),
        ("colour!=red", "bde"),
        ("colour in (red, green)", "ac"),
        ("colour notin (red)", "bde"),
        ("colour", "abcd"),
        ("!colour", "e"),
        ("index>2", "de"),
        ("index<1", "a"),
        ("colour=red,index in (0,1)", "a"),
        ("colour=", ""),
        ("", "abcde"),
    ],
)
async def test_labels_select(server, selector, names):
    assert (await server.get(server.configmaps, labelSelector=selector)).names == list(names)


@pytest.mark.usefixtures("five")
@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("metadata.name=b", "b"),
        ("metadata.name!=b", "acde"),
        ("metadata.name==b,metadata.name!=b", ""),
        ("metadata.namespace=other", ""),
    ],
)
async def test_fields_select(server, selector, names):
    assert (await server.get(server.configmaps, fieldSelector=selector)).names == list(names)


@pytest.mark.parametrize(
    "query",
    [
        {"labelSelector": "a b"},
        {"labelSelector": "a in"},
        {"labelSelector": "=b"},
        {"fieldSelector": "data.k=v"},
        {"fieldSelector": "metadata.name"},
        {"limit": "many"},
        {"continue": "nonsense"},
        {"resourceVersion": "nonsense"},
    ],
)
async def test_a_query_that_makes_no_sense_is_a_bad_request(server, query):
    reply = await server.get(server.configmaps, **query)
    assert (reply.code, reply.reason) == (400, "BadRequest")


async def test_an_unknown_field_is_named(server):
    reply = await server.get(server.configmaps, fieldSelector="data.k=v")
    assert '"data.k" is not a known field selector' in reply.body["message"]


async def test_an_empty_list_has_a_version_to_watch_from(server):
    reply = await server.get(server.configmaps)
    assert reply.body["items"] == []
    assert int(reply.version) > 0
    assert reply.body["kind"] == "ConfigMapList"


@pytest.mark.usefixtures("five")
async def test_items_of_built_in_kinds_carry_no_type(server):
    for item in (await server.get(server.configmaps)).body["items"]:
        assert item.keys().isdisjoint({"apiVersion", "kind"})


@pytest.mark.usefixtures("five")
async def test_pages_show_one_state_whatever_is_written_meanwhile(server):
    first = await server.get(server.configmaps, limit="2")
    assert first.names == ["a", "b"]
    assert first.body["metadata"]["remainingItemCount"] == 3
    await server.delete(f"{server.configmaps}/c")
    await server.post(server.configmaps, {"metadata": {"name": "cc"}})
    second = await server.get(
        server.configmaps, limit="2", **{"continue": first.body["metadata"]["continue"]}
    )
    third = await server.get(
        server.configmaps, limit="2", **{"continue": second.body["metadata"]["continue"]}
    )
    assert (second.names, third.names) == (["c", "d"], ["e"])
    assert first.version == second.version == third.version
    assert not third.body["metadata"].get("continue")


@pytest.mark.usefixtures("five")
async def test_a_limit_counts_what_is_selected(server):
    first = await server.get(server.configmaps, limit="1", labelSelector="colour=blue")
    token = first.body["metadata"]["continue"]
    assert "remainingItemCount" not in first.body["metadata"]
    second = await server.get(
        server.configmaps, limit="1", labelSelector="colour=blue", **{"continue": token}
    )
    assert (first.names, second.names) == (["b"], ["d"])


@pytest.mark.usefixtures("five")
async def test_a_continue_token_from_before_a_compaction_is_expired(server):
    first = await server.get(server.configmaps, limit="2")
    await server.post(server.configmaps, {"metadata": {"name": "f"}})
    await server.forget_history()
    reply = await server.get(server.configmaps, limit="2", **{"continue": first.body["metadata"]["continue"]})
    assert (reply.code, reply.reason) == (410, "Expired")


async def test_a_version_from_the_future_is_a_timeout(server):
    ahead = str(int((await server.get(server.configmaps)).version) + 100_000)
    reply = await server.get(server.configmaps, resourceVersion=ahead, resourceVersionMatch="NotOlderThan")
    assert (reply.code, reply.reason) == (504, "Timeout")
    assert reply.body["details"]["causes"][0]["reason"] == "ResourceVersionTooLarge"


@pytest.mark.usefixtures("five")
async def test_version_zero_is_served_whole(server):
    await server.wait_until(f"{server.configmaps}/e", lambda code, _: code == 200)
    reply = await server.get(server.configmaps, resourceVersion="0", limit="2")
    assert "continue" not in reply.body["metadata"]


async def test_a_list_over_all_namespaces_is_ordered_by_namespace_and_name(server):
    for name in ("b", "a"):
        await server.post(server.configmaps, {"metadata": {"name": name}})
    items = (await server.get("/api/v1/configmaps")).body["items"]
    keys = [(item["metadata"]["namespace"], item["metadata"]["name"]) for item in items]
    assert keys == sorted(keys)
    assert {(server.namespace, "a"), (server.namespace, "b")} <= set(keys)
