"""Kubernetes Events on the ConfigTemplate: failures and recoveries, the same one once with a count (P5)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog

from controller.component import Component, on
from controller.config.model import GROUP, KIND, VERSION
from controller.events import (
    ConfigInvalid,
    ConfigPublished,
    ConfigPublishFailed,
    ConfigRemoved,
    ConfigValidated,
    DriftDetected,
    ResourceWatchFailed,
    ResourceWatchRecovered,
    TargetContested,
    TemplateRenderFailed,
    ValidationFailed,
)
from controller.kube.client import EVENTS, Resource
from controller.kube.errors import ApiError, KubeError
from controller.problems import summary
from events import Delivery

QUIET = timedelta(seconds=10)
"""How long the same text is not posted again: somebody may break something many times a second."""

_log = structlog.get_logger("kopfbus.announcer")


class EventClient(Protocol):
    """The requests by which Events are posted."""

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> dict[str, Any]:
        """Read one object."""
        ...

    async def create(self, resource: Resource, obj: Mapping[str, Any]) -> dict[str, Any]:
        """POST."""
        ...

    async def merge_patch(
        self, resource: Resource, name: str, namespace: str | None, patch: Mapping[str, Any]
    ) -> dict[str, Any]:
        """PATCH."""
        ...


class News(Protocol):
    """An event about a ConfigTemplate."""

    @property
    def template(self) -> str:
        """Which one."""
        ...

    @property
    def created_at(self) -> datetime:
        """When it happened: aware, UTC."""
        ...


class Announcer(Component):
    """Tells in `kubectl describe` what failed and what is well again. Not fenced: it decides nothing."""

    name = "announcer"
    leader_only = True
    delivery = Delivery.LATEST

    def __init__(self, client: EventClient, identity: str) -> None:
        self._client = client
        self._identity = identity
        self._uids: dict[str, str] = {}
        self._ailing: dict[str, set[str]] = {}
        """Per ConfigTemplate, the aspects that are failing: what can recover."""
        self._posted: dict[str, dict[str, datetime]] = {}
        """Per ConfigTemplate, when which Event was last posted."""

    @on(ConfigInvalid, per="template")
    async def invalid(self, event: ConfigInvalid) -> None:
        """A generation was refused."""
        self._uids[event.template] = event.uid
        await self._failure(event, "config", event.reason, summary(event.problems))

    @on(ConfigValidated, per="template")
    async def validated(self, event: ConfigValidated) -> None:
        """A generation is in force."""
        self._uids[event.template] = event.uid
        await self._recovery(event, "config", "Valid", f"generation {event.generation} is valid")

    @on(ConfigRemoved, per="template")
    async def removed(self, event: ConfigRemoved) -> None:
        """Nobody would read it."""
        for state in (self._uids, self._ailing, self._posted):
            state.pop(event.template, None)

    @on(ResourceWatchFailed, per="template")
    async def watch_failed(self, event: ResourceWatchFailed) -> None:
        """A watch does not deliver."""
        message = f"watch {event.watch}: {event.message}"
        if event.missing_rule:
            message += f"; missing rule: {event.missing_rule}"
        await self._failure(event, f"watch {event.watch}", event.reason, message)

    @on(ResourceWatchRecovered, per="template")
    async def watch_recovered(self, event: ResourceWatchRecovered) -> None:
        """It delivers again."""
        message = f"watch {event.watch} delivers again"
        await self._recovery(event, f"watch {event.watch}", "Synced", message)

    @on(TemplateRenderFailed, ValidationFailed, ConfigPublishFailed, per="template")
    async def failed(self, event: TemplateRenderFailed | ValidationFailed | ConfigPublishFailed) -> None:
        """A reconciliation failed."""
        problems = (event.problem,) if isinstance(event, TemplateRenderFailed) else event.problems
        await self._failure(event, "publication", event.reason, summary(problems))

    @on(ConfigPublished, per="template")
    async def published(self, event: ConfigPublished) -> None:
        """It is well again."""
        message = f"generation {event.generation} is published"
        await self._recovery(event, "publication", "Published", message)

    @on(DriftDetected, per="template")
    async def drifted(self, event: DriftDetected) -> None:
        """Somebody wrote to a target."""
        await self._post(event, "Warning", "DriftDetected", f"{event.kind} {event.name}: {event.what}")

    @on(TargetContested, per="template")
    async def contested(self, event: TargetContested) -> None:
        """Somebody keeps writing to it."""
        message = f"{event.kind} {event.name} keeps being changed by another"
        await self._failure(event, "publication", "TargetContested", message)

    async def _failure(self, news: News, aspect: str, reason: str, message: str) -> None:
        self._ailing.setdefault(news.template, set()).add(aspect)
        await self._post(news, "Warning", reason, message)

    async def _recovery(self, news: News, aspect: str, reason: str, message: str) -> None:
        ailing = self._ailing.get(news.template, set())
        if aspect in ailing:
            ailing.discard(aspect)
            await self._post(news, "Normal", reason, message)

    async def _post(self, news: News, kind: str, reason: str, message: str) -> None:
        uid = self._uids.get(news.template)
        if uid is None:
            return
        namespace, name = news.template.split("/")
        digest = hashlib.sha256(f"{uid} {kind} {reason} {message}".encode()).hexdigest()[:16]
        if self._just_posted(news, digest):
            return
        event = self._event(name, namespace, uid, kind, reason, message)
        event["metadata"] = {"name": f"{name[:200].rstrip('-.')}.{digest}", "namespace": namespace}
        event["firstTimestamp"] = event["lastTimestamp"] = news.created_at.strftime("%Y-%m-%dT%H:%M:%SZ")
        try:
            await self._create_or_count(event)
        except (KubeError, TimeoutError) as error:
            _log.warning("Event not posted", template=news.template, reason=reason, error=str(error))

    def _just_posted(self, news: News, digest: str) -> bool:
        """Whether the same text is there already, so that it need not be counted."""
        at = news.created_at
        recent = {
            known: when
            for known, when in self._posted.get(news.template, {}).items()
            if abs(at - when) < QUIET
        }
        known = digest in recent
        self._posted[news.template] = recent if known else {**recent, digest: at}
        return known

    async def _create_or_count(self, event: dict[str, Any]) -> None:
        name, namespace = event["metadata"]["name"], event["metadata"]["namespace"]
        try:
            await self._client.create(EVENTS, event)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            present = await self._client.get(EVENTS, name, namespace)
            patch = {"count": present.get("count", 1) + 1, "lastTimestamp": event["lastTimestamp"]}
            await self._client.merge_patch(EVENTS, name, namespace, patch)

    def _event(
        self, name: str, namespace: str, uid: str, kind: str, reason: str, message: str
    ) -> dict[str, Any]:
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "involvedObject": {
                "apiVersion": f"{GROUP}/{VERSION}",
                "kind": KIND,
                "name": name,
                "namespace": namespace,
                "uid": uid,
            },
            "type": kind,
            "reason": reason,
            "message": message[:1024],
            "count": 1,
            "source": {"component": "kopfbus", "host": self._identity},
        }
