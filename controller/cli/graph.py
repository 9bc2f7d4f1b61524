"""`kopfbus graph`: the flow of events as a drawing or a table, from the components' declarations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

import click

from controller.app import COMPONENTS
from controller.component import Component
from controller.graph import RUNTIME, Flow, component_name, flows


@click.command
@click.option(
    "--format",
    type=click.Choice(["mermaid", "markdown"]),
    default="mermaid",
    show_default=True,
    help="A drawing, or a table.",
)
def graph(*, format: str) -> None:  # noqa: A002 - an option's variable is named after this
    """Show which component publishes and which consumes each type of event."""
    draw: Callable[[], Iterable[str]] = {"mermaid": _mermaid, "markdown": _markdown}[format]
    click.echo("\n".join(draw()))


def _mermaid() -> Iterator[str]:
    found = flows(COMPONENTS)
    yield "flowchart LR"
    yield "  %% Boxes are components, rounded ones events; dashed events are facts, for observers only."
    yield "  classDef fact stroke-dasharray: 4"
    drawn = {name for flow in found for name in (*flow.publishers, *flow.consumers)}
    leading = _names(component for component in COMPONENTS if component.leader_only)
    yield '  subgraph leader["only in the leader"]'
    yield from (f"    {_node(name)}[{name}]" for name in leading if name in drawn)
    yield "  end"
    others = [*_names(component for component in COMPONENTS if not component.leader_only), RUNTIME]
    yield from (f"  {_node(name)}[{name}]" for name in others if name in drawn)
    for flow in found:
        yield from _arrows(flow)


def _arrows(flow: Flow) -> Iterator[str]:
    event = f"event_{flow.name.replace('.', '_')}"
    yield f"  {event}([{flow.name}]){':::fact' if flow.type.event_fact else ''}"
    yield from (f"  {_node(name)} --> {event}" for name in flow.publishers)
    yield from (f"  {event} --> {_node(name)}" for name in flow.consumers)


def _node(name: str) -> str:
    return f"component_{name.replace('-', '_')}"


def _names(components: Iterable[type[Component]]) -> Sequence[str]:
    return tuple(dict.fromkeys(map(component_name, components)))


def _markdown() -> Iterator[str]:
    yield "| event | says | published by | consumed by |"
    yield "|---|---|---|---|"
    for flow in flows(COMPONENTS):
        name = f"`{flow.name}`{' (retained)' if flow.type.event_retain else ''}"
        consumers = "observers only" if flow.type.event_fact else ", ".join(flow.consumers)
        yield f"| {name} | {flow.saying} | {', '.join(flow.publishers)} | {consumers} |"
