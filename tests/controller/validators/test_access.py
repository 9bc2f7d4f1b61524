"""Access rules (X2): nobody gains rights by creating a ConfigTemplate."""

from __future__ import annotations

from typing import Any

import pytest

from controller.validators.access import Access, AccessPolicy
from tests.controller.validators.support import TARGET, candidate, watch

STRICT = AccessPolicy(frozenset(), allow_secrets=False)
TRUSTING = AccessPolicy(frozenset({"edge"}), allow_secrets=False)
WITH_SECRETS = AccessPolicy(frozenset(), allow_secrets=True)

SECRETS = watch("secrets", "Secret", apiVersion="v1")
TO_CONFIG_MAP = {"name": "a", "template": "", "target": TARGET}
TO_SECRET = {"name": "b", "template": "", "target": {"kind": "Secret", **TARGET}}


def refused(policy: AccessPolicy, **spec: Any) -> list[tuple[str, str]]:
    """Where, and with which reason."""
    return [(problem.path, problem.reason) for problem in Access(policy).validate(candidate(**spec))]


def test_the_own_namespace_may_be_watched_named_or_not():
    assert refused(STRICT, watches=[watch(), watch("more", namespaces=["edge"])]) == []


@pytest.mark.parametrize(
    ("beyond", "place"),
    [
        ({"namespaces": ["edge", "other"]}, "spec.watches[0].namespaces[1]"),
        ({"allNamespaces": True}, "spec.watches[0].allNamespaces"),
    ],
)
def test_only_trusted_namespaces_look_beyond_themselves(beyond, place):
    assert refused(STRICT, watches=[watch(**beyond)]) == [(place, "NamespaceNotAllowed")]
    assert refused(TRUSTING, watches=[watch(**beyond)]) == []


def test_every_namespace_beyond_is_named():
    (first, second) = Access(STRICT).validate(candidate(watches=[watch(namespaces=["one", "two"])]))
    assert "namespace one: " in str(first)
    assert "namespace two: " in str(second)


def test_secrets_are_watched_only_where_the_operator_allows_it():
    spec: dict[str, Any] = {"watches": [watch(), SECRETS], "outputs": [TO_SECRET]}
    assert ("spec.watches[1].kind", "SecretsNotAllowed") in refused(STRICT, **spec)
    assert refused(WITH_SECRETS, **spec) == []


def test_a_kind_called_secret_of_another_group_is_no_secret():
    other = watch("theirs", "Secret", apiVersion="example.org/v1")
    assert refused(STRICT, watches=[other]) == []


def test_secrets_are_written_only_where_the_operator_allows_it():
    assert refused(STRICT, outputs=[TO_SECRET]) == [("spec.outputs[0].target.kind", "SecretsNotAllowed")]
    assert refused(WITH_SECRETS, outputs=[TO_SECRET]) == []


def test_who_watches_secrets_writes_only_secrets():
    to_other_key = {**TO_CONFIG_MAP, "target": {"name": "web", "key": "other"}}
    spec: dict[str, Any] = {"watches": [SECRETS], "outputs": [TO_SECRET, to_other_key]}
    assert refused(WITH_SECRETS, **spec) == [("spec.outputs[1].target.kind", "SecretsNotAllowed")]


def test_trust_does_not_allow_secrets():
    spec: dict[str, Any] = {"watches": [SECRETS], "outputs": [TO_SECRET]}
    assert {reason for _, reason in refused(TRUSTING, **spec)} == {"SecretsNotAllowed"}
