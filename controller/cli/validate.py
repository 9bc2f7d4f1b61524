"""`kopfbus validate`: everything that the API server or the operator would say no to, without either."""

from __future__ import annotations

import asyncio

import click

from controller.cli.files import FILES, read
from controller.cli.offline import Workbench, permissive
from controller.cli.subjects import Subject, subjects
from controller.config.model import KIND
from controller.problems import Problem
from controller.validators.access import AccessPolicy


@click.command
@FILES
@click.option(
    "--trusted-namespace",
    "trusted_namespaces",
    multiple=True,
    metavar="NAME",
    help="As of `kopfbus run`; repeatable. With neither this nor --allow-secrets, everything is allowed.",
)
@click.option("--allow-secrets", is_flag=True, help="As of `kopfbus run`.")
@click.pass_context
def validate(
    ctx: click.Context, *, files: tuple[str, ...], trusted_namespaces: tuple[str, ...], allow_secrets: bool
) -> None:
    """Check ConfigTemplates: the model, unknown fields, templates, paths, access rules."""
    found = subjects(read(files))
    policy = permissive(found)
    if trusted_namespaces or allow_secrets:
        policy = AccessPolicy(frozenset(trusted_namespaces), allow_secrets)
    judged = asyncio.run(_judge(Workbench(policy), found))
    for subject, problems in judged:
        for problem in problems:
            click.echo(subject.tell(problem))
        if not problems:
            click.echo(f"{subject.source}: {KIND} {subject.template}: valid")
    ctx.exit(1 if any(problems for _, problems in judged) else 0)


async def _judge(bench: Workbench, found: list[Subject]) -> list[tuple[Subject, tuple[Problem, ...]]]:
    async with bench:
        return [(subject, await bench.judge(subject)) for subject in found]
