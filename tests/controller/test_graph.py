"""The flow of events is complete: nothing is published for nobody, nothing is waited for in vain (C3)."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import ClassVar

import pytest

import controller
from controller.app import COMPONENTS
from controller.component import Component, on
from controller.events import ConfigParsed, ConfigValidationRequest, ConfigValidationResponse
from controller.graph import Flow, flows
from events import Delivery, Event, Response

FLOWS = {flow.type: flow for flow in flows(COMPONENTS)}
EACH = pytest.mark.parametrize("flow", FLOWS.values(), ids=[flow.name for flow in FLOWS.values()])


@EACH
def test_every_type_has_a_publisher(flow: Flow) -> None:
    assert flow.publishers


@EACH
def test_every_type_but_a_fact_has_a_consumer_that_is_no_observer(flow: Flow) -> None:
    assert flow.consumers or flow.type.event_fact


@EACH
def test_a_fact_is_for_observers_only(flow: Flow) -> None:
    assert not (flow.type.event_fact and flow.consumers)


@EACH
def test_every_type_is_observed(flow: Flow) -> None:
    assert "commentator" in flow.observers


@pytest.mark.parametrize(
    "flow", [flow for flow in FLOWS.values() if flow.type.event_retain], ids=lambda flow: flow.name
)
def test_a_retained_type_and_those_that_forget_it_share_one_publisher(flow: Flow) -> None:
    """Else a late publisher could bring the dead back (B6)."""
    forgetting = [other for other in FLOWS.values() if flow.type in other.type.event_forgets]
    assert forgetting
    assert {one.publishers for one in (flow, *forgetting)} == {flow.publishers}
    assert len(flow.publishers) == 1


def test_components_declare_no_types_beyond_the_catalogue() -> None:
    named = {kind for component in COMPONENTS for kind in (*component.publishes, *component.consumes())}
    assert named - {Event} <= FLOWS.keys()


def test_the_list_of_components_is_complete() -> None:
    """A component that is not in it would be missing from the graph, and from these tests."""
    for module in pkgutil.walk_packages(controller.__path__, "controller."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    concrete = {
        kind
        for kind in descendants(Component)
        if kind.__module__.startswith("controller.") and not list(descendants(kind))
    }
    assert concrete == set(COMPONENTS)


def descendants(kind: type[Component]) -> Iterator[type[Component]]:
    for child in kind.__subclasses__():
        yield child
        yield from descendants(child)


class Asker(Component):
    name = "asker"
    publishes: ClassVar[tuple[type[Event], ...]] = (ConfigValidationRequest,)

    @on(ConfigParsed)
    async def parsed(self, event: ConfigParsed) -> None: ...


class Answerer(Component):
    name = "answerer"
    publishes: ClassVar[tuple[type[Event], ...]] = (ConfigValidationResponse,)

    @on(ConfigValidationRequest)
    async def asked(self, event: ConfigValidationRequest) -> None: ...


class Watcher(Component):
    name = "observer"
    delivery = Delivery.LOSSY

    @on(Response)
    async def seen(self, event: Response) -> None: ...


def test_a_response_is_consumed_by_who_asked_and_observers_do_not_count() -> None:
    found = {flow.type: flow for flow in flows([Asker, Answerer, Watcher])}
    response = found[ConfigValidationResponse]
    assert (response.publishers, response.consumers) == (("answerer",), ("asker",))
    assert response.observers == ("observer",), "a handler of a base class takes its subclasses"


def test_what_nobody_declares_shows_as_a_gap() -> None:
    found = {flow.type: flow for flow in flows([Asker, Answerer])}
    assert found[ConfigParsed].publishers == ()
    assert found[ConfigParsed].consumers == ("asker",)
