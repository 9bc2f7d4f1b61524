"""B5: what is published while the bus does not run is kept, in order, up to a limit."""

from __future__ import annotations

import pytest

from events import Delivery, EventBus
from tests.events.support import Gone, Note, State, Tick, drain, numbers, started


def test_the_limit_is_1000_by_default():
    bus = EventBus()
    for n in range(1001):
        bus.publish(Tick(n=n))
    assert (bus.stats().kept, bus.stats().dropped_while_paused) == (1000, 1)


@pytest.mark.parametrize("capacity", [0, -1])
def test_the_limit_is_at_least_1(capacity):
    with pytest.raises(ValueError, match="pre_start_capacity"):
        EventBus(pre_start_capacity=capacity)


def test_events_published_before_the_start_are_replayed_in_order():
    bus = EventBus()
    subscription = bus.subscribe("s")
    for n in range(5):
        assert bus.publish(Tick(n=n)) == 0
    assert subscription.depth == 0
    bus.start()
    bus.publish(Tick(n=5))
    assert numbers(drain(subscription)) == list(range(6))


def test_replay_goes_to_everyone_subscribed_by_then():
    bus = EventBus()
    bus.publish(Tick(n=1))
    subscription = bus.subscribe("s")
    bus.start()
    assert numbers(drain(subscription)) == [1]


def test_what_was_queued_before_a_pause_goes_on_being_consumed():
    bus = started()
    subscription = bus.subscribe("s", leader_only=True)
    bus.publish(Tick(n=1))
    with bus.paused():
        bus.publish(Tick(n=2))
        assert numbers(drain(subscription)) == [1]
    assert numbers(drain(subscription)) == [2]


def test_start_and_pause_are_idempotent():
    bus = EventBus()
    subscription = bus.subscribe("s")
    bus.start()
    bus.start()
    bus.pause()
    bus.pause()
    bus.publish(Tick(n=1))
    assert subscription.depth == 0
    bus.start()
    assert numbers(drain(subscription)) == [1]


def test_paused_blocks_nest():
    bus = started()
    with bus.paused():
        with bus.paused():
            assert not bus.running
        assert not bus.running
    assert bus.running


def test_paused_blocks_may_overlap():
    bus = started()
    first, second = bus.paused(), bus.paused()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not bus.running
    second.__exit__(None, None, None)
    assert bus.running


def test_leaving_a_block_never_starts_a_bus_that_was_not_started():
    bus = EventBus()
    with bus.paused():
        pass
    assert not bus.running


def test_leaving_a_block_by_an_exception_resumes():
    bus = started()
    with pytest.raises(ZeroDivisionError), bus.paused():
        raise ZeroDivisionError
    assert bus.running


def test_starting_inside_a_block_takes_effect_when_it_is_left():
    bus = EventBus()
    subscription = bus.subscribe("s")
    with bus.paused():
        bus.start()
        bus.publish(Tick(n=1))
        assert subscription.depth == 0
    assert numbers(drain(subscription)) == [1]


def test_pausing_inside_a_block_stays_when_it_is_left():
    bus = started()
    with bus.paused():
        bus.pause()
    assert not bus.running


def test_without_room_the_newest_are_dropped_and_counted_for_everyone_they_would_have_gone_to():
    bus = EventBus(pre_start_capacity=2)
    ticks = bus.subscribe("ticks", Tick)
    lossy = bus.subscribe("lossy", delivery=Delivery.LOSSY)
    latest = bus.subscribe("latest", delivery=Delivery.LATEST)
    notes = bus.subscribe("notes", Note)
    for n in range(4):
        bus.publish(Tick(n=n))
    assert [each.stats().dropped for each in (ticks, lossy, latest)] == [{"events.tick": 2}] * 3
    assert notes.dropped == 0
    assert bus.stats().dropped_while_paused == 2
    bus.start()
    assert [numbers(drain(each)) for each in (ticks, lossy, latest)] == [[0, 1]] * 3


def test_drops_of_a_pause_are_reported_once():
    reported: list[tuple[str, int]] = []
    bus = EventBus(2, lambda subscription, event: reported.append((subscription.name, event.n)))  # type: ignore[attr-defined] # a Tick
    ticks = bus.subscribe("ticks", Tick)
    bus.subscribe("lossy", delivery=Delivery.LOSSY)
    bus.subscribe("notes", Note)
    for pause in range(2):
        for n in range(5):
            bus.publish(Tick(n=10 * pause + n))
        bus.publish(Note(name="a", n=10 * pause + 5))
        bus.publish(Note(name="a", n=10 * pause + 6))
        bus.start()
        drain(ticks)
        bus.pause()
    assert reported == [("ticks", 2), ("notes", 5), ("ticks", 12), ("notes", 15)]


def test_a_drop_nobody_would_have_got_does_not_use_up_the_report():
    reported: list[str] = []
    bus = EventBus(1, lambda subscription, event: reported.append(subscription.name))
    bus.subscribe("notes", Note)
    for _ in range(3):
        bus.publish(Tick())
    bus.publish(Note(name="a"))
    assert reported == ["notes"]


def test_without_room_the_last_of_each_retained_key_is_kept_all_the_same():
    bus = EventBus(pre_start_capacity=1)
    subscription = bus.subscribe("s")
    bus.publish(Tick(n=0))
    for name, n in (("a", 1), ("b", 2), ("a", 3), ("a", 4)):
        bus.publish(State(name=name, n=n))
    bus.start()
    assert numbers(drain(subscription)) == [0, 2, 4]
    assert {state.name: state.n for state in bus.retained(State)} == {"a": 4, "b": 2}


def test_a_retained_event_that_gave_way_to_a_newer_one_is_counted():
    bus = EventBus(pre_start_capacity=1)
    critical = bus.subscribe("critical")
    latest = bus.subscribe("latest", delivery=Delivery.LATEST)
    bus.publish(Tick())
    for n in range(3):
        bus.publish(State(name="a", n=n))
    assert bus.stats().dropped_while_paused == 2
    assert critical.stats().dropped == {"events.state": 2}
    assert (latest.stats().dropped, latest.stats().conflated) == ({}, 2)


def test_without_room_forgetting_is_kept_in_its_place():
    bus = EventBus(pre_start_capacity=1)
    bus.publish(Tick())
    bus.publish(State(name="a", n=1))
    bus.publish(State(name="b", n=2))
    bus.publish(Gone(name="a"))
    bus.publish(Gone(name="b"))
    bus.publish(State(name="b", n=3))
    bus.start()
    assert [(state.name, state.n) for state in bus.retained(State)] == [("b", 3)]


def test_after_a_pause_the_whole_limit_is_there_again():
    bus = EventBus(pre_start_capacity=2)
    subscription = bus.subscribe("s")
    for n in range(4):
        with bus.paused():
            bus.publish(Tick(n=n))
            bus.publish(Tick(n=n))
        bus.start()
    assert subscription.depth == 8
    assert bus.stats().dropped_while_paused == 0


def test_replay_never_drops_for_a_critical_subscription():
    bus = EventBus()
    subscription = bus.subscribe("s", buffer_size=1)
    for n in range(500):
        bus.publish(Tick(n=n))
    bus.start()
    assert numbers(drain(subscription)) == list(range(500))
    assert subscription.dropped == 0


def test_replay_never_drops_an_event_without_a_key_for_a_latest_subscription():
    bus = EventBus()
    subscription = bus.subscribe("s", buffer_size=1, delivery=Delivery.LATEST)
    for n in range(50):
        bus.publish(Tick(n=n))
    bus.start()
    assert numbers(drain(subscription)) == list(range(50))


def test_replay_drops_for_a_lossy_subscription_that_is_full():
    bus = EventBus()
    subscription = bus.subscribe("s", buffer_size=2, delivery=Delivery.LOSSY)
    for n in range(5):
        bus.publish(Tick(n=n))
    bus.start()
    assert numbers(drain(subscription)) == [0, 1]
    assert subscription.dropped == 3


@pytest.mark.parametrize("delivery", [Delivery.CRITICAL, Delivery.LATEST])
def test_replayed_events_do_not_count_against_the_buffer(delivery):
    bus = EventBus()
    subscription = bus.subscribe("s", buffer_size=2, delivery=delivery)
    for n in range(5):
        bus.publish(Tick(n=n))
    bus.start()
    assert [bus.publish(Tick(n=n)) for n in (5, 6, 7)] == [1, 1, 0]
    assert numbers(drain(subscription)) == [0, 1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("delivery", [Delivery.CRITICAL, Delivery.LATEST])
def test_once_the_queue_has_been_empty_the_buffer_is_as_small_as_before(delivery):
    bus = EventBus()
    subscription = bus.subscribe("s", buffer_size=2, delivery=delivery)
    for n in range(5):
        bus.publish(Tick(n=n))
    bus.start()
    drain(subscription)
    assert [bus.publish(Tick(n=n)) for n in range(4)] == [1, 1, 0, 0]


async def test_a_batch_that_empties_the_queue_makes_the_buffer_as_small_as_before():
    bus = EventBus()
    subscription = bus.subscribe("s", buffer_size=1)
    bus.publish(Tick())
    bus.publish(Tick())
    bus.start()
    await subscription.batch()
    assert [bus.publish(Tick()) for n in range(2)] == [1, 0]


@pytest.mark.parametrize("delivery", [Delivery.CRITICAL, Delivery.LATEST])
def test_a_subscription_made_after_the_start_is_logged_as_a_warning(delivery, caplog):
    bus = started()
    bus.subscribe("late", delivery=delivery)
    (record,) = caplog.records
    assert (record.levelname, "'late'" in record.getMessage()) == ("WARNING", True)


@pytest.mark.parametrize(
    "options", [{"delivery": Delivery.LOSSY}, {"leader_only": True}], ids=["observer", "leader only"]
)
def test_observers_and_leader_only_subscriptions_may_be_late(options, caplog):
    started().subscribe("late", **options)
    assert caplog.records == []


def test_a_subscription_made_before_the_start_is_not_late(caplog):
    bus = EventBus()
    with bus.paused():
        bus.subscribe("early")
    bus.start()
    assert caplog.records == []


def test_a_subscription_made_in_a_later_pause_is_late(caplog):
    bus = started()
    bus.pause()
    bus.subscribe("late")
    assert len(caplog.records) == 1


def test_a_string_that_no_event_declares_is_logged_at_the_start(caplog):
    bus = EventBus()
    bus.subscribe("s", "events.tick", "events.misspelt")
    bus.start()
    bus.start()
    (record,) = caplog.records
    assert "'events.misspelt'" in record.getMessage()
