"""What a component declares: handlers, and what follows from them."""

from __future__ import annotations

import pytest

from controller.component import Component, on
from tests.controller.support import Done, Job, State


class Base(Component):
    @on(Job, per="job")
    async def job(self, event: Job) -> None: ...

    @on(State)
    async def state(self, event: State) -> None: ...


class Derived(Base):
    @on(Done, Job)
    async def done(self, event: Done) -> None: ...


def test_handlers_come_in_the_order_written_inherited_ones_first() -> None:
    assert [handler.name for handler in Derived.handlers()] == ["job", "state", "done"]
    assert [handler.per for handler in Derived.handlers()] == ["job", None, None]


def test_it_consumes_each_type_of_its_handlers_once() -> None:
    assert Derived.consumes() == (Job, State, Done)


def test_a_handler_of_nothing_is_refused() -> None:
    with pytest.raises(TypeError, match="at least one event type"):
        on()


def test_running_side_by_side_by_a_field_that_is_none_is_refused() -> None:
    with pytest.raises(TypeError, match=r"@on\(State, per='job'\): State has no such field"):
        on(Job, State, per="job")
