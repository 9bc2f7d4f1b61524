"""What must be true before a replica starts: the API server answers and grants the essentials (X1)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from controller.config.model import GROUP, PLURAL
from controller.kube.client import KubeClient, Resource
from controller.kube.errors import ApiError
from controller.settings import Settings

REVIEWS = Resource(
    "authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", namespaced=False
)
TIMEOUT = 10.0
"""Seconds for an answer of the API server."""


class NotAdmitted(Exception):
    """The API server does not know the operator, or grants too little; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Right:
    """What a rule of a Role grants; in all namespaces if none is named, to any object if none is."""

    namespace: str
    group: str
    resource: str
    verbs: tuple[str, ...]
    name: str = ""

    def rule(self, verbs: tuple[str, ...]) -> str:
        """As it would stand in a Role or ClusterRole, for some of the verbs."""
        where = f"in a Role of namespace {self.namespace}" if self.namespace else "in a ClusterRole"
        names = f', resourceNames: ["{self.name}"]' if self.name else ""
        return (
            f'apiGroups: ["{self.group}"], resources: ["{self.resource}"]{names},'
            f" verbs: {json.dumps(verbs)} ({where})"
        )


async def check_cluster(client: KubeClient, settings: Settings) -> None:
    """Raise KubeError when the API server does not answer, NotAdmitted when it does not grant enough."""
    try:
        missing = [
            right.rule(verbs)
            for right in essential_rights(client, settings)
            if (verbs := await _refused(client, right))
        ]
    except ApiError as error:
        hint = "; are these the credentials for this server, and still valid?" if error.status == 401 else ""
        raise NotAdmitted(f"{client.server}: {error}{hint}") from error
    if missing:
        raise NotAdmitted(f"{client.server}: missing rights: {'; '.join(missing)}")


def essential_rights(client: KubeClient, settings: Settings) -> Iterator[Right]:
    """What no replica can do without: to see ConfigTemplates, and to take part in the election."""
    for namespace in settings.namespaces or ("",):
        yield Right(namespace, GROUP, PLURAL, ("list", "watch"))
    if not settings.standalone:
        namespace = settings.lease_namespace or client.default_namespace
        yield Right(namespace, "coordination.k8s.io", "leases", ("create",))
        yield Right(namespace, "coordination.k8s.io", "leases", ("get", "update"), settings.lease_name)


async def _refused(client: KubeClient, right: Right) -> tuple[str, ...]:
    """The verbs that are not granted."""
    return tuple([verb for verb in right.verbs if not await _allowed(client, right, verb)])


async def _allowed(client: KubeClient, right: Right, verb: str) -> bool:
    attributes = {
        "namespace": right.namespace,
        "group": right.group,
        "resource": right.resource,
        "name": right.name,
        "verb": verb,
    }
    review = {
        "apiVersion": REVIEWS.api_version,
        "kind": REVIEWS.kind,
        "metadata": {},
        "spec": {"resourceAttributes": {key: value for key, value in attributes.items() if value}},
    }
    answer = await client.create(REVIEWS, review, timeout=TIMEOUT)
    return bool((answer.get("status") or {}).get("allowed"))
