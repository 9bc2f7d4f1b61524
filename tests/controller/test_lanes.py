"""Keys side by side, each in order, never more than the limit (C1)."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller.lanes import Lanes
from controller.testing import settle
from events import Event, event
from tests.controller.support import Done, Job, until


@event("tests.part", key=("job", "part"))
class Part(Event):
    """Keyed by more than the lane's key."""

    job: str
    part: str
    number: int = 0


@event("tests.keyless")
class Keyless(Event):
    """Nothing that can be conflated."""

    number: int


class Workshop:
    """Holds every piece of work until it is let go, and remembers what it saw."""

    def __init__(self, lanes: Lanes) -> None:
        self.lanes = lanes
        self.begun: list[Event] = []
        self.ended: list[Event] = []
        self.doors: dict[int, asyncio.Event] = {}
        self.most = 0

    async def work(self, event: Event) -> None:
        door = self.doors[id(event)] = asyncio.Event()
        self.begun.append(event)
        self.most = max(self.most, len(self.begun) - len(self.ended))
        try:
            await door.wait()
        finally:
            self.ended.append(event)

    def finish(self, event: Event) -> None:
        self.doors[id(event)].set()

    async def finish_all(self) -> None:
        while not self.lanes.idle:
            for door in self.doors.values():
                door.set()
            await asyncio.sleep(0)


def workshop(*, limit: int = 8, room: int = 100, conflate: bool = False) -> Workshop:
    return Workshop(Lanes(limit=limit, room=room, conflate=conflate))


@pytest.fixture
async def shop() -> AsyncIterator[Workshop]:
    made = workshop()
    yield made
    await made.lanes.cancel()


async def test_a_key_that_hangs_holds_up_no_other(shop: Workshop) -> None:
    stuck, other = Job(job="a"), Job(job="b")
    await shop.lanes.put("a", stuck, shop.work)
    await shop.lanes.put("b", other, shop.work)
    await until(lambda: shop.begun == [stuck, other])
    shop.finish(other)
    await until(lambda: shop.ended == [other])


async def test_one_key_is_handled_one_at_a_time_in_order(shop: Workshop) -> None:
    jobs = [Job(job="a", number=number) for number in range(3)]
    for job in jobs:
        await shop.lanes.put("a", job, shop.work)
    await settle()
    assert shop.begun == jobs[:1]
    await shop.finish_all()
    assert shop.ended == jobs
    assert shop.most == 1


async def test_no_more_than_the_limit_are_at_work() -> None:
    shop = workshop(limit=2)
    for number in range(5):
        await shop.lanes.put(number, Job(job=str(number)), shop.work)
    await settle()
    assert len(shop.begun) == 2
    await shop.finish_all()
    assert len(shop.ended) == 5
    assert shop.most == 2


async def test_a_full_lane_holds_the_putter_back_until_there_is_room() -> None:
    shop = workshop(room=2)
    jobs = [Job(job="a", number=number) for number in range(4)]
    for job in jobs[:3]:  # one is in hand, two wait
        await shop.lanes.put("a", job, shop.work)
        await settle()
    putting = asyncio.create_task(shop.lanes.put("b", jobs[3], shop.work))
    await settle()
    assert not putting.done()
    shop.finish(jobs[0])
    await settle()
    assert putting.done()
    await shop.finish_all()
    assert len(shop.ended) == 4


async def test_a_waiting_event_gives_way_to_a_newer_one_of_its_key() -> None:
    shop = workshop(conflate=True)
    jobs = [Job(job="a", number=number) for number in range(4)]
    for job in jobs:
        await shop.lanes.put("a", job, shop.work)
        await settle()
    await shop.finish_all()
    assert shop.ended == [jobs[0], jobs[3]]


async def test_only_the_same_type_gives_way_and_the_newest_comes_last() -> None:
    shop = workshop(conflate=True)
    first, old, other, new = Job(job="a"), Job(job="a"), Done(job="a"), Job(job="a")
    for one in (first, old, other, new):
        await shop.lanes.put("a", one, shop.work)
        await settle()
    await shop.finish_all()
    assert shop.ended == [first, other, new]


async def test_only_the_same_key_gives_way_where_a_lane_has_several() -> None:
    """A lane by ConfigTemplate holds events that are keyed by target: none of them may be lost."""
    shop = workshop(conflate=True)
    first = Part(job="a", part="0")
    old, other, new = (Part(job="a", part=part) for part in ("x", "y", "x"))
    for one in (first, old, other, new):
        await shop.lanes.put("a", one, shop.work)
        await settle()
    await shop.finish_all()
    assert shop.ended == [first, other, new]


async def test_two_handlers_of_one_event_both_get_it() -> None:
    shop, also = workshop(conflate=True), Workshop(Lanes(limit=1, room=1, conflate=False))
    also.lanes = shop.lanes
    busy, job = Job(job="a"), Job(job="a")
    await shop.lanes.put("a", busy, shop.work)
    await settle()
    work, other_work = shop.work, also.work
    await shop.lanes.put("a", job, work)
    await shop.lanes.put("a", job, other_work)
    while not shop.lanes.idle:
        for door in [*shop.doors.values(), *also.doors.values()]:
            door.set()
        await asyncio.sleep(0)
    assert shop.ended == [busy, job]
    assert also.ended == [job]


async def test_what_has_no_key_is_never_conflated() -> None:
    shop = workshop(conflate=True)
    jobs = [Keyless(number=number) for number in range(3)]
    for job in jobs:
        await shop.lanes.put("a", job, shop.work)
    await shop.finish_all()
    assert shop.ended == jobs


async def test_cancelling_ends_what_is_in_hand_and_forgets_the_rest(shop: Workshop) -> None:
    jobs = [Job(job="a"), Job(job="a"), Job(job="b")]
    for job in jobs:
        await shop.lanes.put(job.job, job, shop.work)
    await until(lambda: len(shop.begun) == 2)
    await shop.lanes.cancel()
    assert shop.ended == [jobs[0], jobs[2]]
    assert shop.lanes.idle


async def test_cancelling_before_a_lane_has_begun_leaves_it_idle(shop: Workshop) -> None:
    await shop.lanes.put("a", Job(job="a"), shop.work)
    await shop.lanes.cancel()
    assert shop.lanes.idle
    assert shop.begun == []


async def test_waiting_for_idle_ends_with_the_last_lane(shop: Workshop) -> None:
    jobs = [Job(job="a"), Job(job="b")]
    for job in jobs:
        await shop.lanes.put(job.job, job, shop.work)
    waiting = asyncio.create_task(shop.lanes.wait_idle())
    await settle()
    shop.finish(jobs[0])
    await settle()
    assert not waiting.done()
    shop.finish(jobs[1])
    await settle()
    assert waiting.done()


@given(
    st.lists(st.sampled_from("abcd"), max_size=30),
    st.integers(1, 3),
    st.integers(1, 5),
)
def test_without_conflation_nothing_is_lost_and_each_key_keeps_its_order(
    keys: list[str], limit: int, room: int
) -> None:
    async def scenario() -> tuple[list[Event], int]:
        lanes = Lanes(limit=limit, room=room, conflate=False)
        ended: list[Event] = []
        at_work: Counter[str] = Counter()
        most = 0

        async def work(event: Event) -> None:
            nonlocal most
            assert isinstance(event, Job)
            at_work[event.job] += 1
            assert at_work[event.job] == 1
            most = max(most, at_work.total())
            await asyncio.sleep(0)
            at_work[event.job] -= 1
            ended.append(event)

        for number, key in enumerate(keys):
            await lanes.put(key, Job(job=key, number=number), work)
        await lanes.wait_idle()
        return ended, most

    ended, most = asyncio.run(scenario())
    assert most <= limit
    assert len(ended) == len(keys)
    for key in set(keys):
        numbers = [one.number for one in ended if isinstance(one, Job) and one.job == key]
        assert numbers == [number for number, other in enumerate(keys) if other == key]
