"""Every test here runs twice, against the sandbox and against a real API server, so that the two cannot drift."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import aiohttp
import pytest

from controller.sandbox.server import Sandbox
from tests.support.apiclient import ApiClient

CORE = "/api/v1"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
GROUP = "conformance.kopfbus.dev"


@dataclass(frozen=True)
class Server(ApiClient):
    """One server under test, and a namespace of the test's own."""

    session: aiohttp.ClientSession
    namespace: str
    forget_history: Callable[[], Awaitable[None]]
    """Compacts what came before: whoever resumes from there gets 410."""

    def __post_init__(self) -> None:
        super().__init__(self.session)

    @property
    def configmaps(self) -> str:
        return f"{CORE}/namespaces/{self.namespace}/configmaps"

    @property
    def secrets(self) -> str:
        return f"{CORE}/namespaces/{self.namespace}/secrets"

    @property
    def leases(self) -> str:
        return f"/apis/coordination.k8s.io/v1/namespaces/{self.namespace}/leases"

    @property
    def widgets(self) -> str:
        return f"/apis/{GROUP}/v1/namespaces/{self.namespace}/widgets"
