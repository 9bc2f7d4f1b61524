"""`kopfbus sandbox`: the in-memory API server, for trying things out."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import click

from controller.observability.logs import configure_logging
from controller.sandbox.server import Sandbox


@click.command
@click.option("--port", default=0, show_default=True, help="On 127.0.0.1; 0 takes a free one.")
@click.option(
    "--kubeconfig",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the kubeconfig there instead of printing it.",
)
def sandbox(port: int, kubeconfig: Path | None) -> None:
    """Serve an in-memory Kubernetes API, and print a kubeconfig for it; until SIGTERM or SIGINT."""
    configure_logging(format="console", level="warning")
    try:
        asyncio.run(_serve(port, kubeconfig))
    except OSError as error:
        raise click.ClickException(f"--port {port}: {error.strerror or error}") from None


async def _serve(port: int, kubeconfig: Path | None) -> None:
    server = Sandbox()
    await server.start(port=port)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if kubeconfig is None:
        click.echo(server.kubeconfig())
    else:
        # Moved into place when complete: whoever waits for the file may read it at once.
        draft = kubeconfig.with_name(f".{kubeconfig.name}.draft")
        draft.write_text(server.kubeconfig(), encoding="utf-8")
        draft.rename(kubeconfig)
    await stop.wait()
    await server.stop()
