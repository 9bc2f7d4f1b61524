"""The command `kopfbus`: what it offers, and its exit codes: 0 good, 1 the subject is bad, 2 usage."""

from __future__ import annotations

import importlib
import os
import signal
import sys

import click

COMMANDS = {
    "run": "controller.cli.run:run",
    "demo": "controller.cli.demo:demo",
    "sandbox": "controller.cli.sandbox:sandbox",
    "render": "controller.cli.render:render",
    "validate": "controller.cli.validate:validate",
    "test": "controller.cli.test:test",
    "crd": "controller.cli.show:crd",
    "graph": "controller.cli.graph:graph",
    "version": "controller.cli.show:show_version",
}
"""Command -> where it is; a command's imports are made only when it is called."""


class LazyGroup(click.Group):
    """Imports a command when it is asked for: `kopfbus version` needs no kopf."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


@click.group(
    cls=LazyGroup, context_settings={"auto_envvar_prefix": "KOPFBUS", "help_option_names": ["-h", "--help"]}
)
def cli() -> None:
    """Render cluster state into validated configuration, with hot standby."""


def main() -> None:
    """Run the command line; what is wrong with the subject is one clear line and exit code 1."""
    # Process 1 of a container ignores SIGTERM unless it handles it, and `run` takes a second to import.
    signal.signal(signal.SIGTERM, lambda *_: os._exit(128 + signal.SIGTERM))
    sys.exit(cli(standalone_mode=True))
