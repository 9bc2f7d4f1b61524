"""What a ConfigTemplate may see and write: whoever may create one gains no rights by it (X2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from controller.config.model import Watch
from controller.problems import Problem
from controller.validators.interface import ConfigCandidate, Stage, Validator


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """The operator's settings that widen what ConfigTemplates may do."""

    trusted_namespaces: frozenset[str]
    """Their ConfigTemplates may watch other namespaces, all, and cluster-scoped kinds."""
    allow_secrets: bool
    """Secrets may be watched and written."""


class Access(Validator):
    """Holds ConfigTemplates to the operator's settings.

    That a kind is cluster-scoped only the API server knows: without allNamespaces, a watch of one fails.
    """

    name = "access"
    stage = Stage.CONFIG

    def __init__(self, policy: AccessPolicy) -> None:
        self._policy = policy

    def validate(self, subject: ConfigCandidate) -> Iterator[Problem]:
        """Namespaces first, then Secrets."""
        if subject.namespace not in self._policy.trusted_namespaces:
            for number, watch in enumerate(subject.spec.watches):
                yield from _beyond(watch, f"spec.watches[{number}]", subject.namespace)
        yield from self._secrets(subject)

    def _secrets(self, subject: ConfigCandidate) -> Iterator[Problem]:
        spec, allowed = subject.spec, self._policy.allow_secrets
        for number, watch in enumerate(spec.watches):
            if (watch.api_version, watch.kind) == ("v1", "Secret") and not allowed:
                message = "Secrets may not be watched: the operator runs without --allow-secrets"
                yield _secrets(f"spec.watches[{number}].kind", message)
        for number, output in enumerate(spec.outputs):
            path = f"spec.outputs[{number}].target.kind"
            if output.target.kind == "Secret" and not allowed:
                yield _secrets(path, "Secrets may not be written: the operator runs without --allow-secrets")
            elif output.target.kind != "Secret" and spec.watches_secrets:
                yield _secrets(path, "a ConfigTemplate that watches Secrets may write only Secrets")


def _beyond(watch: Watch, path: str, own: str) -> Iterator[Problem]:
    rule = f"only trusted namespaces may look beyond themselves, and {own} is none (--trusted-namespace)"
    if watch.all_namespaces:
        yield Problem(
            message=f"all namespaces: {rule}", path=f"{path}.allNamespaces", reason="NamespaceNotAllowed"
        )
    for number, namespace in enumerate(watch.namespaces):
        if namespace != own:
            message = f"namespace {namespace}: {rule}"
            yield Problem(message=message, path=f"{path}.namespaces[{number}]", reason="NamespaceNotAllowed")


def _secrets(path: str, message: str) -> Problem:
    return Problem(message=message, path=path, reason="SecretsNotAllowed")
