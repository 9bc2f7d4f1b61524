"""When the status is written, and what happens when it cannot be (P9)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from controller.events import IndexDropped, ResourceWatchRecovered, StatusUpdated
from controller.kube.errors import ApiError, ApiUnreachable
from controller.publisher.status import StatusWriter
from controller.templating.renderer import WatchData
from tests.controller.publisher.stand_in import Cluster, Office
from tests.support.bench import Bench, at_work
from tests.support.news import (
    TEMPLATE,
    UID,
    invalid,
    published,
    removed,
    synchronized,
    validated,
    watch_failed,
)


@pytest.fixture
async def watched() -> list[WatchData]:
    return []


@pytest.fixture
async def bench(
    cluster: Cluster, office: Office, clock: Any, watched: list[WatchData]
) -> AsyncIterator[Bench]:
    cluster.put("ConfigTemplate", "web", metadata={"uid": UID})
    writer = StatusWriter(cluster, office.writer, clock, lambda *_: tuple(watched))
    async with at_work(writer, clock) as bench:
        yield bench


def status(cluster: Cluster) -> dict[str, Any]:
    found: dict[str, Any] = cluster.target("web", "ConfigTemplate").get("status", {})
    return found


def reasons(cluster: Cluster) -> dict[str, str]:
    return {found["type"]: found["reason"] for found in status(cluster).get("conditions", ())}


async def test_each_news_is_written(bench, cluster):
    await bench.publish(validated(), synchronized())
    assert reasons(cluster)["Ready"] == "Progressing"
    await bench.publish(published())
    assert reasons(cluster)["Ready"] == "Succeeded"


async def test_no_news_is_not_written_but_told(bench, cluster):
    """Whoever waits for the status to tell an outcome must not wait for ever."""
    await bench.publish(validated())
    bench.forget()
    await bench.publish(validated())
    assert cluster.writes == [("patch", "web")]
    assert [event.changed for event in bench.of(StatusUpdated)] == [False]


async def test_the_patch_is_fenced_by_the_resource_version(bench, cluster):
    """L4."""
    interference = iter([lambda obj: obj["metadata"].update(labels={"note": "x"})])

    def interfere(verb: str, name: str) -> None:
        if verb == "patch" and (change := next(interference, None)):
            cluster.edit("ConfigTemplate", name, change)

    cluster.refuse = interfere
    await bench.publish(validated())
    assert cluster.writes == [("patch", "web")] * 2
    assert reasons(cluster)["ConfigValid"] == "Valid"


async def test_nothing_is_written_without_the_fence(bench, cluster, office):
    office.term.fence.close("lost")
    await bench.publish(validated())
    assert (cluster.writes, bench.of(StatusUpdated)) == ([], [])


async def test_a_failed_write_is_tried_again_with_growing_waits(bench, cluster):
    cluster.refuse = lambda verb, name: ApiUnreachable("no") if verb == "patch" else None
    await bench.publish(validated())
    for seconds, attempts in ((1.2, 2), (2.4, 3), (4.8, 4)):
        await bench.advance(seconds)
        assert len(cluster.writes) == attempts
    cluster.refuse = lambda verb, name: None
    await bench.advance(9.6)
    assert reasons(cluster)["ConfigValid"] == "Valid"
    await bench.advance(1000)
    assert len(cluster.writes) == 5


async def test_the_waits_end_at_the_drift_interval(bench, cluster):
    cluster.refuse = lambda verb, name: ApiUnreachable("no") if verb == "patch" else None
    await bench.publish(validated(reconcile={"driftInterval": "2s"}))
    await bench.advance(1.2 + 2)
    before = len(cluster.writes)
    await bench.advance(20)
    assert len(cluster.writes) - before == 10


@pytest.mark.parametrize("gone", ["deleted", "recreated"])
async def test_the_status_of_a_gone_config_template_is_not_written(bench, cluster, gone):
    del cluster.objects["ConfigTemplate", "web"]
    if gone == "recreated":
        cluster.put("ConfigTemplate", "web", metadata={"uid": "uid-2"})
    await bench.publish(validated())
    assert cluster.writes == []


async def test_what_comes_late_of_a_deleted_namesake_is_nobodys(bench, cluster):
    cluster.put("ConfigTemplate", "web", metadata={"uid": "uid-2"})
    await bench.publish(validated(), removed(), validated(uid="uid-2"))
    await bench.publish(published(), synchronized(), synchronized(uid="uid-2"))
    assert reasons(cluster) == {
        "Ready": "Progressing",
        "ConfigValid": "Valid",
        "WatchesSynced": "Synced",
    }


async def test_a_watch_failure_that_is_older_than_the_configuration_counts(bench, cluster):
    """A new leader is given retained events by time of publication: the failure may come first."""
    await bench.publish(watch_failed(), validated())
    assert reasons(cluster)["WatchesSynced"] == "Forbidden"


async def test_a_watch_that_delivers_again_heals(bench, cluster):
    await bench.publish(validated(), watch_failed(), watch_failed("other"))
    await bench.publish(ResourceWatchRecovered(template=TEMPLATE, watch="sources"))
    assert reasons(cluster)["WatchesSynced"] == "Forbidden"
    await bench.publish(ResourceWatchRecovered(template=TEMPLATE, watch="other"), synchronized())
    assert reasons(cluster)["WatchesSynced"] == "Synced"


async def test_a_refused_generation_is_told_and_healed_by_the_next(bench, cluster):
    await bench.publish(validated(), invalid(2))
    assert (reasons(cluster)["ConfigValid"], status(cluster)["generationInForce"]) == ("TemplateError", 1)
    await bench.publish(validated(3))
    assert (reasons(cluster)["ConfigValid"], status(cluster)["generationInForce"]) == ("Valid", 3)


async def test_a_restart_with_an_invalid_generation_says_so(bench, cluster):
    await bench.publish(invalid(2))
    assert reasons(cluster) == {"Ready": "NoValidConfig", "ConfigValid": "TemplateError"}


@pytest.mark.parametrize("answer", [validated(requested_at="t1", suspend=True), invalid(requested_at="t1")])
async def test_a_request_that_leads_to_no_render_is_handled_at_once(bench, cluster, answer):
    await bench.publish(answer)
    assert status(cluster)["lastHandledReconcileAt"] == "t1"


async def test_a_new_term_does_not_take_back_a_handled_request(bench, cluster):
    cluster.edit("ConfigTemplate", "web", lambda obj: obj.update(status={"lastHandledReconcileAt": "t1"}))
    await bench.publish(validated(requested_at="t1"))
    assert status(cluster)["lastHandledReconcileAt"] == "t1"


async def test_watched_objects_are_counted_when_something_else_is_written(bench, cluster, watched):
    watched.append(WatchData("sources", (), (b"{}",) * 3))
    await bench.publish(validated(), synchronized(objects=(("sources", 1),)))
    assert status(cluster)["watches"] == [{"name": "sources", "objects": 3}]
    watched[:] = [WatchData("sources", (), (b"{}",) * 5)]
    await bench.publish(validated())
    assert status(cluster)["watches"] == [{"name": "sources", "objects": 3}]
    await bench.publish(published())
    assert status(cluster)["watches"] == [{"name": "sources", "objects": 5}]


async def test_stores_that_were_let_go_of_are_not_counted(bench, cluster):
    await bench.publish(validated(), synchronized(), IndexDropped(template=TEMPLATE), published())
    assert reasons(cluster)["Published"] == "Published"


async def test_a_refusal_of_the_server_is_tried_again(bench, cluster):
    cluster.refuse = lambda verb, name: ApiError(403, "Forbidden", "no") if verb == "get" else None
    await bench.publish(validated())
    cluster.refuse = lambda verb, name: None
    await bench.advance(1.2)
    assert reasons(cluster)["ConfigValid"] == "Valid"
