"""What a replica can be told from outside; the command line fills it in."""

from __future__ import annotations

from dataclasses import dataclass, field

from controller.leadership.timings import LeaseTimings


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """All options of `kopfbus run`, checked."""

    kubeconfig: str | None = None
    context: str | None = None
    namespaces: tuple[str, ...] = ()
    """Where ConfigTemplates are served; empty for all."""
    trusted_namespaces: tuple[str, ...] = ()
    """Whose ConfigTemplates may look beyond their namespace; empty for the operator's own."""
    allow_secrets: bool = False
    standalone: bool = False
    lease_name: str = "kopfbus"
    lease_namespace: str = ""
    """Empty for the operator's own namespace."""
    timings: LeaseTimings = field(default_factory=LeaseTimings)
    identity: str | None = None
    """A prefix of the identity, which is unique by itself."""
    http_address: str = ""
