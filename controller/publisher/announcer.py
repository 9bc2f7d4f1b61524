"""Kubernetes Events on the ConfigTemplate: failures and recoveries, the same one once with a count (P5)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
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

    @on(ConfigInvalid, per="template")
    async def invalid(self, event: ConfigInvalid) -> None:
        """A generation was refused."""
        self._uids[event.template] = event.uid
        await self._failure(event.template, "config", event.reason, summary(event.problems))

    @on(ConfigValidated, per="template")
    async def validated(self, event: ConfigValidated) -> None:
        """A generation is in force."""
        self._uids[event.template] = event.uid
        await self._recovery(event.template, "config", "Valid", f"generation {event.generation} is valid")

    @on(ConfigRemoved, per="template")
    async def removed(self, event: ConfigRemoved) -> None:
        """Nobody would read it."""
        self._uids.pop(event.template, None)
        self._ailing.pop(event.template, None)

    @on(ResourceWatchFailed, per="template")
    async def watch_failed(self, event: ResourceWatchFailed) -> None:
        """A watch does not deliver."""
        message = f"watch {event.watch}: {event.message}"
        if event.missing_rule:
            message += f"; missing rule: {event.missing_rule}"
        await self._failure(event.template, f"watch {event.watch}", event.reason, message)

    @on(ResourceWatchRecovered, per="template")
    async def watch_recovered(self, event: ResourceWatchRecovered) -> None:
        """It delivers again."""
        message = f"watch {event.watch} delivers again"
        await self._recovery(event.template, f"watch {event.watch}", "Synced", message)

    @on(TemplateRenderFailed, ValidationFailed, ConfigPublishFailed, per="template")
    async def failed(self, event: TemplateRenderFailed | ValidationFailed | ConfigPublishFailed) -> None:
        """A reconciliation failed."""
        problems = (event.problem,) if isinstance(event, TemplateRenderFailed) else event.problems
        await self._failure(event.template, "publication", event.reason, summary(problems))

    @on(ConfigPublished, per="template")
    async def published(self, event: ConfigPublished) -> None:
        """It is well again."""
        message = f"generation {event.generation} is published"
        await self._recovery(event.template, "publication", "Published", message)

    @on(DriftDetected, per="template")
    async def drifted(self, event: DriftDetected) -> None:
        """Somebody wrote to a target."""
        await self._post(
            event.template, "Warning", "DriftDetected", f"{event.kind} {event.name}: {event.what}"
        )

    @on(TargetContested, per="template")
    async def contested(self, event: TargetContested) -> None:
        """Somebody keeps writing to it."""
        message = f"{event.kind} {event.name} keeps being changed by another"
        await self._failure(event.template, "publication", "TargetContested", message)

    async def _failure(self, template: str, aspect: str, reason: str, message: str) -> None:
        self._ailing.setdefault(template, set()).add(aspect)
        await self._post(template, "Warning", reason, message)

    async def _recovery(self, template: str, aspect: str, reason: str, message: str) -> None:
        ailing = self._ailing.get(template, set())
        if aspect in ailing:
            ailing.discard(aspect)
            await self._post(template, "Normal", reason, message)

    async def _post(self, template: str, kind: str, reason: str, message: str) -> None:
        uid = self._uids.get(template)
        if uid is None:
            return
        namespace, name = template.split("/")
        digest = hashlib.sha256(f"{uid} {kind} {reason} {message}".encode()).hexdigest()[:16]
        event_name = f"{name[:200]}.{digest}"
        try:
            await self._create_or_count(
                namespace, event_name, self._event(name, namespace, uid, kind, reason, message)
            )
        except (KubeError, TimeoutError) as error:
            _log.warning("Event not posted", template=template, reason=reason, error=str(error))

    async def _create_or_count(self, namespace: str, event_name: str, body: dict[str, Any]) -> None:
        body["metadata"] = {"name": event_name, "namespace": namespace}
        try:
            await self._client.create(EVENTS, body)
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            present = await self._client.get(EVENTS, event_name, namespace)
            patch = {"count": present.get("count", 1) + 1, "lastTimestamp": body["lastTimestamp"]}
            await self._client.merge_patch(EVENTS, event_name, namespace, patch)

    def _event(
        self, name: str, namespace: str, uid: str, kind: str, reason: str, message: str
    ) -> dict[str, Any]:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
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
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "source": {"component": "kopfbus", "host": self._identity},
        }
