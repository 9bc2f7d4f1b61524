"""B1: events are immutable, know when and why they were created, and cost little."""

from __future__ import annotations

import asyncio
import os
import pickle
import threading
import timeit
import uuid
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import FrozenInstanceError, dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from events import Event, EventBus, EventError, Request, declared_types, event, handling
from tests.events.support import Note, State, Tick, drain, started


def test_an_event_is_frozen():
    tick = Tick(n=1)
    with pytest.raises(FrozenInstanceError):
        tick.n = 2  # type: ignore[misc] # that it fails is the test


def test_an_event_has_no_room_for_other_attributes():
    assert not hasattr(Tick(), "__dict__")


def test_fields_are_given_by_keyword():
    with pytest.raises(TypeError):
        Tick(1)  # type: ignore[call-arg] # that it fails is the test


def test_events_are_compared_by_identity():
    assert Tick(n=1) != Tick(n=1)
    assert len({Tick(n=1), Tick(n=1)}) == 2


def test_a_payload_is_not_copied():
    bus, payload = started(), [1]
    subscription = bus.subscribe("s", Tick, leader_only=True)
    bus.publish(Tick(payload=payload))
    assert drain(subscription)[0].payload is payload


def test_ids_are_unique_across_threads():
    with ThreadPoolExecutor(4) as pool:
        batches = pool.map(lambda _: [Tick().id for _ in range(2000)], range(4))
    ids = [each for batch in batches for each in batch]
    assert len(set(ids)) == len(ids)


def test_an_event_keeps_its_id_when_it_is_sent_to_another_process():
    tick = Tick()
    assert pickle.loads(pickle.dumps(tick)).id == tick.id


def test_a_forked_process_keeps_old_ids_and_makes_new_ones_of_its_own():
    tick = Tick()
    reader, writer = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking a process that has threads
        child = os.fork()
    if child == 0:
        os.write(writer, f"{tick.id} {Tick().id}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    old, new = os.read(reader, 1000).decode().split()
    os.close(reader)
    os.close(writer)
    assert old == tick.id
    assert new != Tick().id


def test_a_copy_with_changes_is_an_event_of_its_own():
    tick = Tick(n=1)
    assert replace(tick, n=2).id != tick.id


def test_creation_time_is_aware_utc_and_correct():
    before = datetime.now(UTC)
    created = Tick().created_at
    assert created.tzinfo is UTC
    assert before - timedelta(milliseconds=1) <= created <= datetime.now(UTC) + timedelta(milliseconds=1)


def test_an_event_without_a_cause_begins_a_chain():
    tick = Tick()
    assert tick.correlation_id == tick.id
    assert tick.causation_id is None


def test_an_event_created_while_another_is_handled_names_it_as_its_cause():
    first = Tick()
    with handling(first):
        second = Tick()
    with handling(second):
        third = Tick()
    assert (second.causation_id, second.correlation_id) == (first.id, first.id)
    assert (third.causation_id, third.correlation_id) == (second.id, first.id)


def test_handling_ends_with_its_block_also_by_an_exception():
    with pytest.raises(ZeroDivisionError), handling(Tick()):
        raise ZeroDivisionError
    assert Tick().causation_id is None


def test_handling_none_begins_chains_anew():
    with handling(Tick()), handling(None):
        assert Tick().causation_id is None


async def test_a_cause_reaches_across_await_tasks_and_to_thread():
    async def create() -> Event:
        await asyncio.sleep(0)
        return Tick()

    cause = Tick()
    with handling(cause):
        effects = [await create(), await asyncio.create_task(create()), await asyncio.to_thread(Tick)]
    assert [effect.causation_id for effect in effects] == [cause.id] * 3


async def test_a_cause_does_not_reach_a_task_that_was_made_before():
    go = asyncio.Event()

    async def create() -> Event:
        await go.wait()
        return Tick()

    task = asyncio.create_task(create())
    with handling(Tick()):
        go.set()
        assert (await task).causation_id is None


async def test_taking_an_event_sets_no_cause():
    bus = started()
    subscription = bus.subscribe("s", Tick, leader_only=True)
    bus.publish(Tick())
    await subscription.get()
    assert Tick().causation_id is None


def test_creating_one_costs_at_most_a_third_of_a_dataclass_with_uuid_and_datetime():
    @dataclass
    class Plain:
        n: int
        payload: object = None
        id: str = field(default_factory=lambda: str(uuid.uuid4()))
        created_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    # The least of many short runs: whatever else the machine does can only make a run longer.
    plain = min(timeit.repeat(lambda: Plain(n=1), number=200, repeat=100))
    ours = min(timeit.repeat(lambda: Tick(n=1), number=200, repeat=100))
    assert ours <= plain / 3


def test_declaring_gives_the_class_its_type_string():
    assert Tick.event_type == "events.tick"
    assert declared_types()["events.tick"] is Tick


def test_a_type_string_belongs_to_one_class():
    with pytest.raises(EventError, match=r"'events.tick' is already declared by tests.events.support.Tick"):

        @event("events.tick")
        class Other(Event):
            pass


def test_a_class_of_the_same_module_and_name_replaces_the_older():
    def declare() -> type[Event]:
        @event("events.reloaded")
        class Reloaded(Event):
            pass

        return Reloaded

    declare()
    newer = declare()
    assert declared_types()["events.reloaded"] is newer


@pytest.mark.parametrize("name", ["", "no spaces", "a..b", "a.", "1.a"])
def test_a_type_string_is_dotted_identifiers(name):
    with pytest.raises(EventError, match="dotted identifiers"):

        @event(name)
        class Bad(Event):
            pass


def test_only_subclasses_of_event_are_declared():
    with pytest.raises(EventError, match="does not inherit from Event"):

        @event("events.stranger")
        class Stranger:  # type: ignore[type-var] # that it fails is the test
            pass


@pytest.mark.parametrize("key", ["missing", ("name", "missing"), "event_type"])
def test_a_key_names_fields(key):
    with pytest.raises(EventError, match="is no field of"):

        @event("events.keyless", key=key)
        class Keyless(Event):
            name: str


def test_a_key_may_be_made_of_several_fields():
    @event("events.pair", key=("namespace", "name"))
    class Pair(Event):
        namespace: str
        name: str

    assert Pair.event_key is not None
    assert Pair.event_key(Pair(namespace="edge", name="web")) == ("edge", "web")


@pytest.mark.parametrize("options", [{"retain": True}, {"forgets": (State,)}])
def test_retaining_and_forgetting_need_a_key(options):
    with pytest.raises(EventError, match="need a key"):

        @event("events.unkeyed", **options)
        class Unkeyed(Event):
            pass


def test_forgetting_needs_the_same_key_field():
    with pytest.raises(EventError, match="not retained by the same key"):

        @event("events.gone.otherwise", key="other", forgets=(State,))
        class Otherwise(Event):
            other: str


def test_only_what_is_retained_can_be_forgotten():
    with pytest.raises(EventError, match="not retained by the same key"):

        @event("events.gone.note", key="name", forgets=(Note,))
        class NoteGone(Event):
            name: str


def test_fact_is_told_to_whoever_looks_for_consumers():
    @event("events.fact", fact=True)
    class Fact(Event):
        pass

    assert Fact.event_fact
    assert not Tick.event_fact


def test_an_undeclared_subclass_is_refused_at_its_first_publish():
    class Undeclared(Tick):
        pass

    bus = started()
    subscription = bus.subscribe("s", leader_only=True)
    with pytest.raises(EventError, match="Undeclared is no declared event"):
        bus.publish(Undeclared())
    assert subscription.depth == 0


@pytest.mark.parametrize("cls", [Event, Request])
def test_the_bases_themselves_are_no_declared_events(cls):
    with pytest.raises(EventError):
        EventBus().publish(cls())


def test_a_thread_of_its_own_begins_without_a_cause():
    created: list[Event] = []
    with handling(Tick()):
        thread = threading.Thread(target=lambda: created.append(Tick()))
        thread.start()
        thread.join()
    assert created[0].causation_id is None
