"""What a ConfigTemplate may see and write (X2)."""

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
    allow_secrets: bool


class Access(Validator[ConfigCandidate]):
    """Whoever may create a ConfigTemplate must not read or write by it what he could not without."""

    name = "access"
    stage = Stage.CONFIG

    def __init__(self, policy: AccessPolicy) -> None:
        self._policy = policy

    def validate(self, subject: ConfigCandidate) -> Iterator[Problem]:
        """Namespaces and Secrets."""
        trusted = subject.namespace in self._policy.trusted_namespaces
        for number, watch in enumerate(subject.spec.watches):
            if not trusted:
                yield from _beyond(watch, f"spec.watches[{number}]", subject.namespace)
        yield from self._secrets(subject)

    def _secrets(self, subject: ConfigCandidate) -> Iterator[Problem]:
        spec = subject.spec
        for number, watch in enumerate(spec.watches):
            if (watch.api_version, watch.kind) == ("v1", "Secret") and not self._policy.allow_secrets:
                yield _secrets(
                    f"spec.watches[{number}].kind",
                    "Secrets may not be watched: the operator runs without --allow-secrets",
                )
        for number, output in enumerate(spec.outputs):
            path = f"spec.outputs[{number}].target.kind"
            if output.target.kind == "Secret" and not self._policy.allow_secrets:
                yield _secrets(path, "Secrets may not be written: the operator runs without --allow-secrets")
            elif output.target.kind != "Secret" and spec.watches_secrets:
                yield _secrets(path, "a ConfigTemplate that watches Secrets may write only Secrets")


def _beyond(watch: Watch, path: str, own: str) -> Iterator[Problem]:
    rule = f"only trusted namespaces may look beyond themselves, and {own} is none (--trusted-namespace)"
    if watch.all_namespaces:
        yield Problem(message=rule, path=f"{path}.allNamespaces", reason="NamespaceNotAllowed")
    for number, namespace in enumerate(watch.namespaces):
        if namespace != own:
            message = f"namespace {namespace}: {rule}"
            yield Problem(message=message, path=f"{path}.namespaces[{number}]", reason="NamespaceNotAllowed")


def _secrets(path: str, message: str) -> Problem:
    return Problem(message=message, path=path, reason="SecretsNotAllowed")
