"""What a replica does with a ConfigTemplate, without a cluster: ask all validators, render, ask again."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Self

import click

from controller.cli.subjects import Subject
from controller.clock import SystemClock
from controller.config.model import ConfigTemplateSpec
from controller.events import ConfigValidationRequest, OutputValidationRequest, RenderedOutput
from controller.observability.logs import configure_logging
from controller.problems import Problem
from controller.reconciler.coordinator import VALIDATION_TIMEOUT, render_job, rendered_outputs
from controller.runtime import Runtime
from controller.templating.renderer import Renderer, RenderFailed, WatchData
from controller.validators.builtin import AccessPolicy, all_validators
from controller.validators.component import hosted
from controller.validators.interface import Stage
from controller.validators.plugins import PluginError
from events import EventBus, Request, RequestTimeout


class Workbench:
    """Validators on a bus of their own, and a renderer: the operator's, so that both say the same.

    Make it outside an event loop: plug-ins are imported. Use it in one, in `async with`.

    Raises
    ------
    ClickException
        For a plug-in that cannot be used.
    """

    def __init__(self, policy: AccessPolicy) -> None:
        configure_logging(format="console", level="error")  # to stderr: stdout is for results
        self._renderer, self._bus = Renderer(), EventBus()
        try:
            self._validators = all_validators(self._renderer, policy)
        except PluginError as error:
            raise click.ClickException(str(error)) from None
        hosts = [hosted(validator) for validator in self._validators]
        self._runtime = Runtime(self._bus, hosts, clock=SystemClock())

    async def __aenter__(self) -> Self:
        await self._runtime.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runtime.stop(drain=1.0)
        await self._renderer.stop()

    async def judge(self, subject: Subject) -> tuple[Problem, ...]:
        """Everything that keeps a ConfigTemplate from coming into force."""
        if subject.spec is None:
            return subject.problems
        request = ConfigValidationRequest(template=subject.template, generation=1, spec=subject.spec)
        return (*subject.problems, *await self._ask(request, Stage.CONFIG))

    async def render(self, spec: ConfigTemplateSpec, watches: tuple[WatchData, ...]) -> dict[str, str]:
        """The text of each output. Raises RenderFailed, or ClickException for a fault of the machinery.

        Nothing is withheld: whoever runs this has the objects before him.
        """
        try:
            return await self._renderer.render(replace(render_job(spec, watches), sensitive=False))
        except RenderFailed as error:
            if error.kind == "internal":
                raise click.ClickException(str(error)) from None
            raise

    async def judge_outputs(
        self, template: str, spec: ConfigTemplateSpec, texts: dict[str, str]
    ) -> tuple[Problem, ...]:
        """Everything that keeps a render from being published."""
        outputs: tuple[RenderedOutput, ...] = tuple(
            replace(output, sensitive=False) for output in rendered_outputs(template, spec, texts)
        )
        return await self._ask(OutputValidationRequest(template=template, outputs=outputs), Stage.OUTPUT)

    async def _ask(self, request: Request, stage: Stage) -> tuple[Problem, ...]:
        names = [validator.name for validator in self._validators if validator.stage is stage]
        try:
            result = await self._bus.request(request, names, timeout=VALIDATION_TIMEOUT)
        except RequestTimeout as error:
            return tuple(
                Problem(message=f"validator {name} did not answer within {VALIDATION_TIMEOUT:g} s")
                for name in error.result.missing
            )
        return tuple(problem for name in names for problem in result.responses[name].problems)


def permissive(subjects: Iterable[Subject]) -> AccessPolicy:
    """The access rules where no operator's settings are known: each of these may do what it wants."""
    return AccessPolicy(frozenset(subject.namespace for subject in subjects), allow_secrets=True)
