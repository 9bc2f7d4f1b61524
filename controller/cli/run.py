"""`kopfbus run`: one replica of the operator."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any, Literal

import click

from controller.app import Application
from controller.cli.preflight import MissingRights, check_cluster
from controller.kube.client import KubeClient
from controller.kube.errors import KubeError
from controller.leadership.timings import LeaseTimings
from controller.observability.address import HttpAddressError
from controller.observability.logs import configure_logging
from controller.settings import Settings
from controller.validators.plugins import PluginError

STOP_AT_LATEST = 28.0
"""Seconds from SIGTERM to the end of the process, whatever hangs; Kubernetes' own patience is 30 s."""


@click.command
@click.option(
    "--kubeconfig", metavar="FILE", help="Default: the pod's service account, else the usual kubeconfig."
)
@click.option("--context", metavar="NAME", help="The kubeconfig's context; default: its current one.")
@click.option(
    "--namespace",
    "namespaces",
    multiple=True,
    metavar="NAME",
    help="Serve ConfigTemplates of this namespace only; repeatable. Default: all namespaces.",
)
@click.option(
    "--trusted-namespace",
    "trusted_namespaces",
    multiple=True,
    metavar="NAME",
    help="Its ConfigTemplates may watch beyond it; repeatable. Default: the operator's own namespace.",
)
@click.option("--allow-secrets", is_flag=True, help="ConfigTemplates may watch and write Secrets.")
@click.option("--standalone", is_flag=True, help="One replica without leader election.")
@click.option("--lease-name", default="kopfbus", show_default=True)
@click.option("--lease-namespace", default="", help="Default: the operator's own namespace.")
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
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    settings = Settings(timings=timings, **options)
    try:
        asyncio.run(_run(settings))
    except (KubeError, HttpAddressError, PluginError, MissingRights) as error:
        raise click.ClickException(str(error)) from None


async def _run(settings: Settings) -> None:
    client = await KubeClient.connect(settings.kubeconfig, settings.context)
    try:
        await check_cluster(client, settings)
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _stop, stop, number)
        await Application(settings, client).run(stop)
    finally:
        await client.close()


def _stop(stop: asyncio.Event, number: signal.Signals) -> None:
    """The first signal stops in order; the process ends at latest with the alarm, or with a second signal."""
    if stop.is_set():
        os._exit(128 + number)
    stop.set()
    signal.setitimer(signal.ITIMER_REAL, STOP_AT_LATEST)  # SIGALRM ends the process
