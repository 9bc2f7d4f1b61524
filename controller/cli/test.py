"""`kopfbus test`: runs the tests in ConfigTemplates, and reports."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import click
from rich.console import Console
from rich.text import Text

from controller.cli.cases import Verdict, run_tests
from controller.cli.files import FILES, read
from controller.cli.offline import Workbench, permissive
from controller.cli.subjects import Subject, subjects
from controller.config.model import KIND
from controller.problems import Problem


@dataclass(frozen=True, slots=True)
class _Report:
    """What came of one ConfigTemplate; an invalid one is not tested."""

    subject: Subject
    problems: tuple[Problem, ...]
    verdicts: Sequence[Verdict]

    @property
    def failures(self) -> int:
        return sum(bool(verdict.problems) for verdict in self.verdicts)


@click.command
@FILES
@click.pass_context
def test(ctx: click.Context, *, files: tuple[str, ...]) -> None:
    """Run the tests that ConfigTemplates bring along in spec.tests."""
    found = subjects(read(files))
    reports = asyncio.run(_test(Workbench(permissive(found)), found))
    # Rich alone would leave bold text in, of which NO_COLOR says nothing; a log is to be plain.
    plain = bool(os.environ.get("NO_COLOR"))
    console = Console(highlight=False, soft_wrap=True, color_system=None if plain else "auto")
    for report in reports:
        for line in _lines(report):
            console.print(line)
    tests, failures = sum(len(r.verdicts) for r in reports), sum(r.failures for r in reports)
    console.print(f"passed: {tests - failures}, failed: {failures}")
    ctx.exit(1 if failures or any(report.problems for report in reports) else 0)


async def _test(bench: Workbench, found: Sequence[Subject]) -> list[_Report]:
    async with bench:
        reports = []
        for subject in found:
            problems = await bench.judge(subject)
            verdicts: Sequence[Verdict] = ()
            if subject.spec is not None and not problems:
                verdicts = await run_tests(bench, subject.template, subject.spec)
            reports.append(_Report(subject, problems, verdicts))
        return reports


def _lines(report: _Report) -> Iterator[Text]:
    for problem in report.problems:
        yield Text(report.subject.tell(problem), style="red")
    if report.problems:
        return
    heading = f"{report.subject.source}: {KIND} {report.subject.template}"
    yield Text(heading if report.verdicts else f"{heading}: no tests", style="bold")
    for verdict in report.verdicts:
        word, style = ("FAILED", "bold red") if verdict.problems else ("ok", "green")
        yield Text.assemble("  ", (f"{word:8}", style), verdict.name)
        for problem in verdict.problems:
            yield Text("\n".join(f"    {line}" for line in str(problem).splitlines()))
