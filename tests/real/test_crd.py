"""The CustomResourceDefinition on a real API server: it refuses exactly what `parse_spec` refuses offline."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import aiohttp
import pytest

from controller.config.crd import crd
from controller.config.model import GROUP, KIND, PLURAL, VERSION, SpecInvalid, Target, parse_spec
from controller.config.status import Condition, ConfigTemplateStatus, OutputStatus, WatchStatus
from tests.controller.config.specs import ABSENT, BAD, EXAMPLE, GOOD, MINIMAL, Bad, changed

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
JUNK: tuple[object, ...] = (
    *(
        None,
        True,
        0,
        -1,
        1.0,
        1.5,
        2**40,
        "",
        "x",
        "X",
        "..",
        "values",
        "ingresses",
        "haproxy.cfg",
        "map",
        "2s",
    ),
    *("0s", "5m5m", "In", "Exists", "Secret", "json", "v1", "é", "a\n", "a" * 64, "a" * 300, [], {}, [None]),
    *(
        ["x"],
        ["x", "x"],
        [[]],
        {"x": 1},
        {"x": None},
        {"": ""},
        {"name": "x"},
        {"services": [{"a": None}]},
        ABSENT,
    ),
)


@pytest.fixture
async def definition(api: aiohttp.ClientSession) -> Mapping[str, Any]:
    """The definition as the server has it, once it serves it."""
    found = await latest(api)
    if found is None:
        async with api.post(DEFINITIONS, json=crd()) as response:
            assert response.status == 201, await response.text()
            assert "Warning" not in response.headers
    async with asyncio.timeout(20):
        while found is None or conditions_of(found).get("Established") != "True":
            found = await latest(api, watch="1", timeoutSeconds="1")
    return found


async def latest(api: aiohttp.ClientSession, **query: str) -> dict[str, Any] | None:
    """The definition now, or (with a watch) what it was last within the time; None if there is none."""
    query["fieldSelector"] = f"metadata.name={PLURAL}.{GROUP}"
    async with api.get(DEFINITIONS, params=query) as response:
        # Read to the end: breaking off would leave a TLS connection open when the test ends.
        found = [json.loads(line) for line in (await response.text()).splitlines()]
    objects = [it["object"] for it in found] if "watch" in query else found[0]["items"]
    return objects[-1] if objects else None


@pytest.fixture
def path(definition: Mapping[str, Any], namespace: str) -> str:
    return f"/apis/{GROUP}/{VERSION}/namespaces/{namespace}/{PLURAL}"


def conditions_of(obj: Mapping[str, Any]) -> dict[str, str]:
    return {it["type"]: it["status"] for it in obj["status"].get("conditions") or ()}


async def create(
    api: aiohttp.ClientSession, path: str, spec: object, **query: str
) -> tuple[int, dict[str, Any], list[str]]:
    """Status, body and warnings."""
    body = {"apiVersion": f"{GROUP}/{VERSION}", "kind": KIND, "metadata": {"name": "edge"}, "spec": spec}
    async with api.post(path, json=body, params=query) as response:
        return response.status, await response.json(), response.headers.getall("Warning", [])


def places(value: object, at: str = "") -> Iterator[str]:
    """Every field path in a document, and one past the end of every list."""
    if isinstance(value, dict):
        for name, inner in value.items():
            path = f"{at}['{name}']"
            yield path
            yield from places(inner, path)
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from places(inner, f"{at}[{index}]")
        yield f"{at}[{len(value)}]"


async def test_the_server_accepts_it_as_structural(definition):
    assert conditions_of(definition) == {"NamesAccepted": "True", "Established": "True"}


@pytest.mark.parametrize("spec", GOOD)
async def test_what_the_server_stores_means_what_parse_spec_reads(spec, api, path):
    status, stored, warnings = await create(api, path, spec)
    assert (status, warnings) == (201, []), stored
    assert parse_spec(stored["spec"], strict=True) == parse_spec(spec, strict=True)


@pytest.mark.parametrize("bad", BAD, ids=str)
async def test_bad_specs_are_refused_with_a_reason(bad: Bad, api, path):
    status, answer, _ = await create(api, path, bad.spec, dryRun="All")
    assert (status, answer["reason"]) == (422, "Invalid")
    assert (bad.server or bad.says) in answer["message"]


async def test_the_server_refuses_what_parse_spec_refuses_and_nothing_else(api, path):
    """Three hundred random changes of the example, the same in every run."""
    choose = random.Random(1)
    everywhere = list(places(dict(EXAMPLE)))
    differences, accepted = [], 0
    for _ in range(300):
        at, value = choose.choice(everywhere), choose.choice(JUNK)
        try:
            spec = changed(at, value)
        except IndexError:  # nothing to take away past the end
            continue
        status, answer, _ = await create(api, path, spec, dryRun="All", fieldValidation="Ignore")
        accepted += status == 201
        refusal = refusal_of(spec)
        if (status, refusal == "") not in {(201, True), (422, False)}:
            differences.append((at, value, status, answer.get("message"), refusal))
    assert differences == []
    assert 50 < accepted < 250


def refusal_of(spec: Mapping[str, Any]) -> str:
    try:
        parse_spec(spec, strict=False)
    except SpecInvalid as error:
        return str(error)
    return ""


async def test_unknown_fields_are_pruned_with_a_warning(api, path):
    status, stored, warnings = await create(api, path, {**MINIMAL, "watch": []}, fieldValidation="Warn")
    assert status == 201
    assert "watch" not in stored["spec"]
    assert any("spec.watch" in warning for warning in warnings)


async def test_unknown_fields_are_refused_if_one_asks_for_it(api, path):
    status, answer, _ = await create(api, path, {**MINIMAL, "watch": []}, fieldValidation="Strict")
    assert status == 400
    assert 'unknown field "spec.watch"' in answer["message"]


async def test_a_status_survives_and_is_shown_in_columns(api, path):
    await create(api, path, MINIMAL)
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    ready = Condition(
        type="Ready",
        status="False",
        observed_generation=1,
        last_transition_time=now,
        reason="TemplateError",
        message="hello line 1: oh",
    )
    target = Target(name="hello", key="hello.txt")
    status = ConfigTemplateStatus(
        observed_generation=1,
        conditions=(ready,),
        outputs=(OutputStatus(name="hello", target=target, checksum="sha256:00", bytes=5, published_at=now),),
        watches=(WatchStatus(name="pods", objects=3),),
        last_handled_reconcile_at="now",
    ).model_dump(mode="json", by_alias=True, exclude_none=True)
    patch = {"Content-Type": "application/merge-patch+json"}
    async with api.patch(f"{path}/edge/status", json={"status": status}, headers=patch) as response:
        assert response.status == 200, await response.text()
        assert (await response.json())["status"] == status
    async with api.get(f"{path}/edge", headers=TABLE) as response:
        table = await response.json()
    shown = dict(
        zip((it["name"] for it in table["columnDefinitions"]), table["rows"][0]["cells"], strict=True)
    )
    shown.pop("Age")
    assert shown == {
        "Name": "edge",
        "Ready": "False",
        "Reason": "TemplateError",
        "Suspended": False,
        "Message": "hello line 1: oh",
    }
