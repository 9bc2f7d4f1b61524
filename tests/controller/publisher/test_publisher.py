"""What is written, when not, and what is said of it: P3, P4, P7, P9, L4."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from controller.events import ConfigPublished, ConfigPublishFailed, ConfigValidated, PublicationSuperseded
from controller.kube.errors import ApiError, ApiUnreachable
from controller.publisher.publisher import Publisher
from controller.publisher.targets import OWNER_UID, TERM, Owner, TargetPlan, fresh
from tests.controller.publisher.stand_in import Cluster, Office
from tests.support.bench import Bench, at_work
from tests.support.news import completed, drifted, output, removed, validated

OWNER = Owner(namespace="edge", name="web", uid="uid-1")
TWO = (output("1", target="one"), output("2", target="two"))


class Standing:
    """The generation that may be published now (P3)."""

    def __init__(self) -> None:
        self.config: ConfigValidated | None = validated()

    def __call__(self, template: str, uid: str) -> ConfigValidated | None:
        return self.config if self.config is not None and self.config.uid == uid else None


@pytest.fixture
async def standing() -> Standing:
    return Standing()


@pytest.fixture
async def bench(cluster: Cluster, office: Office, standing: Standing, clock: Any) -> AsyncIterator[Bench]:
    publisher = Publisher(cluster, office.writer, standing, clock, target_kinds=("ConfigMap", "Secret"))
    async with at_work(publisher, clock) as bench:
        yield bench


def failure(bench: Bench) -> ConfigPublishFailed:
    assert bench.of(ConfigPublished) == []
    return bench.of(ConfigPublishFailed)[-1]


def ours(cluster: Cluster, name: str, text: str = "old", *, term: str = "49", uid: str = "uid-1") -> None:
    """A target that an earlier term has written."""
    owner = Owner(namespace="edge", name="web", uid=uid)
    obj = fresh(TargetPlan("ConfigMap", name, {"hosts": text}), owner, term)
    cluster.put(kind="ConfigMap", name=name, data=obj["data"], metadata=obj["metadata"])


# --- writing


async def test_a_missing_target_is_created(bench, cluster):
    await bench.publish(completed())
    assert cluster.target()["data"] == {"hosts": "right"}
    event = bench.of(ConfigPublished)[0]
    assert (event.changed, event.targets[0].uid) == (True, cluster.target()["metadata"]["uid"])


async def test_a_target_of_ours_is_replaced(bench, cluster):
    ours(cluster, "proxy")
    await bench.publish(completed())
    assert cluster.target()["data"] == {"hosts": "right"}
    assert cluster.writes == [("replace", "proxy")]


async def test_several_outputs_to_one_target_are_one_write(bench, cluster):
    await bench.publish(completed(output("1", key="a"), output("2", name="b", key="b")))
    assert cluster.target()["data"] == {"a": "1", "b": "2"}
    assert cluster.writes == [("create", "proxy")]


async def test_unchanged_content_is_written_once_per_term_and_not_again(bench, cluster):
    """P4: the term on the target refuses what an older term still has in flight."""
    ours(cluster, "proxy", "right", term="49")
    await bench.publish(completed(), completed())
    assert cluster.writes == [("replace", "proxy")]
    assert cluster.target()["metadata"]["annotations"][TERM] == "50"


async def test_what_this_term_has_written_is_not_even_read_again(bench, cluster):
    await bench.publish(completed())
    cluster.requests.clear()
    await bench.publish(completed())
    assert cluster.requests == []
    assert [event.changed for event in bench.of(ConfigPublished)] == [True, False]


async def test_the_drift_interval_looks_again(bench, cluster):
    await bench.publish(completed())
    cluster.edit("ConfigMap", "proxy", lambda obj: obj["data"].update(hosts="wrong"))
    await bench.advance(600)
    await bench.publish(completed())
    assert cluster.target()["data"] == {"hosts": "right"}


async def test_a_look_that_finds_everything_in_place_changes_nothing(bench, cluster):
    await bench.publish(completed(), drifted(), completed())
    assert cluster.writes == [("create", "proxy")]
    assert [event.changed for event in bench.of(ConfigPublished)] == [True, False]


async def test_drift_makes_it_look_again(bench, cluster):
    """P6."""
    await bench.publish(completed())
    cluster.edit("ConfigMap", "proxy", lambda obj: obj["data"].update(hosts="wrong"))
    await bench.publish(drifted(), completed())
    assert cluster.target()["data"] == {"hosts": "right"}


async def test_a_secret_is_written_and_its_checksum_not_told(bench, cluster):
    """X3."""
    await bench.publish(completed(output("pass", kind="Secret")))
    assert cluster.target(kind="Secret")["data"] == {"hosts": "cGFzcw=="}
    assert bench.of(ConfigPublished)[0].outputs[0].checksum == ""


async def test_a_write_of_the_term_only_does_not_count_as_a_new_publication(bench, cluster):
    """`publishedAt` is when the content was last written."""
    ours(cluster, "proxy", "right")
    await bench.publish(completed())
    assert bench.of(ConfigPublished)[0].outputs[0].published_at == ""


async def test_who_changes_it_between_reading_and_writing_is_not_overwritten_blindly(bench, cluster):
    """L4: the write carries the resourceVersion; refused, it is prepared afresh."""
    ours(cluster, "proxy")
    others = iter([lambda obj: obj["metadata"].update(annotations={"note": "kept"})])

    def interfere(verb: str, name: str) -> None:
        if verb == "replace" and (change := next(others, None)):
            cluster.edit("ConfigMap", name, change)

    cluster.refuse = interfere
    await bench.publish(completed())
    assert cluster.writes == [("replace", "proxy")] * 2
    assert cluster.target()["metadata"]["annotations"]["note"] == "kept"


async def test_a_target_created_by_another_meanwhile_is_his(bench, cluster):
    def interfere(verb: str, name: str) -> None:
        if verb == "create" and not cluster.objects:
            cluster.put("ConfigMap", "proxy", {"hosts": "his"})

    cluster.refuse = interfere
    await bench.publish(completed())
    assert failure(bench).reason == "TargetConflict"
    assert cluster.target()["data"] == {"hosts": "his"}


# --- all of it, else nothing: P3


@pytest.mark.parametrize("foreign", ["one", "two"])
async def test_nothing_is_written_when_one_target_is_foreign(bench, cluster, foreign):
    cluster.put("ConfigMap", foreign, {"hosts": "his"})
    await bench.publish(completed(*TWO))
    assert (failure(bench).reason, cluster.writes) == ("TargetConflict", [])


async def test_nothing_is_written_when_one_target_is_immutable(bench, cluster):
    ours(cluster, "two")
    cluster.edit("ConfigMap", "two", lambda obj: obj.update(immutable=True))
    await bench.publish(completed(*TWO))
    assert (failure(bench).reason, failure(bench).retry, cluster.writes) == ("TargetImmutable", True, [])


async def test_nothing_is_written_when_one_target_is_too_large(bench, cluster):
    await bench.publish(completed(output(target="one"), output("x" * 1_048_577, target="two")))
    assert (failure(bench).reason, failure(bench).retry, cluster.requests) == ("TooLarge", False, [])


async def test_a_target_that_is_being_deleted_is_waited_for(bench, cluster):
    ours(cluster, "proxy")
    cluster.edit("ConfigMap", "proxy", lambda obj: obj["metadata"].update(deletionTimestamp="now"))
    await bench.publish(completed())
    assert (failure(bench).retry, cluster.writes) == (True, [])


# --- standing and fence, immediately before the write (P3, L4)


@pytest.mark.parametrize(
    "now",
    [None, validated(2), validated(uid="uid-2"), validated(suspend=True)],
    ids=["gone or going", "another generation", "a namesake", "suspended"],
)
@pytest.mark.parametrize("when", ["before", "while reading", "between two writes"])
async def test_a_render_that_is_no_longer_wanted_is_dropped(bench, cluster, standing, now, when):
    def change(verb: str, name: str) -> None:
        if (verb, name, when) in {("get", "two", "while reading"), ("create", "one", "between two writes")}:
            standing.config = now

    if when == "before":
        standing.config = now
    cluster.refuse = change
    await bench.publish(completed(*TWO))
    assert cluster.writes == ([("create", "one")] if when == "between two writes" else [])
    assert len(bench.of(PublicationSuperseded)) == 1
    assert bench.of(ConfigPublished) == []


async def test_an_unchanged_render_of_a_gone_config_template_is_dropped_too(bench, standing):
    await bench.publish(completed())
    bench.forget()
    standing.config = None
    await bench.publish(completed())
    assert (len(bench.of(PublicationSuperseded)), bench.of(ConfigPublished)) == (1, [])


async def test_nothing_passes_a_closed_fence(bench, cluster, office):
    office.term.fence.close("lost")
    await bench.publish(completed())
    assert (cluster.writes, bench.of(ConfigPublished), bench.of(ConfigPublishFailed)) == ([], [], [])


async def test_a_higher_term_on_a_target_makes_it_doubt(bench, cluster, office):
    """L4: unless the Lease still names this term's holder, the term is over."""
    ours(cluster, "proxy", term="51")
    office.held = False
    await bench.publish(completed())
    assert (cluster.writes, bench.of(ConfigPublished)) == ([], [])


async def test_a_higher_term_is_overwritten_while_the_lease_is_ours(bench, cluster, office):
    ours(cluster, "proxy", term="51")
    await bench.publish(completed())
    assert cluster.target()["metadata"]["annotations"][TERM] == "50"
    assert office.asked == 1


async def test_without_election_the_lease_is_not_asked_and_no_term_written(cluster, clock, standing):
    """L7."""
    office = Office(cluster, clock, term="")
    ours(cluster, "proxy", term="51")
    async with at_work(
        Publisher(cluster, office.writer, standing, clock, target_kinds=("ConfigMap",)), clock
    ) as bench:
        await bench.publish(completed(output(), output(name="new", target="new")))
    assert cluster.target()["data"] == {"hosts": "right"}
    assert TERM not in cluster.target("new")["metadata"]["annotations"]
    assert office.asked == 0


# --- what goes wrong: P9


@pytest.mark.parametrize(
    "error",
    [ApiError(403, "Forbidden", "configmaps is forbidden"), ApiUnreachable("no answer"), TimeoutError()],
)
async def test_a_failed_write_is_told_and_may_be_retried(bench, cluster, error):
    cluster.refuse = lambda verb, name: error if verb == "create" else None
    await bench.publish(completed())
    assert (failure(bench).reason, failure(bench).retry) == ("PublishFailed", True)
    assert failure(bench).problems[0].message == (str(error) or "no answer in time")


async def test_of_two_targets_the_written_one_is_not_written_again(bench, cluster):
    cluster.refuse = lambda verb, name: ApiUnreachable("no") if (verb, name) == ("create", "two") else None
    await bench.publish(completed(*TWO))
    assert failure(bench).retry
    cluster.refuse = lambda verb, name: None
    await bench.publish(completed(*TWO))
    assert cluster.writes == [("create", "one"), ("create", "two"), ("create", "two")]
    assert len(bench.of(ConfigPublished)[0].targets) == 2


async def test_what_the_server_says_of_secrets_is_not_repeated(bench, cluster):
    """X3: it may quote what it refused."""
    cluster.refuse = lambda verb, name: (
        ApiError(422, "Invalid", "bad value: pass") if verb == "create" else None
    )
    await bench.publish(completed(output("pass", kind="Secret", sensitive=True)))
    message = failure(bench).problems[0].message
    assert message.startswith("422 Invalid")
    assert "pass" not in message


# --- what left the spec (P7)


async def test_a_target_that_left_the_spec_is_removed_after_the_new_one_is_out(bench, cluster):
    ours(cluster, "old")
    await bench.publish(completed())
    assert cluster.writes == [("create", "proxy"), ("delete", "old")]


async def test_a_key_that_left_the_spec_is_removed(bench, cluster, standing):
    await bench.publish(completed(output("1", key="a"), output("2", name="b", key="b")))
    standing.config = validated(2)
    await bench.publish(completed(output("1", key="a"), generation=2))
    assert cluster.target()["data"] == {"a": "1"}


async def test_an_old_target_that_belongs_to_another_by_now_is_left_alone(bench, cluster):
    ours(cluster, "old", uid="uid-2")
    cluster.edit("ConfigMap", "old", lambda obj: obj["metadata"]["labels"].update({OWNER_UID: "uid-1"}))
    await bench.publish(completed())
    assert cluster.writes == [("create", "proxy")]


async def test_nothing_is_removed_while_the_new_state_is_not_out(bench, cluster):
    ours(cluster, "old")
    cluster.refuse = lambda verb, name: ApiUnreachable("no") if verb == "create" else None
    await bench.publish(completed())
    assert ("ConfigMap", "old") in cluster.objects


async def test_old_targets_are_looked_for_once_per_generation(bench, cluster, standing):
    await bench.publish(completed(), completed())
    standing.config = validated(2)
    await bench.publish(completed(generation=2))
    assert [name for verb, name in cluster.requests if verb == "list"] == ["ConfigMap", "Secret"] * 2


async def test_an_old_target_that_cannot_be_removed_is_told_and_tried_again(bench, cluster):
    """The new state is out by then: it is not written again."""
    ours(cluster, "old")
    cluster.refuse = lambda verb, name: ApiError(403, "Forbidden", "no") if verb == "delete" else None
    await bench.publish(completed())
    assert failure(bench).retry
    assert "left the spec" in failure(bench).problems[0].message
    cluster.refuse = lambda verb, name: None
    await bench.publish(completed())
    assert cluster.writes == [("create", "proxy"), ("delete", "old"), ("delete", "old")]
    assert len(bench.of(ConfigPublished)) == 1


# --- deletion and re-creation


async def test_a_namesake_takes_over_its_predecessors_target(bench, cluster, standing):
    await bench.publish(completed(), removed())
    standing.config = validated(uid="uid-2")
    await bench.publish(completed(uid="uid-2"))
    assert cluster.target()["metadata"]["ownerReferences"][0]["uid"] == "uid-2"
    assert cluster.target()["metadata"]["labels"][OWNER_UID] == "uid-2"
