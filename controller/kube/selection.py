"""What a watch selects, and why it may fail: the informer's vocabulary."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from controller.kube.errors import ApiError, KindNotFound, KubeError
from controller.kube.resource import Resource


@dataclass(frozen=True, slots=True)
class Selection:
    """What to watch. Equal selections are served by one informer (S4)."""

    api_version: str
    kind: str
    namespaces: tuple[str, ...] = ()
    """Empty: all namespaces, or the kind has none."""
    label_selector: str = ""
    field_selector: str = ""
    ignore_fields: tuple[str, ...] = ()

    @property
    def query(self) -> dict[str, str]:
        """The selectors as parameters of LIST and WATCH."""
        selectors = {"labelSelector": self.label_selector, "fieldSelector": self.field_selector}
        return {name: text for name, text in selectors.items() if text}


class ScopeMismatch(KubeError):
    """Namespaces were named for a kind that has none; to ignore them would show more than was asked (X2)."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"{kind} is cluster-scoped: it can be watched with allNamespaces only")


class FailureReason(StrEnum):
    """Why a watch does not deliver; used as a condition's reason."""

    KIND_NOT_FOUND = "KindNotFound"
    BAD_SELECTOR = "BadSelector"
    FORBIDDEN = "Forbidden"
    UNAVAILABLE = "Unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchFailure:
    """A watch does not deliver (S3). `status` is HTTP's, 0 without an answer; `namespace` empty for all."""

    kind: str
    namespace: str
    status: int
    reason: FailureReason
    message: str
    missing_rule: str = ""
    """The RBAC rule that would allow it, for reason Forbidden."""

    @property
    def lasting(self) -> bool:
        """Somebody has to change something first: trying often is of no use."""
        return self.reason is not FailureReason.UNAVAILABLE

    def __str__(self) -> str:
        where = f"namespace {self.namespace}" if self.namespace else "all namespaces"
        rule = f"; missing RBAC rule: {self.missing_rule}" if self.missing_rule else ""
        return f"{self.kind} in {where}: {self.reason}: {self.message}{rule}"


def explain(
    error: KubeError, selection: Selection, namespace: str, resource: Resource | None
) -> WatchFailure:
    """What a failed LIST or WATCH of that namespace means."""
    status = error.status if isinstance(error, ApiError) else 404 if isinstance(error, KindNotFound) else 0
    reason = _reason(error, status)
    forbidden = reason is FailureReason.FORBIDDEN and resource is not None
    return WatchFailure(
        kind=selection.kind,
        namespace=namespace,
        status=status,
        reason=reason,
        message=str(error),
        missing_rule=_missing_rule(resource, namespace) if forbidden and resource else "",
    )


def _reason(error: KubeError, status: int) -> FailureReason:
    if isinstance(error, ScopeMismatch) or status == 400:
        return FailureReason.BAD_SELECTOR
    if status in {404, 405}:  # 405: a kind that can be created but not listed, such as SubjectAccessReview
        return FailureReason.KIND_NOT_FOUND
    return FailureReason.FORBIDDEN if status == 403 else FailureReason.UNAVAILABLE


def _missing_rule(resource: Resource, namespace: str) -> str:
    where = f"in a Role of namespace {namespace}" if namespace else "in a ClusterRole"
    rule = f'apiGroups: ["{resource.group}"], resources: ["{resource.plural}"], verbs: ["list", "watch"]'
    return f"{rule} ({where})"
