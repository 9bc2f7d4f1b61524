"""Reads ConfigTemplates: from hints of any source to one parsed generation each, no older after a newer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import structlog

from controller.component import Component, on
from controller.config.model import SpecInvalid, parse_spec
from controller.events import ConfigDeleted, ConfigParsed, ConfigParseFailed, ConfigResourceChanged
from events import Event

REQUESTED_AT = "kopfbus.dev/reconcile-requested-at"
"""The annotation whose change asks for a reconciliation."""
REMEMBERED_DELETIONS = 10_000
"""How many uids of deleted ConfigTemplates are kept, so that a late hint cannot bring one back."""

_log = structlog.get_logger("kopfbus.config")


@dataclass(frozen=True, slots=True)
class _Known:
    uid: str
    generation: int
    requested_at: str
    resource_version: str


Listing = Callable[[], tuple[Mapping[str, int], Iterable[Mapping[str, Any]]]]
"""How far the informer has seen, as a resourceVersion by namespace, and all ConfigTemplates in its store."""


class Loader(Component):
    """Turns hints into `config.parsed`, once for each (uid, generation, requested-at)."""

    name = "loader"
    publishes: ClassVar[tuple[type[Event], ...]] = (ConfigParsed, ConfigParseFailed, ConfigDeleted)
    buffer_size = 1000

    def __init__(self, listing: Listing) -> None:
        self._listing = listing
        self._known: dict[str, _Known] = {}
        self._gone: dict[str, None] = {}
        """The uids of deleted ConfigTemplates, oldest first."""

    @on(ConfigResourceChanged)
    async def changed(self, event: ConfigResourceChanged) -> None:
        """Take a hint if it is news."""
        if event.deleted:
            self._forget(event.template, event.body["metadata"].get("uid", ""))
        else:
            self._take(event.template, event.body)

    async def resync(self) -> None:
        """Read the informer's store: what it has counts, and what it no longer has is deleted (C6)."""
        seen, bodies = self._listing()
        listed = set()
        for body in bodies:
            metadata = body["metadata"]
            listed.add(template := f"{metadata['namespace']}/{metadata['name']}")
            self._take(template, body)
        for template, known in list(self._known.items()):
            namespace = template.split("/", maxsplit=1)[0]
            # Of what is newer than all that the informer has seen only a hint is known: it may still come.
            if template not in listed and not _newer(known.resource_version, str(seen.get(namespace, 0))):
                self._forget(template, known.uid)

    def _take(self, template: str, body: Mapping[str, Any]) -> None:
        metadata = body["metadata"]
        uid, version = metadata["uid"], metadata.get("resourceVersion", "")
        known = self._known.get(template)
        if uid in self._gone or (known is not None and not _newer(version, known.resource_version)):
            return
        if known is not None and known.uid != uid:
            self._forget(template, known.uid)
            known = None
        if metadata.get("deletionTimestamp"):
            self._forget(template, uid)
            return
        requested_at = (metadata.get("annotations") or {}).get(REQUESTED_AT, "")
        news = _Known(uid, metadata.get("generation", 1), requested_at, version)
        self._known[template] = news
        if known is None or (known.generation, known.requested_at) != (news.generation, news.requested_at):
            self._parse(template, news, body.get("spec") or {})

    def _parse(self, template: str, news: _Known, spec: Mapping[str, Any]) -> None:
        try:
            parsed = parse_spec(spec, strict=False)
        except SpecInvalid as error:
            self.publish(
                ConfigParseFailed(
                    template=template,
                    uid=news.uid,
                    generation=news.generation,
                    requested_at=news.requested_at,
                    problems=error.problems,
                )
            )
            return
        self.publish(
            ConfigParsed(
                template=template,
                uid=news.uid,
                generation=news.generation,
                requested_at=news.requested_at,
                spec=parsed,
            )
        )

    def _forget(self, template: str, uid: str) -> None:
        if uid in self._gone:
            return
        self._gone[uid] = None
        if len(self._gone) > REMEMBERED_DELETIONS:
            del self._gone[next(iter(self._gone))]
        known = self._known.get(template)
        if known is not None and known.uid == uid:
            del self._known[template]
            self.publish(ConfigDeleted(template=template, uid=uid))


def _newer(version: str, than: str) -> bool:
    """Whether a resourceVersion is newer; those that are no numbers cannot be compared and count as news."""
    if version.isdecimal() and than.isdecimal():
        return int(version) > int(than)
    return version != than
