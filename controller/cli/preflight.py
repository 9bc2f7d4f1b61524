"""What must be true before a replica starts: the API server answers and grants the essentials (X1)."""

from __future__ import annotations

import json
from collections.abc import Iterator

from controller.config.model import GROUP, PLURAL
from controller.kube.client import KubeClient
from controller.settings import Settings

REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
Right = tuple[str, str, str, str, str]
"""Namespace (empty for all), group, resource, name (empty for any), verb."""


class MissingRights(Exception):
    """The operator may not do what it cannot do without; the message is the rule to add."""


async def check_cluster(client: KubeClient, settings: Settings) -> None:
    """Raise KubeError when the API server does not answer, MissingRights when it grants too little."""
    missing = [right for right in essential_rights(client, settings) if not await _allowed(client, right)]
    if missing:
        rules = "; ".join(sorted({_rule(right) for right in missing}))
        raise MissingRights(f"{client.server}: missing rights: {rules}")


def essential_rights(client: KubeClient, settings: Settings) -> Iterator[Right]:
    """What no replica can do without: to see ConfigTemplates, and to take part in the election."""
    for namespace in settings.namespaces or ("",):
        for verb in ("list", "watch"):
            yield namespace, GROUP, PLURAL, "", verb
    if not settings.standalone:
        namespace = settings.lease_namespace or client.default_namespace
        yield namespace, "coordination.k8s.io", "leases", "", "create"
        for verb in ("get", "update"):
            yield namespace, "coordination.k8s.io", "leases", settings.lease_name, verb


async def _allowed(client: KubeClient, right: Right) -> bool:
    namespace, group, resource, name, verb = right
    attributes = {"namespace": namespace, "group": group, "resource": resource, "name": name, "verb": verb}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {key: value for key, value in attributes.items() if value}},
    }
    answer = json.loads(await client.request("POST", REVIEWS, body=review, timeout=10.0))
    return bool(answer["status"]["allowed"])


def _rule(right: Right) -> str:
    namespace, group, resource, name, verb = right
    where = f"in namespace {namespace}" if namespace else "in all namespaces"
    names = f', resourceNames: ["{name}"]' if name else ""
    return f'apiGroups: ["{group}"], resources: ["{resource}"]{names}, verbs: ["{verb}"] {where}'
