"""What the runtime has to say of the components it runs."""

from __future__ import annotations

from events import Event, event


@event("component.failed", fact=True)
class ComponentFailed(Event):
    """A handler or service task raised; the component goes on (C2). `where` names the handler or the task."""

    component: str
    where: str
    error: str
