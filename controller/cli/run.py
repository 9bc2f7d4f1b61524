"""`kopfbus run`: one replica of the operator."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from typing import Any, Literal

import click

from controller.app import Application
from controller.cli.preflight import NotAdmitted, check_cluster
from controller.kube.client import KubeClient
from controller.kube.errors import KubeError
from controller.leadership.timings import LeaseTimings
from controller.observability.address import HttpAddress, HttpAddressError
from controller.observability.logs import configure_logging
from controller.settings import Settings
from controller.templating.renderer import RenderFailed
from controller.validators.plugins import PluginError

STOP_AT_LATEST = 28.0
"""Seconds from SIGTERM to the end of the process, whatever hangs; Kubernetes' own patience is 30 s."""

_LABEL = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_REFUSALS = (KubeError, NotAdmitted, HttpAddressError, PluginError, RenderFailed)
"""What keeps a replica from starting, each with a message for whoever started it."""


class ObjectName(click.ParamType[str]):
    """The name of a Kubernetes object: a DNS label, or with `dots` several of them."""

    name = "name"

    def __init__(self, *, dots: bool = False) -> None:
        self._pattern = re.compile(rf"{_LABEL}(\.{_LABEL})*" if dots else _LABEL)

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse what the API server would refuse again and again; empty is for the default."""
        if value and self._pattern.fullmatch(value) is None:
            self.fail(f"{value!r} is no name of a Kubernetes object", param, ctx)
        return value


NAMESPACE = ObjectName()


class WrongCall(click.ClickException):
    """Each option is good, but together they make no sense: one line says why, without the usage."""

    exit_code = 2


# Variables are KOPFBUS_LEASE_NAME and so on, without RUN: this is the command that containers run.
@click.command(context_settings={"auto_envvar_prefix": "KOPFBUS"})
@click.option(
    "--kubeconfig", metavar="FILE", help="Default: the pod's service account, else the usual kubeconfig."
)
@click.option("--context", metavar="NAME", help="The kubeconfig's context; default: its current one.")
@click.option(
    "--namespace",
    "namespaces",
    type=NAMESPACE,
    multiple=True,
    metavar="NAME",
    help="Serve ConfigTemplates of this namespace only; repeatable. Default: all namespaces.",
)
@click.option(
    "--trusted-namespace",
    "trusted_namespaces",
    type=NAMESPACE,
    multiple=True,
    metavar="NAME",
    help="Its ConfigTemplates may watch beyond it; repeatable. Default: the operator's own namespace.",
)
@click.option("--allow-secrets", is_flag=True, help="ConfigTemplates may watch and write Secrets.")
@click.option("--standalone", is_flag=True, help="One replica without leader election.")
@click.option(
    "--lease-name",
    type=ObjectName(dots=True),
    default="kopfbus",
    show_default=True,
    metavar="NAME",
    help="The Lease that replicas stand for.",
)
@click.option(
    "--lease-namespace",
    type=NAMESPACE,
    default="",
    metavar="NAME",
    help="Where the Lease is. Default: the operator's own namespace.",
)
@click.option("--lease-duration", default=15.0, show_default=True, metavar="SECONDS")
@click.option("--renew-deadline", default=10.0, show_default=True, metavar="SECONDS")
@click.option("--retry-period", default=2.0, show_default=True, metavar="SECONDS")
@click.option(
    "--identity", metavar="PREFIX", help="Begins the identity in the Lease, which is unique by itself."
)
@click.option(
    "--http-address", default="127.0.0.1:8080", show_default=True, metavar="HOST:PORT", help='"off" for none.'
)
@click.option("--log-format", type=click.Choice(["console", "json"]), default="console", show_default=True)
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
def run(
    *,
    lease_duration: float,
    renew_deadline: float,
    retry_period: float,
    log_format: Literal["console", "json"],
    log_level: str,
    **options: Any,
) -> None:
    """Run one replica, until SIGTERM or SIGINT."""
    configure_logging(format=log_format, level=log_level)
    try:
        timings = LeaseTimings(lease_duration, renew_deadline, retry_period)
        HttpAddress.parse(options["http_address"])
    except ValueError as error:
        raise WrongCall(str(error)) from None
    settings = Settings(timings=timings, **options)
    try:
        asyncio.run(_run(settings))
    except _REFUSALS as error:
        raise click.ClickException(" ".join(str(error).split())) from None


async def _run(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _stop, stop, number)
    client = await _unless(stop, asyncio.create_task(_admitted(settings)))
    if client is None:
        return
    try:
        await Application(settings, client).run(stop)
    finally:
        await client.close()


async def _admitted(settings: Settings) -> KubeClient:
    """A client of an API server that lets this replica work. Raises KubeError, NotAdmitted."""
    client = await KubeClient.connect(settings.kubeconfig, settings.context)
    try:
        await check_cluster(client, settings)
    except BaseException:
        await client.close()
        raise
    return client


async def _unless(stop: asyncio.Event, work: asyncio.Task[KubeClient]) -> KubeClient | None:
    """The work's result; None, and the work cancelled, if `stop` is set before it is done."""
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if work.done():
        return work.result()
    work.cancel()
    await asyncio.wait({work})
    return None


def _stop(stop: asyncio.Event, number: signal.Signals) -> None:
    """The first signal stops in order; the process ends at latest with the alarm, or with a second signal."""
    if stop.is_set():
        os._exit(128 + number)
    stop.set()
    signal.setitimer(signal.ITIMER_REAL, STOP_AT_LATEST)  # SIGALRM ends the process
