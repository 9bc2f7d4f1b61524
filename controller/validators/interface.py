"""The extension point: one class with `validate`, one entry point, and it is asked.

class NoWildcardHosts(Validator[RenderedOutput]):
    name = "no-wildcard-hosts"
    stage = Stage.OUTPUT

    def validate(self, subject: RenderedOutput) -> Iterable[Problem]: ...
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Any, ClassVar, Generic, TypeVar

from controller.config.model import ConfigTemplateSpec
from controller.events import RenderedOutput
from controller.problems import Problem

__all__ = ["ConfigCandidate", "Problem", "RenderedOutput", "Stage", "Validator"]


class Stage(Enum):
    """What a validator judges."""

    CONFIG = "config"
    """A generation of a ConfigTemplate, before it comes into force."""
    OUTPUT = "output"
    """One rendered output, before it is published."""


@dataclass(frozen=True, slots=True)
class ConfigCandidate:
    """A generation that wants to come into force."""

    template: str
    """`namespace/name`"""
    spec: ConfigTemplateSpec

    @property
    def namespace(self) -> str:
        """The ConfigTemplate's own."""
        return self.template.split("/", maxsplit=1)[0]


S = TypeVar("S", bound=ConfigCandidate | RenderedOutput)


class Validator(ABC, Generic[S]):
    """Base of all validators. One instance serves all ConfigTemplates, several at a time."""

    name: ClassVar[str]
    stage: ClassVar[Stage]

    @abstractmethod
    def validate(self, subject: S) -> Iterable[Problem] | Awaitable[Iterable[Problem]]:
        """Find what is wrong; nothing means yes. Runs in a thread, unless it is `async def`."""


AnyValidator = Validator[Any]
