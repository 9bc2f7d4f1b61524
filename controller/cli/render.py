"""`kopfbus render`: what a ConfigTemplate would publish, given these objects."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import click

from controller.cli.files import FILES, Manifest, read
from controller.cli.objects import NotSelectable, watch_data
from controller.cli.offline import Workbench, permissive
from controller.cli.subjects import Subject, subjects
from controller.config.model import Output
from controller.problems import Problem
from controller.templating.renderer import RenderFailed


@dataclass(frozen=True, slots=True)
class _Text:
    template: str
    output: Output
    text: str

    @property
    def heading(self) -> str:
        target = self.output.target
        return f"# {self.template}: {self.output.name} ({target.kind} {target.name}, key {target.key})"


@click.command
@FILES
@click.option(
    "--objects",
    multiple=True,
    metavar="FILE|DIR",
    type=click.Path(exists=True, allow_dash=True),
    help="Manifests of objects to render from; repeatable. Those in FILE count as well.",
)
@click.option("--output", metavar="NAME", help="Print this output alone, exactly as it would be published.")
@click.pass_context
def render(
    ctx: click.Context, *, files: tuple[str, ...], objects: tuple[str, ...], output: str | None
) -> None:
    """Render ConfigTemplates from manifests, and print the outputs."""
    manifests = read(files)
    found = subjects(manifests)
    _check_wanted(found, output)
    manifests += read(objects)
    texts, problems = asyncio.run(_render(Workbench(permissive(found)), found, manifests))
    if problems:
        click.echo("\n".join(problems), err=True)
        ctx.exit(1)
    wanted = [text for text in texts if output in {None, text.output.name}]
    for text in wanted:
        if len(wanted) > 1:
            click.echo(text.heading)
        ended = len(wanted) == 1 or text.text.endswith("\n")
        click.echo(text.text, nl=not ended)


def _check_wanted(found: Sequence[Subject], output: str | None) -> None:
    names = [one.name for subject in found if subject.spec is not None for one in subject.spec.outputs]
    if output is not None and names and names.count(output) != 1:
        what = "in several ConfigTemplates" if output in names else "not there"
        raise click.UsageError(f"output {output!r} is {what}; the outputs are: {', '.join(names)}")


async def _render(
    bench: Workbench, found: Sequence[Subject], manifests: Sequence[Manifest]
) -> tuple[list[_Text], list[str]]:
    """The texts of all ConfigTemplates, and everything that was in the way."""
    texts: list[_Text] = []
    problems: list[str] = []
    async with bench:
        for subject in found:
            try:
                texts += await _render_one(bench, subject, manifests)
            except _Refused as error:
                problems += [subject.tell(problem) for problem in error.problems]
    return texts, problems


class _Refused(Exception):
    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__()
        self.problems = problems


async def _render_one(bench: Workbench, subject: Subject, manifests: Sequence[Manifest]) -> list[_Text]:
    problems = await bench.judge(subject)
    if problems or subject.spec is None:
        raise _Refused(problems)
    try:
        data = watch_data(subject.template, subject.spec, manifests)
        texts = await bench.render(subject.spec, data)
    except (NotSelectable, RenderFailed) as error:
        raise _Refused((error.problem,)) from None
    return [_Text(subject.template, output, texts[output.name]) for output in subject.spec.outputs]
