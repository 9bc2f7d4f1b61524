"""The fence of one term: nobody writes past it, and what is in flight is known."""

from __future__ import annotations

import asyncio

import pytest

from controller.kube.errors import ApiError, ApiUnreachable
from controller.leadership.fence import Fence, FenceClosed, Term
from controller.leadership.timings import LeaseTimings
from controller.testing import FakeClock, settle


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def fence(clock: FakeClock) -> Fence:
    return Fence.for_lease(clock, LeaseTimings(), renewed_at=clock.monotonic())


async def failing_write(fence: Fence, error: Exception) -> None:
    async with fence.write():
        raise error


async def hanging_write(fence: Fence) -> None:
    async with fence.write():
        await asyncio.Event().wait()


async def test_it_is_open_until_the_renew_deadline_and_not_a_moment_longer(clock: FakeClock, fence: Fence):
    await clock.advance(9.999)
    fence.check()
    await clock.advance(0.001)
    with pytest.raises(FenceClosed, match="not renewed within 10 s"):
        fence.check()


async def test_a_renewal_counts_from_when_its_request_began(clock: FakeClock, fence: Fence):
    began = clock.monotonic() + 3
    await clock.advance(8)
    fence.renewed(began)
    await clock.advance(4.9)
    fence.check()
    await clock.advance(0.1)
    assert fence.closed


async def test_a_renewal_that_comes_too_late_reopens_nothing(clock: FakeClock, fence: Fence):
    began = clock.monotonic() + 9
    await clock.advance(11)
    fence.renewed(began)
    with pytest.raises(FenceClosed):
        fence.check()


async def test_closed_it_stays_closed_with_the_first_reason(clock: FakeClock, fence: Fence):
    fence.close("the Lease was deleted")
    fence.close("something else")
    fence.renewed(clock.monotonic())
    with pytest.raises(FenceClosed, match="no longer leads: the Lease was deleted") as caught:
        fence.check()
    assert caught.value.reason == fence.reason == "the Lease was deleted"


async def test_whoever_waits_for_its_end_is_woken_also_when_only_a_check_found_it_expired(
    clock: FakeClock, fence: Fence
):
    waiting = asyncio.create_task(fence.wait_closed())
    await clock.advance(10)
    assert not waiting.done()
    assert fence.closed
    await asyncio.wait_for(waiting, 1)


async def test_no_write_begins_when_it_is_closed(fence: Fence):
    fence.close("over")
    with pytest.raises(FenceClosed):
        await failing_write(fence, AssertionError("the body ran"))
    assert fence.idle


async def test_a_write_is_bounded_by_the_lease_time_left(clock: FakeClock, fence: Fence):
    await clock.advance(6)
    write = asyncio.create_task(hanging_write(fence))
    await clock.advance(8.9)
    assert not write.done()
    await clock.advance(0.1)
    with pytest.raises(TimeoutError):
        await write


async def test_closing_it_neither_ends_nor_denies_a_write_in_flight(fence: Fence):
    async with fence.write():
        fence.close("over")
        await settle()
    assert fence.idle


async def test_writes_in_flight_are_waited_for(clock: FakeClock, fence: Fence):
    answered = asyncio.Event()

    async def write() -> None:
        async with fence.write():
            await answered.wait()

    writes = [asyncio.create_task(write()) for _ in range(2)]
    await settle()
    fence.close("over")
    waiting = asyncio.create_task(fence.wait_idle(5))
    await settle()
    assert not waiting.done()
    answered.set()
    assert await waiting
    await asyncio.gather(*writes)


async def test_waiting_for_writes_ends_at_its_own_limit(clock: FakeClock, fence: Fence):
    write = asyncio.create_task(hanging_write(fence))
    await settle()
    waiting = asyncio.create_task(fence.wait_idle(5))
    await clock.advance(5)
    assert waiting.done()
    assert not await waiting
    write.cancel()


@pytest.mark.parametrize("status", [404, 409, 422, 429])
async def test_a_refused_write_has_ended(fence: Fence, status: int):
    with pytest.raises(ApiError):
        await failing_write(fence, ApiError(status, "Refused", "no"))
    assert fence.idle


@pytest.mark.parametrize("error", [ApiError(504, "Timeout", "perhaps"), ApiUnreachable("cut off")], ids=str)
async def test_a_write_without_an_answer_has_not_ended_before_its_lease_time(
    clock: FakeClock, fence: Fence, error: Exception
):
    with pytest.raises(type(error)):
        await failing_write(fence, error)
    assert not await fence.wait_idle(5)
    await clock.advance(14.9)
    assert not fence.idle
    await clock.advance(0.1)
    assert fence.idle


async def test_a_cancelled_write_has_not_ended_before_its_lease_time(clock: FakeClock, fence: Fence):
    write = asyncio.create_task(hanging_write(fence))
    await settle()
    write.cancel()
    await settle()
    assert not fence.idle
    await clock.advance(15)
    assert fence.idle


async def test_without_election_it_never_expires_but_can_be_closed(clock: FakeClock):
    fence = Fence.standalone(clock)
    write = asyncio.create_task(hanging_write(fence))
    await clock.advance(1e9)
    fence.check()
    assert not write.done()
    write.cancel()
    assert await fence.wait_idle(1)
    fence.close("this replica is stopping")
    with pytest.raises(FenceClosed):
        fence.check()


async def test_terms_are_ordered_by_number_not_by_text(fence: Fence):
    older, newer = (Term("a", version, 0, fence) for version in ("999", "1000"))
    assert older.number < newer.number
    assert Term("a", "", 0, fence).number == 0
