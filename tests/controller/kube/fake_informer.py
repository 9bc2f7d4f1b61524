"""An informer whose server is the test: it says what is listed, what changes, and what fails."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from controller.clock import Clock
from controller.kube.client import KubeClient
from controller.kube.errors import ApiUnreachable
from controller.kube.selection import FailureReason, Selection, WatchFailure
from controller.kube.store import Changes, Store, StoredObject, Tally


class FakeInformer:
    """Follows `controller.kube.informer.Informer`: its properties, and when it calls back."""

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
    ) -> None:
        self.selection = selection
        self.store = Store()
        self.synced = self.tried = False
        self.failure: WatchFailure | None = None
        self.runs = 0
        self.running = False
        self.refreshes: list[asyncio.Future[None]] = []
        """One for each `refresh` that was asked for; the test answers them."""
        self._death = asyncio.Event()
        self._on_change, self._on_synced = on_change, on_synced
        self._on_failed, self._on_recovered = on_failed, on_recovered

    async def run(self) -> None:
        self.runs += 1
        self.running = True
        try:
            await self._death.wait()
            self._death.clear()
            raise RuntimeError("the informer has died")
        finally:
            self.running = False
            for refresh in self.refreshes:
                if not refresh.done():
                    refresh.set_exception(ApiUnreachable("the watch was stopped"))

    async def refresh(self) -> None:
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.refreshes.append(answer)
        await answer

    # --- for the test

    def die(self) -> None:
        self._death.set()

    def change(self, *objects: StoredObject, gone: tuple[tuple[str, str], ...] = ()) -> None:
        """A batch of watch events."""
        tally = Tally()
        for obj in objects:
            tally.add(self.store.apply(obj), (obj.namespace, obj.name))
        for key in gone:
            tally.add(self.store.delete(*key), key)
        if changes := tally.take():
            self._on_change(changes)

    def list(self, *objects: StoredObject, namespace: str | None = None, rest: int = 0) -> None:
        """A LIST has ended, of one namespace if it is named; `rest` others are still to be listed."""
        self.tried = True
        if changes := self.store.replace_all(objects, namespace):
            self._on_change(changes)
        if not self.synced and not rest:
            self.synced = True
            self._on_synced()

    def fail(self, reason: FailureReason = FailureReason.FORBIDDEN, namespace: str = "") -> None:
        self.tried = True
        self.failure = failure(self.selection.kind, reason, namespace)
        self._on_failed(self.failure)

    def recover(self, still: WatchFailure | None = None) -> None:
        before, self.failure = self.failure, still
        assert before is not None
        self._on_recovered(before)


def failure(kind: str, reason: FailureReason, namespace: str = "") -> WatchFailure:
    return WatchFailure(
        kind=kind, namespace=namespace, status=403, reason=reason, message="no", missing_rule="a rule"
    )


def stored(
    name: str, version: int = 1, *, namespace: str = "edge", uid: str = "", generation: int = 1, **more: Any
) -> StoredObject:
    uid = uid or f"uid-of-{name}"
    metadata = {"namespace": namespace, "name": name, "uid": uid, "generation": generation}
    document = {"metadata": {**metadata, **more.pop("metadata", {})}, **more}
    return StoredObject(namespace, name, uid, str(version), generation, json.dumps(document).encode())


def faked(monkeypatch: pytest.MonkeyPatch, module: str) -> list[FakeInformer]:
    """Makes a module build FakeInformers; all that were made."""
    made: list[FakeInformer] = []

    def make(*arguments: Any, **settings: Any) -> FakeInformer:
        made.append(FakeInformer(*arguments, **settings))
        return made[-1]

    monkeypatch.setattr(f"{module}.Informer", make)
    return made
