"""No wildcards among our hosts."""

from collections.abc import Iterable

from controller.validators.interface import Problem, RenderedOutput, Stage, Validator


class NoWildcardHosts(Validator):
    name = "no-wildcard-hosts"
    stage = Stage.OUTPUT

    def validate(self, subject: RenderedOutput) -> Iterable[Problem]:
        for number, line in enumerate(subject.text.splitlines(), start=1):
            if "*." in line:
                yield Problem(message="no wildcards, please", line=number, source_line=line)
