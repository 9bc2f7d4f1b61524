"""WATCH: the events of one request, from history and then as they happen."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Iterator

from controller.sandbox.kinds import Catalogue, Kind
from controller.sandbox.listing import ListQuery
from controller.sandbox.selectors import Selector
from controller.sandbox.statuses import Object, expired
from controller.sandbox.store import Change, HistoryGone, Store, in_order

BOOKMARK_INTERVAL = 60.0
"""Seconds; the real server's."""
LAST_BOOKMARK = 2.0
"""Seconds before the end of a watch at which it gets its last bookmark."""
DEFAULT_TIMEOUT = 1800
"""Seconds a watch lasts that asks for no end."""
INITIAL_EVENTS_END = "k8s.io/initial-events-end"


class Watch:
    """One watch request. Refuses a bad query when constructed, before the answer has begun."""

    def __init__(
        self, store: Store, catalogue: Catalogue, kind: Kind, namespace: str, query: ListQuery
    ) -> None:
        if query.send_initial_events and query.resource_version_match != "NotOlderThan":
            raise query.forbid("sendInitialEvents requires setting resourceVersionMatch to NotOlderThan")
        self._store = store
        self._catalogue = catalogue
        self._kind = kind
        self._namespace = namespace
        self._query = query
        self._selector: Selector = query.selector(kind)
        self._position = query.version
        now = time.monotonic()
        timeout = query.timeout_seconds or DEFAULT_TIMEOUT
        self._end = now + timeout
        self._bookmark_at = self._after(now)

    async def events(self) -> AsyncIterator[list[Object]]:
        """Yield batches of watch events until the time is over, the history is lost or the kind is gone."""
        if initial := list(self._initial()):
            yield initial
        while self._catalogue.serves(self._kind):
            try:
                batch = list(self._batch())
            except HistoryGone as gone:
                yield [self._too_old(gone)]
                return
            if batch:
                yield batch
            if time.monotonic() >= self._end:
                return
            await self._pause()

    def _initial(self) -> Iterator[Object]:
        """Yield the present state as additions, if the request asks for it."""
        if self._position and not self._query.send_initial_events:
            return
        self._position = self._store.version
        for (namespace, _), obj in in_order(self._store.all(self._kind)):
            if self._covers(namespace) and self._selector.matches(obj):
                yield {"type": "ADDED", "object": obj}
        if self._query.send_initial_events and self._query.allow_watch_bookmarks:
            yield self._bookmark({INITIAL_EVENTS_END: "true"})

    def _batch(self) -> Iterator[Object]:
        """Yield what happened since the last batch, and a bookmark when one is due."""
        for change in self._store.since(self._position):
            if (event := self._event(change)) is not None:
                yield event
        if self._position > self._store.version:
            return  # from the future: silent, like the real server, until that version is reached
        self._position = self._store.version
        now = time.monotonic()
        if self._query.allow_watch_bookmarks and now >= self._bookmark_at:
            self._bookmark_at = self._after(now)
            yield self._bookmark({})

    def _event(self, change: Change) -> Object | None:
        """Return the change as this watch sees it: an object may come into its selection and leave it."""
        if change.kind.id != self._kind.id or not self._covers(change.key[0]):
            return None
        old = change.old if change.old is not None and self._selector.matches(change.old) else None
        if change.new is not None and self._selector.matches(change.new):
            return {"type": "ADDED" if old is None else "MODIFIED", "object": change.new}
        if old is None:
            return None
        # The last state that was selected, under the version of the change that ended that.
        metadata = {**old["metadata"], "resourceVersion": str(change.version)}
        return {"type": "DELETED", "object": {**old, "metadata": metadata}}

    def _after(self, now: float) -> float:
        """When the next bookmark is due."""
        last = self._end - LAST_BOOKMARK
        return min(now + BOOKMARK_INTERVAL, last if now < last else math.inf)

    def _covers(self, namespace: str) -> bool:
        return not self._namespace or namespace == self._namespace

    def _bookmark(self, annotations: dict[str, str]) -> Object:
        metadata: Object = {"resourceVersion": str(self._position)}
        if annotations:
            metadata["annotations"] = annotations
        obj = {"kind": self._kind.kind, "apiVersion": self._kind.api_version, "metadata": metadata}
        return {"type": "BOOKMARK", "object": obj}

    def _too_old(self, gone: HistoryGone) -> Object:
        """Return the error that ends the stream; the answer's own status was 200 long ago."""
        refused = expired(f"too old resource version: {self._position} ({gone.oldest})")
        return {"type": "ERROR", "object": refused.status()}

    async def _pause(self) -> None:
        """Wait for a write, for the next bookmark or for the end."""
        wake = min(self._end, self._bookmark_at) if self._query.allow_watch_bookmarks else self._end
        try:
            async with asyncio.timeout(wake - time.monotonic()):
                await self._store.wait_beyond(self._position)
        except TimeoutError:
            pass
