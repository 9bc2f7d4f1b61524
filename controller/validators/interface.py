"""The extension point: one class with `validate` and one entry point, and it is asked.

class NoWildcardHosts(Validator):
    name = "no-wildcard-hosts"
    stage = Stage.OUTPUT

    def validate(self, subject: RenderedOutput) -> Iterable[Problem]: ...
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from controller.config.model import ConfigTemplateSpec
from controller.events import RenderedOutput
from controller.problems import Problem

__all__ = ["ConfigCandidate", "Problem", "RenderedOutput", "Stage", "Validator"]


class Stage(Enum):
    """What a validator judges."""

    CONFIG = "config"
    """A generation of a ConfigTemplate, before it comes into force: a `ConfigCandidate`."""
    OUTPUT = "output"
    """One rendered output, before it is published: a `RenderedOutput`."""


@dataclass(frozen=True, slots=True)
class ConfigCandidate:
    """A generation that wants to come into force."""

    template: str
    """`namespace/name`"""
    spec: ConfigTemplateSpec

    @property
    def namespace(self) -> str:
        """The ConfigTemplate's own."""
        return self.template.partition("/")[0]


class Validator(ABC):
    """Base of all validators. One instance serves all ConfigTemplates, in several threads at a time."""

    name: str
    """Small letters, digits and `-`, as in `outputs[].validators`; no two validators share one."""
    stage: Stage

    @abstractmethod
    def validate(
        self, subject: Any
    ) -> Iterable[Problem] | Awaitable[Iterable[Problem]] | AsyncIterator[Problem]:
        """Everything that is wrong with what its stage judges; nothing means yes.

        It runs in a thread of its own, generators included; an `async def`, with or without `yield`, runs in
        the operator's loop and must never block it. What it raises is a no that names the validator.
        """
