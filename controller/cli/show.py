"""Commands that only print: `kopfbus crd`, `kopfbus version`."""

from __future__ import annotations

from importlib.metadata import version

import click

from controller.config.crd import crd_yaml


@click.command
def crd() -> None:
    """Print the CustomResourceDefinition, for `kubectl create -f -`."""
    click.echo(crd_yaml(), nl=False)


@click.command("version")
def show_version() -> None:
    """Print the version."""
    click.echo(version("kopfbus"))
