"""What the operator needs to be granted in one namespace (X1), and how tests grant it."""

from __future__ import annotations

from typing import Any

from controller.kube.client import KubeClient, Resource

RBAC = "rbac.authorization.k8s.io"
ROLES = Resource(RBAC, "v1", "Role", "roles", namespaced=True)
BINDINGS = Resource(RBAC, "v1", "RoleBinding", "rolebindings", namespaced=True)


def rule(group: str, resource: str, *verbs: str) -> dict[str, Any]:
    """A rule of a Role."""
    return {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}


OPERATOR = (
    rule("kopfbus.dev", "configtemplates", "get", "list", "watch"),
    rule("kopfbus.dev", "configtemplates/status", "patch"),
    rule("", "configmaps", "get", "list", "watch", "create", "update", "delete"),
    rule("", "events", "get", "create", "patch"),
    rule("coordination.k8s.io", "leases", "get", "list", "watch", "create", "update"),
)
"""All that an operator of one namespace uses that watches ConfigMaps."""


async def grant(admin: KubeClient, namespace: str, user: str, name: str, *rules: dict[str, Any]) -> None:
    """Let a user do that in a namespace, from now on."""
    metadata = {"name": name, "namespace": namespace}
    await admin.create(ROLES, {"metadata": metadata, "rules": list(rules)})
    reference = {"apiGroup": RBAC, "kind": "Role", "name": name}
    subject = {"apiGroup": RBAC, "kind": "User", "name": user}
    await admin.create(BINDINGS, {"metadata": metadata, "roleRef": reference, "subjects": [subject]})
