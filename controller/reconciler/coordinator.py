"""From a trigger to a validated render: snapshot, render in a child process, ask the validators (P3)."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from controller.component import Component, on
from controller.config.model import ConfigTemplateSpec
from controller.events import (
    ConfigValidated,
    OutputValidationRequest,
    ReconciliationStarted,
    ReconciliationTriggered,
    RenderedOutput,
    TemplateRendered,
    TemplateRenderFailed,
    ValidationCompleted,
    ValidationFailed,
)
from controller.problems import Problem
from controller.reconciler.schedule import RENDERER_FAILED
from controller.templating.renderer import Kind, Renderer, RenderFailed, RenderJob, WatchData
from events import Delivery, Event, RequestDropped, RequestTimeout

VALIDATION_TIMEOUT = 10.0
"""Seconds that validators have to answer."""
_REASONS: Mapping[Kind, str] = {
    "template": "RenderFailed",
    "limit": "RenderLimitExceeded",
    "internal": RENDERER_FAILED,
}

InForce = Callable[[str], ConfigValidated | None]
"""The generation in force of a ConfigTemplate, as this replica holds it now."""
Snapshot = Callable[[str, str, int], tuple[WatchData, ...] | None]
"""What (template, uid, generation) watches, as of now; None when that is not what is being watched."""


class Coordinator(Component):
    """Renders and has validated; one ConfigTemplate at a time in order, different ones side by side."""

    name = "coordinator"
    publishes: ClassVar[tuple[type[Event], ...]] = (
        ReconciliationStarted,
        TemplateRendered,
        TemplateRenderFailed,
        OutputValidationRequest,
        ValidationCompleted,
        ValidationFailed,
    )
    leader_only = True
    delivery = Delivery.LATEST

    def __init__(
        self, in_force: InForce, snapshot: Snapshot, renderer: Renderer, validators: Sequence[str]
    ) -> None:
        self._in_force = in_force
        self._snapshot = snapshot
        self._renderer = renderer
        self._validators = tuple(validators)

    @on(ReconciliationTriggered, per="template")
    async def reconcile(self, event: ReconciliationTriggered) -> None:
        """Render what is in force now, and offer it to the validators."""
        config = self._in_force(event.template)
        watches = self._snapshot(event.template, config.uid, config.generation) if config else None
        if config is None or watches is None:
            return  # a newer trigger comes with what it waits for
        self.publish(
            ReconciliationStarted(
                template=event.template,
                generation=config.generation,
                reason=event.reason,
                reconciliation=event.id,
            )
        )
        outputs = await self._render(event, config, watches)
        if outputs is not None:
            await self._validate(event, config, outputs)

    async def _render(
        self, event: ReconciliationTriggered, config: ConfigValidated, watches: tuple[WatchData, ...]
    ) -> tuple[RenderedOutput, ...] | None:
        started = time.monotonic()
        try:
            texts = await self._renderer.render(render_job(config.spec, watches))
        except RenderFailed as error:
            self.publish(
                TemplateRenderFailed(
                    template=event.template,
                    uid=config.uid,
                    generation=config.generation,
                    reconciliation=event.id,
                    reason=_REASONS[error.kind],
                    problem=error.problem,
                )
            )
            return None
        outputs = rendered_outputs(event.template, config.spec, texts)
        self.publish(
            TemplateRendered(
                template=event.template,
                generation=config.generation,
                reconciliation=event.id,
                outputs=tuple((output.name, len(output.text.encode())) for output in outputs),
                seconds=time.monotonic() - started,
            )
        )
        return outputs

    async def _validate(
        self, event: ReconciliationTriggered, config: ConfigValidated, outputs: tuple[RenderedOutput, ...]
    ) -> None:
        reason, problems = await self._judge(event.template, outputs)
        if problems:
            self.publish(
                ValidationFailed(
                    template=event.template,
                    uid=config.uid,
                    generation=config.generation,
                    reconciliation=event.id,
                    reason=reason,
                    problems=problems,
                )
            )
            return
        self.publish(
            ValidationCompleted(
                template=event.template,
                uid=config.uid,
                generation=config.generation,
                reconciliation=event.id,
                outputs=outputs,
            )
        )

    async def _judge(
        self, template: str, outputs: tuple[RenderedOutput, ...]
    ) -> tuple[str, tuple[Problem, ...]]:
        request = OutputValidationRequest(template=template, outputs=outputs)
        try:
            result = await self.request(request, self._validators, timeout=VALIDATION_TIMEOUT)
        except RequestTimeout as error:
            return "ValidationTimeout", tuple(
                Problem(
                    message=f"validator {name} did not answer within {VALIDATION_TIMEOUT:g} s", validator=name
                )
                for name in error.result.missing
            )
        except RequestDropped as error:
            return "ValidationTimeout", (Problem(message=str(error)),)
        answers = [result.responses[name] for name in self._validators]
        problems = tuple(problem for answer in answers for problem in answer.problems)
        return next((problem.reason for problem in problems if problem.reason), "OutputInvalid"), problems


def render_job(spec: ConfigTemplateSpec, watches: tuple[WatchData, ...]) -> RenderJob:
    """What the renderer is to do for a spec and the objects it watches."""
    return RenderJob(
        outputs=tuple((output.name, output.template) for output in spec.outputs),
        snippets=tuple((snippet.name, snippet.template) for snippet in spec.snippets),
        values=spec.values,
        watches=watches,
        sensitive=spec.watches_secrets,
    )


def rendered_outputs(
    template: str, spec: ConfigTemplateSpec, texts: dict[str, str]
) -> tuple[RenderedOutput, ...]:
    """The rendered texts, each with where it goes and what it has to be."""
    return tuple(
        RenderedOutput(
            template=template,
            name=output.name,
            text=texts[output.name],
            format=output.format,
            target=output.target,
            allow_empty=output.allow_empty,
            sensitive=spec.watches_secrets,
        )
        for output in spec.outputs
    )
