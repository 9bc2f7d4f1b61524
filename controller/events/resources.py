"""Watched resources, as each ConfigTemplate sees them: started, synchronised, changed, failing."""

from __future__ import annotations

from events import Event, event


@event("resource.watch.started", fact=True)
class ResourceWatchStarted(Event):
    """A ConfigTemplate's watch is being served; several may share one (S4)."""

    template: str
    watch: str
    kind: str
    namespaces: tuple[str, ...]


@event("resource.sync.complete", fact=True)
class ResourceSyncComplete(Event):
    """A watch's first list is in the store, even if it was empty (S2)."""

    template: str
    watch: str
    objects: int


@event("index.synchronized", key="template", retain=True)
class IndexSynchronized(Event):
    """Everything that a generation watches is in the stores.

    `term` names the term whose barrier the stores have passed (L8); empty where there was none.
    """

    template: str
    uid: str
    generation: int
    term: str
    objects: tuple[tuple[str, int], ...]


@event("index.dropped", key="template", forgets=(IndexSynchronized,))
class IndexDropped(Event):
    """A ConfigTemplate's watches have ended."""

    template: str


@event("resource.index.updated", key="template")
class ResourceIndexUpdated(Event):
    """Objects that a ConfigTemplate watches have changed; how many of each sort."""

    template: str
    watch: str
    created: int
    modified: int
    deleted: int


@event("resource.watch.failed", key=("template", "watch"), retain=True)
class ResourceWatchFailed(Event):
    """A watch does not deliver. `reason` is a condition reason; `missing_rule` the RBAC rule to add (S3)."""

    template: str
    watch: str
    kind: str
    namespace: str
    status: int
    reason: str
    message: str
    missing_rule: str = ""


@event("resource.watch.recovered", key=("template", "watch"), forgets=(ResourceWatchFailed,))
class ResourceWatchRecovered(Event):
    """A watch that had failed delivers again."""

    template: str
    watch: str


@event("resource.watch.stopped", key=("template", "watch"), forgets=(ResourceWatchFailed,))
class ResourceWatchStopped(Event):
    """A ConfigTemplate has no such watch any more."""

    template: str
    watch: str
