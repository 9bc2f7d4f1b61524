"""The ConfigTemplates that a command is about, out of the files it was given."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import click

from controller.cli.files import Manifest
from controller.config.model import GROUP, KIND, VERSION, ConfigTemplateSpec, SpecInvalid, parse_spec
from controller.problems import Problem

DEFAULT_NAMESPACE = "default"
"""Where an object is whose manifest names no namespace."""

_FIELDS = frozenset({"apiVersion", "kind", "metadata", "spec", "status"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One ConfigTemplate as it stands in a file; without a spec it does not follow the model."""

    source: str
    namespace: str
    name: str
    spec: ConfigTemplateSpec | None
    problems: tuple[Problem, ...] = ()

    @property
    def template(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"

    def tell(self, problem: Problem) -> str:
        """The problem with where to look for it: file, object, place in it."""
        return f"{self.source}: {KIND} {self.template}: {problem}"


def subjects(manifests: Iterable[Manifest]) -> list[Subject]:
    """All ConfigTemplates among these objects. Raises ClickException if there is none."""
    found = [_subject(manifest) for manifest in manifests if _is_ours(manifest)]
    if not found:
        raise click.ClickException(f"there is no {KIND} (apiVersion: {GROUP}/{VERSION}) in these files")
    return found


def _is_ours(manifest: Manifest) -> bool:
    return manifest.kind == KIND and manifest.api_version.partition("/")[0] == GROUP


def _subject(manifest: Manifest) -> Subject:
    problems = list(_header_problems(manifest))
    spec = None
    try:
        # Strict: the API server would prune an unknown field with a warning that is easily missed.
        spec = parse_spec(manifest.body.get("spec", {}), strict=True)
    except SpecInvalid as error:
        problems += error.problems
    return Subject(
        source=manifest.source,
        namespace=manifest.metadata.namespace or DEFAULT_NAMESPACE,
        name=manifest.metadata.name,
        spec=spec,
        problems=tuple(problems),
    )


def _header_problems(manifest: Manifest) -> Iterator[Problem]:
    served = f"{GROUP}/{VERSION}"
    if manifest.api_version != served:
        yield Problem(message=f"{manifest.api_version} is not served; write {served}", path="apiVersion")
    for name in sorted(manifest.body.keys() - _FIELDS):
        yield Problem(message=f"unknown field; known are {', '.join(sorted(_FIELDS))}", path=name)
