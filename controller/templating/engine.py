"""The template language: Jinja2 in the immutable sandbox, without clock and randomness, with our helpers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from types import CodeType, GeneratorType
from typing import Any, NoReturn

from jinja2 import FunctionLoader, StrictUndefined, Template, Undefined, nodes, pass_eval_context
from jinja2.exceptions import TemplateAssertionError, TemplateRuntimeError, TemplateSyntaxError
from jinja2.lexer import Lexer
from jinja2.nodes import EvalContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from controller.templating import filters
from controller.templating.positions import (
    PositionCodeGenerator,
    PositionLexer,
    PositionParser,
    Span,
    caret,
    innermost,
)
from controller.templating.protocol import RenderJob
from controller.templating.watches import WatchVariable

_NOT_DETERMINISTIC = {"filters": ("random",), "globals": ("lipsum",)}
_TOO_DEEP = "an expression or a block is nested too deeply; name parts of it with {% set %}"


@dataclass(frozen=True, slots=True)
class Source:
    """One template as the ConfigTemplate has it."""

    name: str
    path: str
    """Where it stands in the ConfigTemplate; it serves as file name of the generated code too."""
    text: str


@dataclass(frozen=True, slots=True)
class Reference:
    """Something a template names that does not exist."""

    message: str
    node: nodes.Node


class UnknownNames(TemplateAssertionError):
    """A template names filters, tests or snippets that do not exist."""

    def __init__(self, references: list[Reference], name: str | None, filename: str | None) -> None:
        first = references[0]
        super().__init__(first.message, caret(first.node) or 1, name, filename)
        self.references = references


class TemplateEnvironment(ImmutableSandboxedEnvironment):
    """All templates and variables of one job. For one render in one thread."""

    def __init__(self, job: RenderJob) -> None:
        super().__init__(
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            undefined=StrictUndefined,
            finalize=printable,
            loader=FunctionLoader(self._load),
        )
        self._lexer = PositionLexer(self)
        self.outputs = [
            Source(name, f"spec.outputs[{index}].template", text)
            for index, (name, text) in enumerate(job.outputs)
        ]
        self.snippets = {
            name: Source(name, f"spec.snippets[{index}].template", text)
            for index, (name, text) in enumerate(job.snippets)
        }
        self.sensitive = job.sensitive
        self.sources = {source.path: source for source in (*self.outputs, *self.snippets.values())}
        self.spans: dict[str, list[Span]] = {}
        for name in _NOT_DETERMINISTIC["filters"]:
            del self.filters[name]
        for name in _NOT_DETERMINISTIC["globals"]:
            del self.globals[name]
        self.filters.update(filters.FILTERS)
        # Global, so that imported macros see them too.
        self.globals |= {**filters.HELPERS, "values": job.values}
        self.globals |= {watch.name: WatchVariable(watch) for watch in job.watches}

    def output(self, source: Source) -> Template:
        """Compile an output."""
        code = self.compile(source.text, source.name, source.path)
        return Template.from_code(self, code, self.make_globals(None))

    def no_snippet(self, *names: str) -> str:
        """What to say when none of these snippets exists."""
        text = f"there is no snippet {' or '.join(map(repr, names))}"
        suggestion = did_you_mean(names[0], self.snippets)
        return text + (suggestion or f"; snippets are: {', '.join(self.snippets) or 'none'}")

    # What follows adapts Jinja; the names are those of its hooks.

    @property
    def lexer(self) -> Lexer:
        """The lexer that knows columns."""
        return self._lexer

    def getattr(self, obj: Any, attribute: str) -> Any:
        """A field, in `a.b`: of an object only what it holds, so that `rule.values` is no Python method."""
        return self.getitem(obj, attribute) if isinstance(obj, dict) else super().getattr(obj, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        """A field, in `a["b"]`."""
        if isinstance(obj, dict) and isinstance(argument, str):
            return obj[argument] if argument in obj else self.undefined(obj=obj, name=argument)
        return super().getitem(obj, argument)

    def method(self, obj: Any, attribute: str) -> Any:
        """What `a.b()` calls: the method, whatever the object holds, so that a label `items` harms nobody."""
        return super().getattr(obj, attribute)

    def handle_exception(self, source: str | None = None) -> NoReturn:
        """Leave the exception as it is: Jinja would rewrite its traceback, losing columns."""
        raise  # noqa: PLE0704  Jinja calls this in its except blocks

    def _load(self, name: str) -> tuple[str, str, None] | None:
        source = self.snippets.get(name)
        return (source.text, source.path, None) if source else None

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        parser = PositionParser(self, source, name, filename)
        try:
            return parser.parse()
        except RecursionError:
            raise TemplateSyntaxError(_TOO_DEEP, parser.stream.current.lineno, name, filename) from None

    def _generate(
        self,
        source: nodes.Template,
        name: str | None,
        filename: str | None,
        defer_init: bool = False,  # noqa: FBT001, FBT002  the hook's signature
    ) -> str:
        generator = PositionCodeGenerator(self, name, filename)
        try:
            if references := list(self._dangling(source)):
                raise UnknownNames(references, name, filename)
            generator.visit(source)
        except RecursionError:
            raise TemplateSyntaxError(_TOO_DEEP, generator.at, name, filename) from None
        self.spans[filename or ""] = generator.spans
        return generator.code()

    def _dangling(self, tree: nodes.Template) -> Iterator[Reference]:
        for used in tree.find_all((nodes.Filter, nodes.Test)):
            known, what = (self.filters, "filter") if isinstance(used, nodes.Filter) else (self.tests, "test")
            if used.name not in known:
                yield Reference(f"there is no {what} {used.name!r}{did_you_mean(used.name, known)}", used)
        for user in tree.find_all((nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)):
            template: nodes.Expr = user.template  # type: ignore[attr-defined]  # all four have one
            names = _constant_names(template)
            if names and not getattr(user, "ignore_missing", False) and not names & self.snippets.keys():
                yield Reference(self.no_snippet(*sorted(names)), template)

    def _compile(self, source: str, filename: str) -> CodeType:
        try:
            return super()._compile(source, filename)
        except SyntaxError as error:
            spot = (error.lineno or 1, max((error.offset or 1) - 1, 0))
            node = innermost(self.spans[filename], spot, spot)
            raise TemplateSyntaxError(
                f"this is too complex or doubled: {error.msg}", (node and caret(node)) or 1, None, filename
            ) from None


def did_you_mean(name: object, known: Iterable[object]) -> str:
    """A hint at the most similar known name, or nothing."""
    close = get_close_matches(str(name), [str(one) for one in known], n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _constant_names(template: nodes.Expr) -> set[str]:
    """The names an include or import gives, if all of them are plain texts."""
    listed = template.items if isinstance(template, nodes.List | nodes.Tuple) else [template]
    names = [item.value for item in listed if isinstance(item, nodes.Const) and isinstance(item.value, str)]
    return set(names) if len(names) == len(listed) else set()


_PLAIN = (str, int, float, bool, type(None))


@pass_eval_context  # and so never called while compiling
def printable(_: EvalContext, value: Any) -> Any:
    """What `{{ }}` prints: not what Python can only show by its address, which differs from run to run."""
    if type(value) in _PLAIN or _is_plain(value):
        return value
    if isinstance(value, GeneratorType):
        raise TemplateRuntimeError(
            "a sequence that was not collected cannot be printed: add | join or | list"
        )
    if isinstance(value, WatchVariable):
        raise TemplateRuntimeError("a watch cannot be printed: iterate over its objects")
    if callable(value):
        raise TemplateRuntimeError("a function cannot be printed: call it with ()")
    raise TemplateRuntimeError(f"a {type(value).__name__} cannot be printed")


def _is_plain(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(_is_plain(key) and _is_plain(held) for key, held in value.items())
    if isinstance(value, Undefined):
        str(value)  # raises what it stands for
    return isinstance(value, (*_PLAIN, Undefined))
