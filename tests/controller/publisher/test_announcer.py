"""Kubernetes Events on the ConfigTemplate (P5)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from controller.events import ResourceWatchRecovered
from controller.kube.errors import ApiError
from controller.publisher import announcer
from controller.publisher.announcer import Announcer
from tests.controller.publisher.stand_in import Cluster
from tests.support.bench import Bench, at_work
from tests.support.news import (
    TEMPLATE,
    UID,
    drifted,
    invalid,
    publish_failed,
    published,
    removed,
    render_failed,
    validated,
    watch_failed,
)


@pytest.fixture
async def bench(cluster: Cluster, clock: Any) -> AsyncIterator[Bench]:
    async with at_work(Announcer(cluster, "me"), clock) as bench:
        yield bench


def posted(cluster: Cluster) -> list[tuple[str, str]]:
    return [(obj["type"], obj["reason"]) for (kind, _), obj in cluster.objects.items() if kind == "Event"]


def only(cluster: Cluster) -> dict[str, Any]:
    [event] = [obj for (kind, _), obj in cluster.objects.items() if kind == "Event"]
    return dict(event)


async def test_a_failure_is_posted_on_the_config_template(bench, cluster):
    await bench.publish(validated(), render_failed())
    event = only(cluster)
    assert (event["type"], event["reason"], event["count"]) == ("Warning", "RenderFailed", 1)
    assert event["message"] == "hosts line 3, column 4: an Ingress without a host"
    about = event["involvedObject"]
    assert (about["kind"], about["namespace"], about["name"], about["uid"]) == (
        "ConfigTemplate",
        "edge",
        "web",
        UID,
    )


async def test_the_same_failure_again_is_counted(bench, cluster, monkeypatch):
    monkeypatch.setattr(announcer, "QUIET", announcer.QUIET * 0)
    await bench.publish(validated(), render_failed(), render_failed(), render_failed())
    assert only(cluster)["count"] == 3


async def test_the_same_failure_many_times_a_second_is_posted_once(bench, cluster):
    await bench.publish(validated(), *(drifted() for _ in range(20)))
    assert cluster.writes == [("create", only(cluster)["metadata"]["name"])]


async def test_a_new_leader_counts_on(bench, cluster, clock):
    await bench.publish(validated(), render_failed())
    async with at_work(Announcer(cluster, "another"), clock) as successor:
        await successor.publish(validated(), render_failed())
    assert only(cluster)["count"] == 2


@pytest.mark.parametrize(
    ("failure", "recovery", "reason"),
    [
        (render_failed(), published(), "Published"),
        (publish_failed(), published(), "Published"),
        (invalid(2), validated(3), "Valid"),
        (watch_failed(), ResourceWatchRecovered(template=TEMPLATE, watch="sources"), "Synced"),
    ],
)
async def test_a_recovery_is_posted_once(bench, cluster, monkeypatch, failure, recovery, reason):
    monkeypatch.setattr(announcer, "QUIET", announcer.QUIET * 0)
    await bench.publish(validated(), failure, recovery, recovery)
    assert posted(cluster)[1:] == [("Normal", reason)]
    assert len(cluster.writes) == 2


async def test_success_without_a_failure_before_is_no_news(bench, cluster):
    await bench.publish(validated(), published())
    assert posted(cluster) == []


async def test_a_recovery_of_one_aspect_is_none_of_another(bench, cluster):
    await bench.publish(validated(), watch_failed(), published())
    assert posted(cluster) == [("Warning", "Forbidden")]


async def test_nothing_is_posted_on_what_is_gone(bench, cluster):
    await bench.publish(validated(), removed(), render_failed())
    assert posted(cluster) == []


async def test_an_event_that_cannot_be_posted_harms_nobody(bench, cluster):
    cluster.refuse = lambda verb, name: ApiError(403, "Forbidden", "no")
    await bench.publish(validated(), render_failed())
    cluster.refuse = lambda verb, name: None
    await bench.publish(publish_failed())
    assert posted(cluster) == [("Warning", "PublishFailed")]


async def test_a_long_name_still_gives_a_name_the_server_takes(cluster, clock):
    """Cut where it must not end."""
    long = "edge/" + "a" * 199 + "-b"
    async with at_work(Announcer(cluster, "me"), clock) as bench:
        await bench.publish(validated(template=long))
        await bench.publish(render_failed(template=long))
    name = only(cluster)["metadata"]["name"]
    assert name.startswith("a" * 199 + ".")
