"""The built-in validators of rendered outputs that need not read them: nonempty and size."""

from __future__ import annotations

from collections.abc import Iterator

from controller.problems import Problem
from controller.validators.interface import RenderedOutput, Stage, Validator

MAX_BYTES = 1 << 20
"""More than this no ConfigMap or Secret holds (apimachinery's MaxSecretSize), all its keys together."""


class NonEmpty(Validator):
    """An output of nothing but white space is a mistake, unless it is allowed."""

    name = "nonempty"
    stage = Stage.OUTPUT

    def validate(self, subject: RenderedOutput) -> Iterator[Problem]:
        """Whether there is anything."""
        if not subject.allow_empty and not subject.text.strip():
            yield Problem(message="the rendered text is empty; allowEmpty: true would allow it")


class Size(Validator):
    """An output fits into a target. What several outputs need in one target, the publisher adds up."""

    name = "size"
    stage = Stage.OUTPUT

    def validate(self, subject: RenderedOutput) -> Iterator[Problem]:
        """Its size in bytes of UTF-8."""
        size = len(subject.text.encode())
        if size > MAX_BYTES:
            message = f"the rendered text has {size:,} bytes, but a {subject.target.kind} holds {MAX_BYTES:,}"
            yield Problem(message=message, reason="TooLarge")
