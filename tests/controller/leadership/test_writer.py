"""Writes in a term's name: prepared, checked at the fence, sent, and doubted when refused (L4)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from controller.kube.errors import ApiError, ApiUnreachable
from controller.kube.resource import CONFIG_MAPS, CONFIG_TEMPLATES, Resource
from controller.leadership.fence import Fence, FenceClosed, Term
from controller.leadership.timings import LeaseTimings
from controller.leadership.writer import ATTEMPTS, Create, Delete, PatchStatus, Replace, Write, Writer
from controller.testing import FakeClock, settle

DOUBTFUL = [404, 409, 422]
TIMEOUT = 10.0


def config_map(**metadata: str) -> dict[str, Any]:
    return {"metadata": {"namespace": "edge", "name": "web", **metadata}, "data": {}}


NEW = Create(CONFIG_MAPS, config_map())
BETTER = Replace(CONFIG_MAPS, config_map(uid="u1", resourceVersion="5"))


class Server:
    """Answers writes as the test says, and keeps them."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.answers: list[Exception] = []
        self.hang = asyncio.Event()
        self.hang.set()

    async def _answer(self, *call: Any) -> dict[str, Any]:
        self.calls.append(call)
        await self.hang.wait()
        if self.answers:
            raise self.answers.pop(0)
        return {"metadata": {"resourceVersion": "9"}}

    async def create(self, resource: Resource, obj: Mapping[str, Any], *, timeout: float) -> dict[str, Any]:
        return await self._answer("create", resource, obj, timeout)

    async def replace(self, resource: Resource, obj: Mapping[str, Any], *, timeout: float) -> dict[str, Any]:
        return await self._answer("replace", resource, obj, timeout)

    async def merge_patch(
        self,
        resource: Resource,
        name: str,
        namespace: str | None,
        patch: Mapping[str, Any],
        *,
        subresource: str | None = None,
        timeout: float,
    ) -> dict[str, Any]:
        return await self._answer("patch", resource, namespace, name, subresource, patch, timeout)

    async def delete(
        self,
        resource: Resource,
        name: str,
        namespace: str | None = None,
        *,
        uid: str | None = None,
        resource_version: str | None = None,
        timeout: float,
    ) -> None:
        await self._answer("delete", resource, namespace, name, uid, resource_version, timeout)


class Desk:
    """A writer, its term, and a Lease that is read as the test says."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.fence = Fence.for_lease(self.clock, LeaseTimings(), renewed_at=self.clock.monotonic())
        self.term = Term("me", "7", 1, self.fence)
        self.server = Server()
        self.holds = True
        self.verifications: list[Term] = []
        self.unreadable: Exception | None = None
        self.prepared = 0
        self.request: Write | None = BETTER
        self.writer = Writer(self.server, self.term, self._verify, timeout=TIMEOUT)

    async def _verify(self, term: Term) -> bool:
        self.verifications.append(term)
        if self.unreadable is not None:
            raise self.unreadable
        if not self.holds:
            self.fence.close("the Lease is held by other")
        return self.holds

    async def prepare(self) -> Write | None:
        self.prepared += 1
        return self.request

    @property
    def methods(self) -> list[str]:
        return [call[0] for call in self.server.calls]


@pytest.fixture
async def desk() -> Desk:
    return Desk()


def refused(status: int) -> ApiError:
    return ApiError(status, "Refused", "by the test")


# --- what is sent


async def test_an_object_is_created_by_post(desk: Desk) -> None:
    desk.request = NEW
    assert await desk.writer.write(desk.prepare) == {"metadata": {"resourceVersion": "9"}}
    assert desk.server.calls == [("create", CONFIG_MAPS, NEW.obj, TIMEOUT)]


async def test_an_object_is_replaced_by_put_with_its_uid_and_version(desk: Desk) -> None:
    await desk.writer.write(desk.prepare)
    assert desk.server.calls == [("replace", CONFIG_MAPS, BETTER.obj, TIMEOUT)]


@pytest.mark.parametrize("missing", ["uid", "resourceVersion"])
def test_a_put_that_fences_nothing_cannot_be_made(missing: str) -> None:
    metadata = {"uid": "u1", "resourceVersion": "5"}
    del metadata[missing]
    with pytest.raises(ValueError, match="web without uid and resourceVersion"):
        Replace(CONFIG_MAPS, config_map(**metadata))


async def test_a_status_is_merged_into_the_version_it_was_made_for(desk: Desk) -> None:
    desk.request = PatchStatus(CONFIG_TEMPLATES, "edge", "web", "5", {"observedGeneration": 2})
    await desk.writer.write(desk.prepare)
    patch = {"metadata": {"resourceVersion": "5"}, "status": {"observedGeneration": 2}}
    assert desk.server.calls == [("patch", CONFIG_TEMPLATES, "edge", "web", "status", patch, TIMEOUT)]


async def test_a_deletion_names_uid_and_version(desk: Desk) -> None:
    desk.request = Delete(CONFIG_MAPS, "edge", "web", "u1", "5")
    await desk.writer.write(desk.prepare)
    assert desk.server.calls == [("delete", CONFIG_MAPS, "edge", "web", "u1", "5", TIMEOUT)]


async def test_nothing_to_write_is_no_write(desk: Desk) -> None:
    desk.request = None
    assert await desk.writer.write(desk.prepare) is None
    assert desk.server.calls == []


# --- the fence


async def test_a_closed_fence_lets_nothing_pass(desk: Desk) -> None:
    desk.fence.close("deposed")
    with pytest.raises(FenceClosed, match="deposed"):
        await desk.writer.write(desk.prepare)
    assert desk.server.calls == []


async def test_the_fence_is_asked_after_everything_was_prepared(desk: Desk) -> None:
    """However long preparing takes: what counts is the moment of sending."""

    async def prepare() -> Write:
        desk.fence.close("deposed meanwhile")
        return BETTER

    with pytest.raises(FenceClosed, match="meanwhile"):
        await desk.writer.write(prepare)
    assert desk.server.calls == []


async def test_a_lease_that_was_not_renewed_in_time_lets_nothing_pass(desk: Desk) -> None:
    async def prepare() -> Write:
        await desk.clock.advance(10.1)
        return BETTER

    with pytest.raises(FenceClosed):
        await desk.writer.write(prepare)
    assert desk.server.calls == []


async def test_a_write_is_in_flight_until_it_is_answered(desk: Desk) -> None:
    desk.server.hang.clear()
    writing = asyncio.create_task(desk.writer.write(desk.prepare))
    await settle()
    looks = [desk.fence.idle]
    desk.server.hang.set()
    await writing
    looks.append(desk.fence.idle)
    assert looks == [False, True]


async def test_a_write_is_given_up_with_the_lease(desk: Desk) -> None:
    """Nothing is retried then: it may still be carried out."""
    desk.server.hang.clear()
    writing = asyncio.create_task(desk.writer.write(desk.prepare))
    await desk.clock.advance(15.1)
    with pytest.raises(TimeoutError):
        await writing
    assert desk.methods == ["replace"]


async def test_what_no_longer_stands_is_not_written(desk: Desk) -> None:
    """P3: asked immediately before the fence, after preparing."""

    class Superseded(Exception):
        pass

    asked: list[int] = []

    def standing() -> None:
        asked.append(desk.prepared)
        raise Superseded

    with pytest.raises(Superseded):
        await desk.writer.write(desk.prepare, standing)
    assert asked == [1]
    assert desk.server.calls == []


# --- doubt


@pytest.mark.parametrize("status", DOUBTFUL)
async def test_a_doubtful_refusal_makes_it_read_the_lease_and_prepare_again(desk: Desk, status: int) -> None:
    desk.server.answers = [refused(status)]
    await desk.writer.write(desk.prepare)
    assert desk.verifications == [desk.term]
    assert desk.prepared == 2
    assert desk.methods == ["replace", "replace"]


@pytest.mark.parametrize("status", DOUBTFUL)
async def test_a_doubtful_refusal_in_anothers_term_ends_this_one(desk: Desk, status: int) -> None:
    desk.server.answers = [refused(status)]
    desk.holds = False
    with pytest.raises(FenceClosed, match="held by other"):
        await desk.writer.write(desk.prepare)
    assert desk.methods == ["replace"]
    assert desk.prepared == 1


@pytest.mark.parametrize("error", [ApiUnreachable("cut off"), TimeoutError()], ids=["cut off", "no answer"])
async def test_without_knowing_whose_term_it_is_nothing_is_written_again(
    desk: Desk, error: Exception
) -> None:
    desk.server.answers = [refused(409)]
    desk.unreadable = error
    with pytest.raises(type(error)):
        await desk.writer.write(desk.prepare)
    assert desk.methods == ["replace"]


@pytest.mark.parametrize("status", [400, 403, 429, 500, 503])
async def test_any_other_refusal_is_final_and_no_reason_for_doubt(desk: Desk, status: int) -> None:
    desk.server.answers = [refused(status)]
    with pytest.raises(ApiError) as raised:
        await desk.writer.write(desk.prepare)
    assert raised.value.status == status
    assert desk.verifications == []
    assert desk.methods == ["replace"]


async def test_an_answer_that_never_came_is_final(desk: Desk) -> None:
    desk.server.answers = [ApiUnreachable("cut off")]
    with pytest.raises(ApiUnreachable):
        await desk.writer.write(desk.prepare)
    assert desk.methods == ["replace"]


async def test_a_refusal_that_stays_counts_after_four_attempts_each_doubted(desk: Desk) -> None:
    desk.server.answers = [refused(422) for _ in range(10)]
    with pytest.raises(ApiError) as raised:
        await desk.writer.write(desk.prepare)
    assert raised.value.status == 422
    assert len(desk.methods) == len(desk.verifications) == ATTEMPTS


async def test_what_preparing_raises_is_no_refusal_of_a_write(desk: Desk) -> None:
    async def prepare() -> Write:
        raise refused(404)

    with pytest.raises(ApiError):
        await desk.writer.write(prepare)
    assert desk.verifications == []


async def test_prepared_again_there_may_be_nothing_left_to_write(desk: Desk) -> None:
    """Somebody else has deleted it already."""
    desk.server.answers = [refused(404)]
    requests: list[Write | None] = [Delete(CONFIG_MAPS, "edge", "web", "u1", "5"), None]

    async def prepare() -> Write | None:
        return requests.pop(0)

    assert await desk.writer.write(prepare) is None
    assert desk.methods == ["delete"]


async def test_a_lease_that_is_anothers_closes_the_fence_on_being_asked(desk: Desk) -> None:
    desk.holds = False
    with pytest.raises(FenceClosed, match="held by other"):
        await desk.writer.confirm()
