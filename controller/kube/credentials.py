"""Where the API server is and who we are there: the pod's service account or a kubeconfig, kept fresh.

`kubernetes.aio` reads both, with everything people put into kubeconfigs: token files, exec plugins, OIDC,
client certificates, proxies. What it leaves to its users is done here: clear errors, and renewal.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from pathlib import Path
from typing import Protocol

import kopf
import structlog
import yaml
from kubernetes.aio.client import ApiClient, Configuration
from kubernetes.aio.config import ConfigException
from kubernetes.aio.config.incluster_config import InClusterConfigLoader
from kubernetes.aio.config.kube_config import ConfigNode, KubeConfigLoader, KubeConfigMerger

from controller.kube.errors import KubeConfigError

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
RENEW_INTERVAL = 60.0
"""Seconds after which a token file or a plugin's expiry is looked at again, as client-go does."""
LOAD_TIMEOUT = 30.0
"""Seconds for an exec plugin or an OIDC refresh."""

# What the loaders raise for files that are not what they should be.
_MALFORMED = (ConfigException, yaml.YAMLError, OSError, ValueError, LookupError, TypeError, AttributeError)
_log = structlog.get_logger("kopfbus.kube")


class Source(Protocol):
    """Something that can fill in a Configuration, again and again."""

    name: str
    namespace: str

    async def fill(self, configuration: Configuration) -> None:
        """Set server, TLS files and token as they are now."""
        ...


class ServiceAccount:
    """What Kubernetes puts into every pod."""

    name = "the pod's service account"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        namespace = folder / "namespace"
        self.namespace = namespace.read_text(encoding="utf-8").strip() if namespace.exists() else "default"

    async def fill(self, configuration: Configuration) -> None:
        """Read the mounted files; kubelet replaces the token before it expires."""
        loader = InClusterConfigLoader(  # type: ignore[no-untyped-call] # not annotated
            token_filename=str(self._folder / "token"),
            cert_filename=str(self._folder / "ca.crt"),
            try_refresh_token=False,
        )
        loader.load_and_set(configuration)  # type: ignore[no-untyped-call] # not annotated


class Kubeconfig:
    """One context of a kubeconfig; `paths` may be a list, as in the KUBECONFIG variable."""

    def __init__(self, paths: str, context: str | None) -> None:
        if not any(Path(path).expanduser().is_file() for path in paths.split(os.pathsep) if path):
            raise KubeConfigError(
                f"kubeconfig {paths}: no such file; name one with --kubeconfig or in KUBECONFIG"
            )
        merged = KubeConfigMerger(paths).config  # type: ignore[no-untyped-call] # not annotated
        known = [entry["name"] for entry in merged.value["contexts"]]
        wanted = context or merged.value.get("current-context") or ""
        if wanted not in known:
            why = f'no context "{wanted}"' if wanted else "no current-context"
            raise KubeConfigError(f"kubeconfig {paths}: {why}; it has: {', '.join(known) or 'none'}")
        self._loader = KubeConfigLoader(merged, active_context=wanted, config_base_path=None)  # type: ignore[no-untyped-call] # not annotated
        chosen = self._loader.current_context["context"]
        self._plugin = _exec_command(merged.value["users"], chosen.get("user"))
        self._filled = False
        self.name = f"kubeconfig {paths}, context {wanted}"
        self.namespace: str = chosen.get("namespace") or "default"

    async def fill(self, configuration: Configuration) -> None:
        """Read token files again, ask plugins whose answer has expired."""
        if self._filled and self._plugin and not hasattr(self._loader, "exec_plugin_expiry"):
            return  # a plugin whose answer does not expire is asked once, and again after a 401
        await self._loader.load_and_set(configuration)  # type: ignore[no-untyped-call] # not annotated
        if self._plugin and not (configuration.api_key or configuration.cert_file):
            raise KubeConfigError(f"{self.name}: the exec plugin {self._plugin} gave no credentials")
        self._filled = True


class Credentials:
    """The current transport and Authorization header. Belongs to one loop."""

    def __init__(self, kubeconfig: str | None, context: str | None) -> None:
        self._kubeconfig = kubeconfig
        self._context = context
        self._lock = asyncio.Lock()
        self._retired: ApiClient | None = None
        self._looked_at = 0.0
        self.version = 0
        """Counts the reloads, so that of many callers with the same 401 only the first reloads."""
        self.source: Source
        self.configuration: Configuration
        self.api: ApiClient
        """Holds the connections; another one after a reload."""

    @classmethod
    async def load(cls, kubeconfig: str | None, context: str | None) -> Credentials:
        """Take the kubeconfig if one is named, else the pod's account, else the usual kubeconfig."""
        credentials = cls(kubeconfig, context)
        await credentials.reload(credentials.version)
        return credentials

    async def reload(self, seen: int) -> None:
        """Start afresh from the files, unless that was done since `version` was `seen`.

        Raises KubeConfigError; what is in hand stays then.
        Requests under way keep the old connections, which are closed at the reload after this one.
        """
        async with self._lock:
            if seen != self.version:
                return
            source, configuration, api = await self._from_scratch()
            if self.version:
                await self._retire(self.api)
            self.source, self.configuration, self.api = source, configuration, api
            self.version += 1
            self._looked_at = time.monotonic()

    async def authorization(self) -> str:
        """The header's value, empty if there is none (client certificates); renewed when it is due."""
        if time.monotonic() - self._looked_at > RENEW_INTERVAL:
            async with self._lock:
                await self._renew()
        return str(self.configuration.api_key.get("BearerToken", "")).strip()

    async def kopf_connection(self) -> kopf.ConnectionInfo:
        """The same credentials, read afresh, for kopf's own session; see `KubeClient.kopf_connection`."""
        await self.reload(self.version)
        configuration = self.configuration
        scheme, _, token = (await self.authorization()).partition(" ")
        return kopf.ConnectionInfo(
            server=configuration.host,
            ca_path=configuration.ssl_ca_cert,
            insecure=not configuration.verify_ssl,
            scheme=scheme or None,
            token=token or None,
            certificate_path=configuration.cert_file,
            private_key_path=configuration.key_file,
            default_namespace=self.source.namespace,
            proxy_url=configuration.proxy,
            trust_env=True,
        )

    async def close(self) -> None:
        """Close all connections."""
        await self._retire(self.api)
        await self._retire(None)

    async def _from_scratch(self) -> tuple[Source, Configuration, ApiClient]:
        configuration = Configuration()
        # aiohttp's limit counts open watches too: a hundred would leave no connection for a lease renewal.
        configuration.connection_pool_maxsize = 0
        paths = self._kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
        place = f"kubeconfig {paths}"
        try:
            source: Source = (
                ServiceAccount(SERVICE_ACCOUNT) if self._in_pod() else Kubeconfig(paths, self._context)
            )
            place = source.name
            async with asyncio.timeout(LOAD_TIMEOUT):
                await source.fill(configuration)
            return source, configuration, ApiClient(configuration)
        except TimeoutError:
            raise KubeConfigError(f"{place}: no credentials within {LOAD_TIMEOUT:.0f} s") from None
        except ssl.SSLError as error:
            files = (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file)
            named = ", ".join(file for file in files if file)
            raise KubeConfigError(f"{place}: TLS cannot use {named}: {error}") from error
        except _MALFORMED as error:
            raise KubeConfigError(f"{place}: {' '.join(str(error).split())}") from error

    def _in_pod(self) -> bool:
        asked_for = self._kubeconfig is not None or self._context is not None
        return (
            not asked_for and "KUBERNETES_SERVICE_HOST" in os.environ and (SERVICE_ACCOUNT / "token").exists()
        )

    async def _renew(self) -> None:
        """Look at files and expiries again; what is in hand stays if that fails, the server is the judge."""
        if time.monotonic() - self._looked_at <= RENEW_INTERVAL:
            return
        self._looked_at = time.monotonic()
        try:
            async with asyncio.timeout(LOAD_TIMEOUT / 10):
                await self.source.fill(self.configuration)
        except (*_MALFORMED, KubeConfigError) as error:
            _log.warning("credentials not renewed", source=self.source.name, error=str(error))

    async def _retire(self, api: ApiClient | None) -> None:
        if self._retired is not None:
            await self._retired.close()  # type: ignore[no-untyped-call] # not annotated
        self._retired = api


def _exec_command(users: list[ConfigNode], user: str | None) -> str:
    """The exec plugin that this user's credentials come from, empty if there is none."""
    for entry in users:
        if entry["name"] == user and "exec" in entry["user"]:
            return str(entry["user"]["exec"].safe_get("command"))
    return ""
