"""Events about one ConfigTemplate, `edge/web`, as the other components would publish them."""

from __future__ import annotations

from typing import Any

from controller.config.model import Target, parse_spec
from controller.events import (
    ConfigInvalid,
    ConfigPublished,
    ConfigPublishFailed,
    ConfigRemoved,
    ConfigValidated,
    DriftDetected,
    IndexSynchronized,
    PublishedOutput,
    PublishedTarget,
    RenderedOutput,
    ResourceIndexUpdated,
    ResourceWatchFailed,
    StatusUpdated,
    TemplateRenderFailed,
    ValidationCompleted,
    ValidationFailed,
)
from controller.problems import Problem

TEMPLATE = "edge/web"
UID = "uid-1"
PROBLEM = Problem(message="an Ingress without a host", template="hosts", line=3, column=4)


def validated(
    generation: int = 1, *, uid: str = UID, requested_at: str = "", template: str = TEMPLATE, **spec: Any
) -> ConfigValidated:
    """A generation in force: one output into ConfigMap `proxy`, rendered every 2 s at most."""
    target = {"name": "proxy", "key": "hosts"}
    body = {"outputs": [{"name": "hosts", "template": "text", "target": target}], **spec}
    parsed = parse_spec(body, strict=True)
    return ConfigValidated(
        template=template, uid=uid, generation=generation, spec=parsed, requested_at=requested_at
    )


def invalid(generation: int = 2, *, uid: str = UID, requested_at: str = "", **more: Any) -> ConfigInvalid:
    return ConfigInvalid(
        template=TEMPLATE,
        uid=uid,
        generation=generation,
        requested_at=requested_at,
        reason="TemplateError",
        problems=(PROBLEM,),
        **more,
    )


def removed(uid: str = UID) -> ConfigRemoved:
    return ConfigRemoved(template=TEMPLATE, uid=uid)


def synchronized(
    generation: int = 1,
    *,
    term: str = "7",
    uid: str = UID,
    template: str = TEMPLATE,
    objects: tuple[tuple[str, int], ...] = (),
) -> IndexSynchronized:
    return IndexSynchronized(template=template, uid=uid, generation=generation, term=term, objects=objects)


def changed() -> ResourceIndexUpdated:
    return ResourceIndexUpdated(template=TEMPLATE, watch="sources", created=0, modified=1, deleted=0)


def watch_failed(watch: str = "sources", reason: str = "Forbidden") -> ResourceWatchFailed:
    return ResourceWatchFailed(
        template=TEMPLATE,
        watch=watch,
        kind="Ingress",
        namespace="edge",
        status=403,
        reason=reason,
        message="ingresses is forbidden",
        missing_rule="list ingresses",
    )


def drifted(name: str = "proxy", what: str = "its data was changed") -> DriftDetected:
    return DriftDetected(template=TEMPLATE, kind="ConfigMap", name=name, what=what)


def output(
    text: str = "right",
    *,
    name: str = "hosts",
    kind: Any = "ConfigMap",
    target: str = "proxy",
    key: str = "hosts",
    sensitive: bool = False,
) -> RenderedOutput:
    return RenderedOutput(
        template=TEMPLATE,
        name=name,
        text=text,
        format="text",
        target=Target(kind=kind, name=target, key=key),
        sensitive=sensitive,
    )


def completed(
    *outputs: RenderedOutput, uid: str = UID, generation: int = 1, reconciliation: str = "r1"
) -> ValidationCompleted:
    return ValidationCompleted(
        template=TEMPLATE,
        uid=uid,
        generation=generation,
        reconciliation=reconciliation,
        outputs=outputs or (output(),),
    )


def published(
    generation: int = 1,
    *,
    uid: str = UID,
    reconciliation: str = "r1",
    changed: bool = True,
    published_at: str = "2026-01-02T03:04:05Z",
    target_uid: str = "target-uid",
    target: str = "proxy",
    checksum: str = "sha256:abc",
) -> ConfigPublished:
    return ConfigPublished(
        template=TEMPLATE,
        uid=uid,
        generation=generation,
        reconciliation=reconciliation,
        outputs=(
            PublishedOutput(
                name="hosts",
                target=Target(name=target, key="hosts"),
                checksum=checksum,
                size=22,
                published_at=published_at,
            ),
        ),
        targets=(PublishedTarget(kind="ConfigMap", name=target, uid=target_uid, checksum=checksum),),
        changed=changed,
    )


def publish_failed(
    *, reconciliation: str = "r1", retry: bool = True, reason: str = "PublishFailed", generation: int = 1
) -> ConfigPublishFailed:
    return ConfigPublishFailed(
        template=TEMPLATE,
        uid=UID,
        generation=generation,
        reconciliation=reconciliation,
        reason=reason,
        problems=(Problem(message="configmaps is forbidden"),),
        retry=retry,
    )


def render_failed(
    *,
    reconciliation: str = "r1",
    reason: str = "RenderFailed",
    generation: int = 1,
    template: str = TEMPLATE,
) -> TemplateRenderFailed:
    return TemplateRenderFailed(
        template=template,
        uid=UID,
        generation=generation,
        reconciliation=reconciliation,
        reason=reason,
        problem=PROBLEM,
    )


def validation_failed(*, reconciliation: str = "r1", generation: int = 1) -> ValidationFailed:
    return ValidationFailed(
        template=TEMPLATE,
        uid=UID,
        generation=generation,
        reconciliation=reconciliation,
        reason="OutputInvalid",
        problems=(PROBLEM,),
    )


def told() -> StatusUpdated:
    return StatusUpdated(template=TEMPLATE, generation=1, changed=True)
