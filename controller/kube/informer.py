"""Informer: a store that follows the API server, for any kind and any number of objects."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from controller.clock import Clock
from controller.kube.client import KubeClient
from controller.kube.reflector import Reflector
from controller.kube.selection import Selection, WatchFailure
from controller.kube.store import Changes, ObjectDecoder, Store

IDLE_TIMEOUT = 90.0
"""Seconds of silence after which a watch is not believed any more: bookmarks come every 60 s."""


class Informer:
    """Watches one selection and keeps `store` equal to what the server has.

        informer = Informer(client, Selection("networking.k8s.io/v1", "Ingress"), clock=SystemClock(), ...)
        await informer.run()

    Each namespace of the selection has a LIST/WATCH loop of its own: one may fail while others go on.
    Callbacks are called in the loop and must not wait: `on_change` after each applied batch that changed
    something, `on_synced` once, when everything has been listed (S2), `on_failed` when a failure begins or
    turns into another, `on_recovered` with the failure that has ended. Belongs to the client's loop.
    Raises FieldPathError for an `ignore_fields` that is none.
    """

    def __init__(
        self,
        client: KubeClient,
        selection: Selection,
        *,
        clock: Clock,
        on_change: Callable[[Changes], None],
        on_synced: Callable[[], None],
        on_failed: Callable[[WatchFailure], None],
        on_recovered: Callable[[WatchFailure], None],
        idle_timeout: float = IDLE_TIMEOUT,
    ) -> None:
        self.selection = selection
        self.store = Store()
        self._on_synced = on_synced
        decoder = ObjectDecoder(selection.api_version, selection.kind, selection.ignore_fields)
        self._reflectors = tuple(
            Reflector(
                client,
                selection,
                namespace,
                self.store,
                decoder,
                clock=clock,
                idle_timeout=idle_timeout,
                on_change=on_change,
                on_listed=self._listed,
                on_failed=on_failed,
                on_recovered=on_recovered,
            )
            for namespace in dict.fromkeys(selection.namespaces or ("",))
        )

    @property
    def synced(self) -> bool:
        """Everything has been listed at least once."""
        return all(reflector.listed for reflector in self._reflectors)

    @property
    def tried(self) -> bool:
        """Every namespace has been tried at least once, with whatever result (X4)."""
        return all(reflector.tried for reflector in self._reflectors)

    @property
    def failure(self) -> WatchFailure | None:
        """Why a namespace is not being followed now; the first one's if there are several."""
        return next((reflector.failure for reflector in self._reflectors if reflector.failure), None)

    async def run(self) -> None:
        """Follow the server until cancelled, whatever it answers; run again, it lists again."""
        async with asyncio.TaskGroup() as group:
            for reflector in self._reflectors:
                group.create_task(reflector.run())

    async def refresh(self) -> None:
        """Return when the store is at least as new as a LIST begun after the call (L8).

        Raises KubeError when that cannot be found out now; `run` must be under way.
        """
        reflectors = (reflector.refresh() for reflector in self._reflectors)
        for error in await asyncio.gather(*reflectors, return_exceptions=True):
            if error is not None:
                raise error

    def _listed(self) -> None:
        if self.synced:
            self._on_synced()
