"""B7: a request gathers the answers of those it expects, and tells who is missing."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from events import (
    BusClosed,
    EventBus,
    EventError,
    Request,
    RequestDropped,
    RequestResult,
    RequestTimeout,
    Response,
    event,
    handling,
)
from tests.events.support import Answer, Ask, Tick, drain, settle, soon, started

Asking = asyncio.Task[RequestResult[Answer]]


def answer(bus: EventBus, ask: Request, *responders: str, text: str = "") -> None:
    for responder in responders:
        bus.publish(Answer(request_id=ask.id, responder=responder, text=text))


async def asking(
    bus: EventBus, ask: Ask, *responders: str, timeout: float | None = None, min_responses: int | None = None
) -> Asking:
    """A request that has been published and waits."""
    task = asyncio.create_task(bus.request(ask, responders, timeout=timeout, min_responses=min_responses))
    await settle()
    return task


class Clock:
    """The loop's time stands still until `pass_time` moves it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()
        self.now = loop.time()
        monkeypatch.setattr(loop, "time", lambda: self.now)

    async def pass_time(self, seconds: float) -> None:
        await settle()
        self.now += seconds
        await settle()


@pytest.fixture
async def clock(monkeypatch):
    return Clock(monkeypatch)


async def test_it_ends_when_all_expected_responders_have_answered():
    bus, ask = started(), Ask()
    task = await asking(bus, ask, "a", "b")
    answer(bus, ask, "b", text="from b")
    await settle()
    assert not task.done()
    answer(bus, ask, "a", text="from a")
    result = await soon(task)
    assert {name: response.text for name, response in result.responses.items()} == {
        "b": "from b",
        "a": "from a",
    }
    assert list(result.responses) == ["b", "a"]  # in the order of arrival
    assert (result.missing, result.unexpected) == ((), ())


async def test_the_request_itself_is_published():
    bus, ask = EventBus(), Ask()
    subscription = bus.subscribe("responder", Ask)
    bus.start()
    task = await asking(bus, ask, "a")
    assert drain(subscription) == [ask]
    task.cancel()


async def test_responders_answer_over_the_bus():
    bus = EventBus()
    questions = bus.subscribe("responder", Ask)
    bus.start()

    async def respond() -> None:
        question = await questions.get()
        with handling(question):
            answer(bus, question, "a")

    task = asyncio.create_task(respond())
    ask = Ask()
    result = await soon(bus.request(ask, ["a"]))
    assert result.responses["a"].causation_id == ask.id
    await task


async def test_an_answer_may_come_from_any_thread():
    bus, ask = started(), Ask()
    task = await asking(bus, ask, "a")
    await asyncio.to_thread(answer, bus, ask, "a")
    assert (await soon(task)).missing == ()


async def test_any_type_of_response_answers():
    @event("events.answer.other")
    class Other(Response):
        pass

    bus, ask = started(), Ask()
    task = await asking(bus, ask, "a")
    other = Other(request_id=ask.id, responder="a")
    bus.publish(other)
    result: RequestResult[Any] = await soon(task)
    assert result.responses["a"] is other


async def test_an_answer_to_another_request_does_not_count():
    bus, ask = started(), Ask()
    task = await asking(bus, ask, "a")
    answer(bus, Ask(), "a")
    await settle()
    assert not task.done()
    answer(bus, ask, "a")
    await soon(task)


async def test_strangers_do_not_count_and_are_returned():
    bus, ask = started(), Ask()
    task = await asking(bus, ask, "a", "b", min_responses=1)
    answer(bus, ask, "stranger", "other")
    await settle()
    assert not task.done()
    answer(bus, ask, "a")
    result = await soon(task)
    assert [response.responder for response in result.unexpected] == ["stranger", "other"]
    assert list(result.responses) == ["a"]


async def test_the_first_answer_of_each_counts():
    bus, ask = started(), Ask()
    task = await asking(bus, ask, "a", "b")
    answer(bus, ask, "a", text="first")
    answer(bus, ask, "a", text="second")
    await settle()
    assert not task.done()
    answer(bus, ask, "b")
    assert (await soon(task)).responses["a"].text == "first"


async def test_a_minimum_of_answers_is_enough():
    bus, ask = started(), Ask()
    task = await asking(bus, ask, "a", "b", "c", min_responses=2)
    answer(bus, ask, "c")
    await settle()
    assert not task.done()
    answer(bus, ask, "a")
    result = await soon(task)
    assert (list(result.responses), result.missing) == (["c", "a"], ("b",))


async def test_an_answer_is_matched_also_while_the_bus_is_paused():
    bus, ask = started(), Ask()
    task = await asking(bus, ask, "a")
    with bus.paused():
        answer(bus, ask, "a")
        assert (await soon(task)).missing == ()


async def test_an_answer_published_from_inside_publish_is_matched():
    bus, ask = started(), Ask()
    task = await asking(bus, ask, "a")
    bus._busy = True  # as while another publish of this thread is at work
    answer(bus, ask, "a")
    bus._busy = False
    await settle()
    assert not task.done()
    bus.publish(Tick())
    assert (await soon(task)).missing == ()


async def test_without_an_answer_in_time_the_error_says_who_is_missing(clock):
    bus, ask = started(), Ask()
    task = await asking(bus, ask, "a", "b", "c", timeout=10)
    answer(bus, ask, "b", "stranger")
    await clock.pass_time(9.9)
    assert not task.done()
    await clock.pass_time(0.2)
    with pytest.raises(RequestTimeout, match=r"events\.ask: no answer from a, c within 10 s") as caught:
        await soon(task)
    result = caught.value.result
    assert (list(result.responses), result.missing) == (["b"], ("a", "c"))
    assert [response.responder for response in result.unexpected] == ["stranger"]


async def test_a_request_timeout_is_a_timeout_error(clock):
    task = await asking(started(), Ask(), "a", timeout=1)
    await clock.pass_time(2)
    with pytest.raises(TimeoutError):
        await soon(task)


async def test_the_time_for_answers_begins_at_delivery(clock):
    bus, ask = EventBus(), Ask()
    task = await asking(bus, ask, "a", timeout=10)
    await clock.pass_time(8)
    bus.start()
    await clock.pass_time(8)
    assert not task.done()
    answer(bus, ask, "a")
    assert (await soon(task)).missing == ()


async def test_the_time_for_answers_ends_after_delivery(clock):
    bus = EventBus()
    task = await asking(bus, Ask(), "a", timeout=10)
    await clock.pass_time(8)
    bus.start()
    await clock.pass_time(9.9)
    assert not task.done()
    await clock.pass_time(0.2)
    with pytest.raises(RequestTimeout, match="no answer from a"):
        await soon(task)


async def test_the_time_limits_the_wait_for_delivery(clock):
    task = await asking(EventBus(), Ask(), "a", timeout=10)
    await clock.pass_time(9.9)
    assert not task.done()
    await clock.pass_time(0.2)
    with pytest.raises(RequestTimeout, match="the bus stayed paused, no answer from a"):
        await soon(task)


async def test_without_a_timeout_it_waits_on(clock):
    bus, ask = started(), Ask()
    task = await asking(bus, ask, "a", timeout=None)
    await clock.pass_time(1e6)
    assert not task.done()
    answer(bus, ask, "a")
    await soon(task)


async def test_the_timeout_is_10_seconds_by_default(clock):
    task = asyncio.create_task(started().request(Ask(), ["a"]))
    await clock.pass_time(9.9)
    assert not task.done()
    await clock.pass_time(0.2)
    with pytest.raises(RequestTimeout):
        await soon(task)


async def test_an_answer_that_came_in_time_wins_over_the_timeout(clock):
    """The wake-up of another thread's answer may come after the timer."""
    bus, ask = started(), Ask()
    task = await asking(bus, ask, "a", timeout=10)
    hub = bus._hub()
    hub.thread = -1  # every answer is another thread's
    hub.armed = True  # whose wake-up is still on its way
    answer(bus, ask, "a")
    await clock.pass_time(11)
    assert (await soon(task)).missing == ()


async def test_a_request_that_the_bus_had_to_drop_fails_at_once():
    bus = EventBus(pre_start_capacity=1)
    bus.publish(Tick())
    with pytest.raises(RequestDropped, match=r"events\.ask: the bus is paused and its buffer is full"):
        await soon(bus.request(Ask(), ["a"], timeout=None))


async def test_closing_the_bus_ends_a_request():
    bus = started()
    task = await asking(bus, Ask(), "a")
    bus.close()
    with pytest.raises(BusClosed):
        await soon(task)


async def test_closing_a_paused_bus_ends_a_request():
    bus = EventBus()
    task = await asking(bus, Ask(), "a")
    await asyncio.to_thread(bus.close)
    with pytest.raises(BusClosed):
        await soon(task)


async def test_a_closed_bus_takes_no_request():
    bus = started()
    bus.close()
    with pytest.raises(BusClosed):
        await soon(bus.request(Ask(), ["a"]))


async def finish(task: Asking, bus: EventBus, ask: Ask) -> None:
    answer(bus, ask, "a")
    await soon(task)


async def cancel(task: Asking, bus: EventBus, ask: Ask) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await soon(task)


async def close(task: Asking, bus: EventBus, ask: Ask) -> None:
    bus.close()
    with pytest.raises(BusClosed):
        await soon(task)


@pytest.mark.parametrize("end", [finish, cancel, close])
async def test_however_it_ends_nothing_is_left_behind(
    end: Callable[[Asking, EventBus, Ask], Coroutine[Any, Any, None]],
):
    bus, ask = started(), Ask()
    loop = asyncio.get_running_loop()
    task = await asking(bus, ask, "a", timeout=1000)
    assert bus.stats().pending_requests == 1
    await end(task, bus, ask)
    assert bus.stats().pending_requests == 0
    assert all(timer.cancelled() for timer in loop._scheduled)  # type: ignore[attr-defined] # asyncio's own list


async def test_a_second_timer_is_not_left_behind(clock):
    bus, ask = EventBus(), Ask()
    task = await asking(bus, ask, "a", timeout=10)
    await clock.pass_time(8)
    bus.start()
    await clock.pass_time(3)  # the first timer has run and set another
    answer(bus, ask, "a")
    await soon(task)
    assert [t for t in asyncio.get_running_loop()._scheduled if not t.cancelled()] == []  # type: ignore[attr-defined] # asyncio's own list


async def test_a_cancelled_request_does_not_hear_of_late_answers():
    bus, ask = started(), Ask()
    task = await asking(bus, ask, "a")
    await cancel(task, bus, ask)
    answer(bus, ask, "a")
    del task
    gc.collect()
    await settle()


async def test_an_undeclared_request_leaves_nothing_behind():
    bus = started()
    with pytest.raises(EventError):
        await soon(bus.request(Request(), ["a"]))
    assert bus.stats().pending_requests == 0


@pytest.mark.parametrize(
    ("responders", "minimum", "message"),
    [
        ([], None, "expected_responders"),
        ("abc", None, "expected_responders"),
        (["a", "b", "a"], None, "twice"),
        (["a", "b"], 0, "min_responses is 0"),
        (["a", "b"], 3, "min_responses is 3; it must lie between 1 and 2"),
    ],
)
async def test_a_call_that_makes_no_sense_is_a_value_error(responders, minimum, message):
    bus = started()
    with pytest.raises(ValueError, match=message):
        await soon(bus.request(Ask(), responders, min_responses=minimum))
    assert bus.stats().published == {}


async def test_a_request_that_is_pending_already_is_a_value_error():
    bus, ask = started(), Ask()
    task = await asking(bus, ask, "a")
    with pytest.raises(ValueError, match="pending already"):
        await soon(bus.request(ask, ["a"]))
    answer(bus, ask, "a")
    await soon(task)  # the first one is unharmed
