"""Kopf handlers for ConfigTemplates: they only publish, so that every replica may run them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import kopf

from controller.config.model import GROUP, PLURAL, VERSION
from controller.events import ConfigResourceChanged
from events import Event

Fingerprint = tuple[Any, ...]


def register(registry: kopf.OperatorRegistry, publish: Callable[[Event], object]) -> None:
    """Register the handlers in a registry of their own; `publish` is called in kopf's thread.

    They return None and leave `patch` alone: anything else would make kopf write, on standbys too.
    """
    seen: dict[str, Fingerprint] = {}

    @kopf.on.event(GROUP, VERSION, PLURAL, id="config-template", registry=registry)
    async def config_template(event: Mapping[str, Any], **_: Any) -> None:
        metadata = event["object"]["metadata"]
        template = f"{metadata['namespace']}/{metadata['name']}"
        if event["type"] == "DELETED":
            # Kopf misses deletions during a relist, so only the informer's count; here, a hint is forgotten.
            seen.pop(template, None)
            return
        fingerprint = _fingerprint(metadata)
        if seen.get(template) == fingerprint:
            return  # a status write, or a change of no interest, wakes nobody
        seen[template] = fingerprint
        publish(
            ConfigResourceChanged(
                template=template,
                source="kopf",
                resource_version=metadata["resourceVersion"],
                body=_plain(event["object"]),
            )
        )


def _fingerprint(metadata: Mapping[str, Any]) -> Fingerprint:
    return (
        metadata["uid"],
        metadata.get("generation"),
        (metadata.get("annotations") or {}).get(f"{GROUP}/reconcile-requested-at"),
        metadata.get("deletionTimestamp"),
    )


def _plain(body: Mapping[str, Any]) -> dict[str, Any]:
    """The object as it came, without what kopf shares with other handlers."""
    return {name: value for name, value in body.items() if name != "status"}
