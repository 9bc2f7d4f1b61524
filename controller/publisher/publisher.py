"""Writes validated renders to their targets: each once per term, never a foreign one, never a stale one."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, ClassVar, Protocol

import structlog

from controller.clock import Clock
from controller.component import Component, on
from controller.events import (
    ConfigPublished,
    ConfigPublishFailed,
    ConfigRemoved,
    ConfigValidated,
    DriftDetected,
    PublicationSuperseded,
    PublishedOutput,
    PublishedTarget,
    RenderedOutput,
    ValidationCompleted,
)
from controller.kube.client import Resource
from controller.kube.errors import ApiError, KubeError
from controller.leadership.fence import FenceClosed
from controller.leadership.writer import Create, Delete, Replace, Write, Writer
from controller.problems import Problem
from controller.publisher.targets import (
    OWNER_UID,
    RESOURCES,
    Owner,
    TargetPlan,
    TargetRefused,
    check_ownership,
    checksum,
    controller_of,
    fresh,
    is_current,
    plans,
    replacement,
    stored_data,
    term_of,
)
from events import Delivery, Event

_log = structlog.get_logger("kopfbus.publisher")

Document = dict[str, Any]
_UNSWEPT = "all outputs are in their targets, but a target that left the spec could not be removed"
InForce = Callable[[str, str], ConfigValidated | None]
"""The generation in force of (template, uid), if it may be published at this moment (P3)."""


class ReadClient(Protocol):
    """The requests by which the publisher looks at the cluster."""

    async def get(self, resource: Resource, name: str, namespace: str | None = None) -> Document:
        """Read one object."""
        ...

    async def request(self, method: str, path: str, *, query: Mapping[str, str] | None = None) -> bytes:
        """Any other request."""
        ...


class Superseded(Exception):
    """The ConfigTemplate has changed since the render."""


class SweepFailed(Exception):
    """Everything is written, but what left the spec still stands (P7): not published until it has gone.

    It is reported, and tried again like any failed write (P9); what is written is not written again.
    """

    def __init__(self, cause: KubeError | TimeoutError) -> None:
        super().__init__(str(cause))
        self.cause = cause


@dataclass(frozen=True, slots=True)
class _Written:
    """What this term knows of a target: what stands there, since when it was looked at."""

    checksum: str
    uid: str
    published_at: str
    seen_at: float


class Publisher(Component):
    """Replaces the last good state by a better one, or leaves it as it is."""

    name = "publisher"
    publishes: ClassVar[tuple[type[Event], ...]] = (
        ConfigPublished,
        ConfigPublishFailed,
        PublicationSuperseded,
    )
    leader_only = True
    delivery = Delivery.LATEST

    def __init__(
        self,
        client: ReadClient,
        writer: Writer,
        in_force: InForce,
        clock: Clock,
        *,
        target_kinds: Sequence[str],
    ) -> None:
        self._client = client
        self._writer = writer
        self._term = writer.term.resource_version
        self._in_force = in_force
        self._clock = clock
        self._target_kinds = tuple(target_kinds)
        self._written: dict[tuple[str, str, str], _Written] = {}
        self._swept: dict[str, tuple[str, int]] = {}

    @on(DriftDetected, per="template")
    async def drifted(self, event: DriftDetected) -> None:
        """A target is not what this term believes: look again, at all of them while at it."""
        self._forget(event.template)

    @on(ConfigRemoved, per="template")
    async def removed(self, event: ConfigRemoved) -> None:
        """Its targets go by owner reference (P7)."""
        self._swept.pop(event.template, None)
        self._forget(event.template)

    def _forget(self, template: str) -> None:
        for key in [key for key in self._written if key[0] == template]:
            del self._written[key]

    @on(ValidationCompleted, per="template")
    async def validated(self, event: ValidationCompleted) -> None:
        """Publish a render, if it is still wanted."""
        try:
            published = await self._publish(event)
        except Superseded:
            self.publish(
                PublicationSuperseded(
                    template=event.template,
                    generation=event.generation,
                    reconciliation=event.reconciliation,
                )
            )
        except FenceClosed as error:
            _log.info("not published", template=event.template, reason=error.reason)
        except TargetRefused as error:
            self._failed(event, error.reason, str(error), retry=error.reason != "TooLarge")
        except SweepFailed as error:
            self._failed(event, "PublishFailed", f"{_UNSWEPT}: {_text(error.cause, event)}", retry=True)
        except (KubeError, TimeoutError) as error:
            self._failed(event, "PublishFailed", _text(error, event), retry=True)
        else:
            self.publish(published)

    def _failed(self, event: ValidationCompleted, reason: str, message: str, *, retry: bool) -> None:
        self.publish(
            ConfigPublishFailed(
                template=event.template,
                uid=event.uid,
                generation=event.generation,
                reconciliation=event.reconciliation,
                reason=reason,
                problems=(Problem(message=message, reason=reason),),
                retry=retry,
            )
        )

    async def _publish(self, event: ValidationCompleted) -> ConfigPublished:
        namespace, name = event.template.split("/")
        owner = Owner(namespace=namespace, name=name, uid=event.uid)
        wanted = plans(event.outputs)
        for plan in wanted:
            plan.check_size()
        stale = [plan for plan in wanted if not self._known(event, plan)]
        standing = partial(self._check_standing, event)
        standing()
        # All are looked at before the first is written: nothing half because one is somebody else's.
        looks = [(plan, await self._examine(plan, owner)) for plan in stale]
        changed = False
        for plan, found in looks:
            changed |= await self._write(event.template, plan, owner, standing, found)
        if self._swept.get(event.template) != (event.uid, event.generation):
            try:
                await self._sweep(owner, wanted, standing)
            except (KubeError, TimeoutError) as error:
                raise SweepFailed(error) from error
            self._swept[event.template] = (event.uid, event.generation)
        return self._published(event, wanted, changed=changed)

    def _check_standing(self, event: ValidationCompleted) -> None:
        config = self._in_force(event.template, event.uid)
        if config is None or config.generation != event.generation or config.spec.suspend:
            raise Superseded

    def _known(self, event: ValidationCompleted, plan: TargetPlan) -> bool:
        """Whether this term has seen exactly this in the target, not longer ago than the drift interval."""
        known = self._written.get((event.template, plan.kind, plan.name))
        config = self._in_force(event.template, event.uid)
        if known is None or config is None or known.checksum != plan.checksum:
            return False
        # A tenth less: the check that the interval triggers must find it expired.
        return self._clock.monotonic() - known.seen_at < 0.9 * config.spec.reconcile.drift_interval_seconds

    async def _read(self, plan: TargetPlan, owner: Owner) -> Document | None:
        try:
            return await self._client.get(plan.resource, plan.name, owner.namespace)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    async def _examine(self, plan: TargetPlan, owner: Owner) -> Document | None:
        """The target as it is, if it may be written; raises TargetRefused if not."""
        found = await self._read(plan, owner)
        if found is None:
            return None
        if found["metadata"].get("deletionTimestamp"):
            raise TargetRefused("PublishFailed", f"{plan.kind} {plan.name} is being deleted")
        check_ownership(found, owner)
        replacement(found, plan, owner, self._term)
        if self._term and term_of(found) > self._writer.term.number:
            await self._writer.confirm()
        return found

    async def _write(
        self,
        template: str,
        plan: TargetPlan,
        owner: Owner,
        standing: Callable[[], None],
        found: Document | None,
    ) -> bool:
        """Bring one target up to date that was just `found` so; whether it had to be written."""
        looks = [found]
        current: Document | None = None

        async def prepare() -> Write | None:
            nonlocal current
            current = looks.pop() if looks else await self._examine(plan, owner)
            if current is None:
                return Create(plan.resource, fresh(plan, owner, self._term))
            if is_current(current, plan, owner, self._term):
                return None
            return Replace(plan.resource, replacement(current, plan, owner, self._term))

        written = await self._writer.write(prepare, standing)
        unchanged = current is not None and checksum(stored_data(current)) == plan.checksum
        result = written or current or {}
        before = self._written.get((template, plan.kind, plan.name))
        kept = before.published_at if unchanged and before is not None else ""
        self._written[template, plan.kind, plan.name] = _Written(
            checksum=plan.checksum,
            uid=result["metadata"]["uid"],
            published_at=kept or ("" if unchanged else _now()),
            seen_at=self._clock.monotonic(),
        )
        return written is not None

    async def _sweep(self, owner: Owner, wanted: Sequence[TargetPlan], standing: Callable[[], None]) -> None:
        """Remove targets that left the spec, after the new state is out (P7)."""
        keep = {(plan.kind, plan.name) for plan in wanted}
        query = {"labelSelector": f"{OWNER_UID}={owner.uid}"}
        for kind in self._target_kinds:
            resource = RESOURCES[kind]
            answer = await self._client.request("GET", resource.path(owner.namespace), query=query)
            for item in json.loads(answer)["items"]:
                if (kind, item["metadata"]["name"]) not in keep:
                    await self._writer.write(partial(self._prepare_delete, resource, item, owner), standing)

    async def _prepare_delete(self, resource: Resource, item: Document, owner: Owner) -> Write | None:
        name = item["metadata"]["name"]
        try:
            found = await self._client.get(resource, name, owner.namespace)
        except ApiError as error:
            if error.status == 404:
                return None
            raise
        controller, metadata = controller_of(found), found["metadata"]
        if metadata.get("deletionTimestamp") or controller is None or controller.get("uid") != owner.uid:
            return None
        return Delete(resource, owner.namespace, name, metadata["uid"], metadata["resourceVersion"])

    def _published(
        self, event: ValidationCompleted, wanted: Sequence[TargetPlan], *, changed: bool
    ) -> ConfigPublished:
        known = {
            (plan.kind, plan.name): self._written[event.template, plan.kind, plan.name] for plan in wanted
        }
        return ConfigPublished(
            template=event.template,
            uid=event.uid,
            generation=event.generation,
            reconciliation=event.reconciliation,
            outputs=tuple(
                _output(output, known[output.target.kind, output.target.name]) for output in event.outputs
            ),
            targets=tuple(
                PublishedTarget(
                    kind=plan.kind,
                    name=plan.name,
                    uid=known[plan.kind, plan.name].uid,
                    checksum=plan.checksum,
                )
                for plan in wanted
            ),
            changed=changed,
        )


def _output(output: RenderedOutput, written: _Written) -> PublishedOutput:
    shown = not (output.sensitive or output.target.kind == "Secret")
    text = output.text.encode()
    return PublishedOutput(
        name=output.name,
        target=output.target,
        checksum=checksum({"": text}) if shown else "",
        size=len(text),
        published_at=written.published_at,
    )


def _text(error: KubeError | TimeoutError, event: ValidationCompleted) -> str:
    """What went wrong; where Secrets were read without the server's words, which may quote them (X3)."""
    if isinstance(error, ApiError) and any(output.sensitive for output in event.outputs):
        return f"{error.status} {error.reason}; {Problem(message='').redacted().message}"
    return str(error) or "no answer in time"


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
