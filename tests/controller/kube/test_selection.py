"""What a failure says to the person who has to do something about it."""

from __future__ import annotations

import pytest

from controller.kube.errors import ApiError, ApiUnreachable, KindNotFound
from controller.kube.resource import LEASES, Resource
from controller.kube.selection import FailureReason, ScopeMismatch, Selection, explain

SELECTION = Selection("coordination.k8s.io/v1", "Lease")


@pytest.mark.parametrize(
    ("error", "status", "reason", "lasting"),
    [
        (ApiError(400, "BadRequest", "no such field"), 400, FailureReason.BAD_SELECTOR, True),
        (ApiError(401, "Unauthorized", "who?"), 401, FailureReason.UNAVAILABLE, False),
        (ApiError(403, "Forbidden", "no"), 403, FailureReason.FORBIDDEN, True),
        (ApiError(404, "NotFound", "no"), 404, FailureReason.KIND_NOT_FOUND, True),
        (ApiError(405, "MethodNotAllowed", "no"), 405, FailureReason.KIND_NOT_FOUND, True),
        (ApiError(429, "TooManyRequests", "later"), 429, FailureReason.UNAVAILABLE, False),
        (ApiError(503, "ServiceUnavailable", "later"), 503, FailureReason.UNAVAILABLE, False),
        (ApiUnreachable("refused"), 0, FailureReason.UNAVAILABLE, False),
        (KindNotFound("v1", "Nonsense"), 404, FailureReason.KIND_NOT_FOUND, True),
        (ScopeMismatch("Node"), 0, FailureReason.BAD_SELECTOR, True),
    ],
)
def test_each_error_has_its_reason(error, status, reason, lasting):
    failure = explain(error, SELECTION, "", LEASES)
    assert (failure.status, failure.reason, failure.lasting) == (status, reason, lasting)
    assert failure.message == str(error)
    assert bool(failure.missing_rule) == (reason is FailureReason.FORBIDDEN)


def test_the_missing_rule_can_be_pasted_into_a_role():
    failure = explain(ApiError(403, "Forbidden", "no"), SELECTION, "edge", LEASES)
    assert failure.missing_rule == (
        'apiGroups: ["coordination.k8s.io"], resources: ["leases"], verbs: ["list", "watch"]'
        " (in a Role of namespace edge)"
    )


def test_the_core_groups_name_is_empty_in_a_rule():
    nodes = Resource("", "v1", "Node", "nodes", namespaced=False)
    rule = explain(ApiError(403, "Forbidden", "no"), Selection("v1", "Node"), "", nodes).missing_rule
    assert rule.startswith('apiGroups: [""], resources: ["nodes"]')


def test_discovery_that_is_forbidden_has_no_rule_to_name():
    assert not explain(ApiError(403, "Forbidden", "no"), SELECTION, "", None).missing_rule


def test_a_failure_reads_as_one_line():
    failure = explain(ApiError(403, "Forbidden", "no"), SELECTION, "edge", LEASES)
    assert str(failure).startswith(
        "Lease in namespace edge: Forbidden: 403 Forbidden: no; missing RBAC rule: "
    )
    assert "in all namespaces" in str(explain(ApiUnreachable("x"), SELECTION, "", None))


def test_equal_selections_are_one_and_the_same_for_sharing():
    one, other = (Selection("v1", "ConfigMap", ("a",), ignore_fields=("data",)) for _ in range(2))
    assert len({one, other}) == 1
    assert Selection("v1", "ConfigMap", ("a",)) != one
