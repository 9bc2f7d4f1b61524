"""One job done in the process that calls it: compile or render everything, reporting on the way.

Only ever called in a child process with limits: a template may run for ever and take all memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from jinja2.exceptions import TemplateRuntimeError

from controller.problems import Problem
from controller.templating.engine import Source, TemplateEnvironment, UnknownNames
from controller.templating.errors import problem_at, problem_of
from controller.templating.protocol import Checked, Exceeded, Failed, Found, Frame, Rendered, Request, Working

Report = Callable[[Frame], None]

_ADDRESS = re.compile(rb"<[a-z][^<>\n]{0,80} at 0x[0-9a-f]{6,16}>")
"""How Python shows what has no text. `{{ }}` refuses it and says where; this is for `~`, join and so on."""


class _OutputTooLarge(Exception):
    """The outputs together have more bytes than allowed."""


def work(request: Request, report: Report) -> None:
    """Do the job and report how it goes and ends; raises MemoryError when there is not enough."""
    environment = TemplateEnvironment(request.job)
    if request.task == "check":
        _check_all(environment, report)
    else:
        _render_all(environment, request.output_limit, report)


def _check_all(environment: TemplateEnvironment, report: Report) -> None:
    for source in environment.sources.values():
        report(Working(source.name, source.path))
        for problem in _problems(environment, source):
            report(Found(problem))
    report(Checked())


def _problems(environment: TemplateEnvironment, source: Source) -> Iterator[Problem]:
    try:
        environment.compile(source.text, source.name, source.path)
    except MemoryError:
        raise
    except UnknownNames as error:
        for reference in error.references:
            yield problem_at(reference, environment, source)
    except Exception as error:  # whatever compiling raises is about this template
        yield problem_of(error, environment, source)


def _render_all(environment: TemplateEnvironment, limit: int, report: Report) -> None:
    outputs: dict[str, bytes] = {}
    for source in environment.outputs:
        report(Working(source.name, source.path))
        try:
            outputs[source.name] = _render(environment, source, limit)
        except MemoryError:
            raise
        except _OutputTooLarge:
            report(Exceeded("output"))
            return
        except Exception as error:  # whatever rendering raises is about this template
            report(Failed(problem_of(error, environment, source)))
            return
        limit -= len(outputs[source.name])
    report(Rendered(outputs))


def _render(environment: TemplateEnvironment, source: Source, limit: int) -> bytes:
    template = environment.output(source)
    text = bytearray()
    for part in template.root_render_func(template.new_context()):
        text += part.encode()
        if len(text) > limit:
            raise _OutputTooLarge
    if shown := _ADDRESS.search(text):
        raise TemplateRuntimeError(
            f"the output holds {shown[0].decode()}, which would differ from run to run:"
            " call the function, or collect the sequence with | list"
        )
    return bytes(text)
