"""Exact positions in templates: Jinja knows the line of a failure only, P5 promises the column too.

A token's line number is replaced by a `Position`, an int that carries the column, which the parser copies
into the nodes without looking. The code generator then notes which piece of the Python code it wrote for
which node, and Python's own instruction positions lead back from a failing instruction to that node.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import StringIO
from typing import Any, NamedTuple, NoReturn, Self

from jinja2 import Environment, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.exceptions import TemplateSyntaxError
from jinja2.lexer import Lexer
from jinja2.parser import Parser

_NEWLINE = re.compile(r"\r\n|\r|\n")

Spot = tuple[int, int]
"""Line (from 1) and column (from 0, in UTF-8 bytes) in generated Python code, as Python counts them."""


class Position(int):
    """A line number that knows its column."""

    column: int

    def __new__(cls, line: int, column: int) -> Self:
        """Both count from 1."""
        position = super().__new__(cls, line)
        position.column = column
        return position


class Span(NamedTuple):
    """The generated code from `start` to `end` does what `node` says."""

    start: Spot
    end: Spot
    node: nodes.Node


def source_lines(source: str) -> list[str]:
    """The lines as the lexer counts them."""
    return _NEWLINE.split(source)


class PositionLexer(Lexer):
    """A lexer whose line numbers are Positions, in tokens and in its errors."""

    def tokeniter(
        self, source: str, name: str | None, filename: str | None = None, state: str | None = None
    ) -> Iterator[tuple[int, str, str]]:
        """The tokens of a source; what lies between two of them is only white space that was stripped."""
        text = "\n".join(source_lines(source))
        end, line, line_start = 0, 1, 0
        try:
            for _, token, value in super().tokeniter(source, name, filename, state):
                start = text.index(value, end)
                line += text.count("\n", end, start)
                line_start = max(line_start, text.rfind("\n", end, start) + 1)
                yield Position(line, start - line_start + 1), token, value
                end = start + len(value)
                line += value.count("\n")
                line_start = max(line_start, text.rfind("\n", start, end) + 1)
        except TemplateSyntaxError as error:
            message = re.sub(r" at \d+$", "", error.message or "")
            raise TemplateSyntaxError(message, Position(line, end - line_start + 1), name, filename) from None


class PositionParser(Parser):
    """A parser that blames the statement that was left open, not the end of the template."""

    def __init__(self, environment: Environment, source: str, name: str | None, filename: str | None) -> None:
        super().__init__(environment, source, name, filename)
        self._open: list[int] = []

    def parse_statement(self) -> nodes.Node | list[nodes.Node]:
        """Parse one statement and what it encloses."""
        self._open.append(self.stream.current.lineno)
        statement = super().parse_statement()
        self._open.pop()
        return statement

    def parse_pow(self) -> nodes.Expr:
        """Parse `a ** b ** c` from the right, as Python and mathematics do; Jinja2 itself begins left."""
        lineno = self.stream.current.lineno
        base = self.parse_unary()
        if self.stream.current.type != "pow":
            return base
        next(self.stream)
        return nodes.Pow(base, self.parse_pow(), lineno=lineno)

    def fail_eof(self, end_tokens: tuple[str, ...] | None = None, lineno: int | None = None) -> NoReturn:
        """Raise TemplateSyntaxError at the innermost statement that was left open."""
        super().fail_eof(end_tokens, self._open[-1] if self._open else lineno)


class _Cursor(StringIO):
    """Collects the code and knows where the next character goes."""

    spot: Spot = (1, 0)

    def write(self, text: str) -> int:
        line, column = self.spot
        newlines = text.count("\n")
        tail = len(text[text.rfind("\n") + 1 :].encode())
        self.spot = (line + newlines, tail if newlines else column + tail)
        return super().write(text)


class PositionCodeGenerator(CodeGenerator):
    """Notes the span of every node; a method is looked up otherwise than a field (see the engine)."""

    def __init__(self, environment: Environment, name: str | None, filename: str | None) -> None:
        self._cursor = _Cursor()
        # Not optimized: folding constants would run the template's expressions while it is compiled.
        super().__init__(environment, name, filename, self._cursor, optimized=False)
        self.spans: list[Span] = []
        self.at: int = 1
        """The position of the statement or expression it is at work on."""
        self._output_starts: list[Spot] = []
        self._callees: set[int] = set()

    def code(self) -> str:
        """The generated code."""
        return self._cursor.getvalue()

    def visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> Any:
        """Write the code of one node."""
        start = self._cursor.spot
        if isinstance(node, nodes.Stmt) and isinstance(node.lineno, Position):
            self.at = node.lineno
        try:
            return super().visit(node, *args, **kwargs)
        finally:
            self._note(start, node)

    def visit_Call(self, node: nodes.Call, frame: Frame, forward_caller: bool = False) -> None:  # noqa: FBT001, FBT002, N802  the base class's signature
        """Write a call; its callee, if it is an attribute, is a method."""
        self._callees.add(id(node.node))
        super().visit_Call(node, frame, forward_caller=forward_caller)

    def visit_Getattr(self, node: nodes.Getattr, frame: Frame) -> None:  # noqa: N802  the base class's name
        """Write the access to a method or a field."""
        self.write("environment.method(" if id(node) in self._callees else "environment.getattr(")
        self.visit(node.node, frame)
        self.write(f", {node.attr!r})")

    def _output_child_pre(
        self, node: nodes.Expr, frame: Frame, finalize: CodeGenerator._FinalizeInfo
    ) -> None:
        self._output_starts.append(self._cursor.spot)
        self.at = caret(node) or self.at
        super()._output_child_pre(node, frame, finalize)

    def _output_child_post(
        self, node: nodes.Expr, frame: Frame, finalize: CodeGenerator._FinalizeInfo
    ) -> None:
        super()._output_child_post(node, frame, finalize)
        self._note(self._output_starts.pop(), node)

    def _note(self, start: Spot, node: nodes.Node) -> None:
        if isinstance(node.lineno, Position):
            self.spans.append(Span(start, self._cursor.spot, node))


def innermost(spans: list[Span], start: Spot, end: Spot) -> nodes.Node | None:
    """The smallest node whose code holds everything from `start` to `end`."""
    around = [span for span in spans if span.start <= start and end <= span.end]
    if not around:
        return None
    # Spans nest, so the smallest one starts last and, among those, ends first.
    latest = max(span.start for span in around)
    return min((span for span in around if span.start == latest), key=lambda span: span.end).node


def caret(node: nodes.Node) -> Position | None:
    """Where to point for a node: at the name of what is read or called, else at its first character."""
    match node:
        case nodes.Call():
            return caret(node.node)
        case nodes.Getattr():
            # Its token is the dot.
            position = node.lineno
            return Position(position, position.column + 1) if isinstance(position, Position) else None
        case nodes.BinExpr():
            return caret(node.left)
        case nodes.Compare():
            return caret(node.expr)
        case nodes.Tuple(items=[first, *_]):
            return caret(first)
    return node.lineno if isinstance(node.lineno, Position) else None
