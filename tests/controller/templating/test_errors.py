"""Problems point at the exact place and say what is wrong (P5), or only where and which kind (X3)."""

from __future__ import annotations

import pytest

from controller.problems import Problem
from tests.controller.templating.support import found, job, kubernetes_object, problem, render, watch


def pointed_at(finding: Problem) -> str:
    """What stands at the caret, up to the next space or bracket, as a reader sees it."""
    line, caret = str(finding).splitlines()[-2:]
    assert caret.strip() == "^"
    return line[caret.index("^") :]


def assert_points(template: str, at: str | None, message: str) -> None:
    """The problem has this message, and its caret stands at this text."""
    snippets = {"macros": "{% macro f(x) %}\n  {{ x.y }}{% endmacro %}", "row": "1\n2 {{ nope }}"}
    values = {"spec": {"hosts": ["a"]}, "nothing": None}
    finding = problem(template, watch("web", kubernetes_object("a")), values=values, **snippets)
    assert message in finding.message
    assert at is None or pointed_at(finding) == at


@pytest.mark.parametrize(
    ("template", "at", "message"),
    [
        ("a\n  {% if x %}\nb", "if x %}", "The innermost block that needs to be closed is 'if'"),
        (
            "{% if x %}{% for y in z %}{% endfor %}\nb",
            "if x %}{% for y in z %}{% endfor %}",
            "to be closed is 'if'",
        ),
        ("{% if x %}\n{% endfr %}\n{% endif %}", "endfr %}", "unknown tag 'endfr'"),
        ("é {{ x ? }}", "? }}", "unexpected char '?'"),
        ("{{ a +* b }}", "* b }}", "unexpected '*'"),
        ("{{ (a }}", "}}", "unexpected '}', expected ')'"),
        ("x\n{{ a", "a", "unexpected end of template"),
        ("x\n  {# a", " a", "Missing end of comment tag"),
        ("{{ 'a' 1 }}", "1 }}", "expected token 'end of print statement'"),
        ("{% for in x %}{% endfor %}", "x %}{% endfor %}", "expected token 'in'"),
        ("{%- if a -%}\n\n   {{ b c }}{% endif %}", "c }}{% endif %}", "got 'c'"),
        ("{% macro m(a, a) %}{% endmacro %}", "macro m(a, a) %}{% endmacro %}", "duplicate argument"),
        ("{{ range(a=1, a=2) }}", "2) }}", "keyword argument repeated"),
        ("{{ " + "-" * 400 + "1 }}", None, "nested too deeply"),
        ("{% for i in [] %}" * 22 + "{% endfor %}" * 22, None, "too many statically nested blocks"),
    ],
)
def test_a_syntax_error_points_at_the_offending_token(template, at, message):
    assert_points(template, at, message)


@pytest.mark.parametrize(
    ("template", "at", "message"),
    [
        ("{{ a | to_jsn }}", "to_jsn }}", "there is no filter 'to_jsn'; did you mean 'to_json'?"),
        ("{{ a is define }}", "is define }}", "there is no test 'define'; did you mean 'defined'?"),
        ("{% if false %}{{ 1 | nope }}{% endif %}", "nope }}{% endif %}", "there is no filter 'nope'"),
        ("{% include 'macro' %}", "'macro' %}", "there is no snippet 'macro'; did you mean 'macros'?"),
        (
            "{% include 'x' ~ 'y' %}",
            "include 'x' ~ 'y' %}",
            "there is no snippet 'xy'; snippets are: macros, row",
        ),
        ("{% from 'nope' import a %}", "'nope' import a %}", "there is no snippet 'nope'"),
        (
            "{% from 'macros' import nope %}\n{{ nope() }}",
            "nope() }}",
            "does not export the requested name 'nope'",
        ),
    ],
)
def test_a_name_that_does_not_exist_is_pointed_at_and_a_similar_one_proposed(template, at, message):
    assert_points(template, at, message)


@pytest.mark.parametrize(
    ("template", "at", "message"),
    [
        ("{{ vales.a }}", "vales.a }}", "'vales' is undefined; did you mean 'values'?"),
        ("{{ 1 + (nope) }}", "nope) }}", "'nope' is undefined"),
        (
            "{{ values.spec.hots }}",
            "hots }}",
            "'hots' is undefined: the object has no such field; did you mean 'hosts'?",
        ),
        ("{{ values.spec.tls.name }}", "tls.name }}", "'tls' is undefined"),
        ("{{ values['sepc'].a }}", "['sepc'].a }}", "did you mean 'spec'?"),
        ("{{ values.spec.hosts[7] }}", "[7] }}", "7 is undefined: the list has no such element"),
        ("{{ values.spec.hosts.name }}", "name }}", "'name' is undefined: the list has no such element"),
        ("{{ 'text'.nope }}", "nope }}", "it was looked up in a text"),
        ("{{ values.nothing.name }}", "name }}", "it was looked up in none"),
        ("{{ web.nope }}", "nope }}", "a watch has get() and by()"),
        ("{{ web.get('absent').spec }}", "spec }}", "it was looked up in none"),
        ("{% for a in nope %}{% endfor %}", "nope %}{% endfor %}", "'nope' is undefined"),
        ("{% for a in nope %}{{ loop.index }}{% endfor %}", "nope %}{{ loop.index }}{% endfor %}", "'nope'"),
        ("{% for a in [1] if nope %}{% endfor %}", "nope %}{% endfor %}", "'nope' is undefined"),
        ("{% if a and\n   nope %}{% endif %}", "a and", "'a' is undefined"),
        ("{% if true and\n   nope %}{% endif %}", "nope %}{% endif %}", "'nope' is undefined"),
        ("{% set a = nope.b %}", "nope.b %}", "'nope' is undefined"),
        ("{% set a = nope %}\n{{ a }}", "a }}", "'nope' is undefined"),
        ("{% with a = nope.b %}{% endwith %}", "nope.b %}{% endwith %}", "'nope' is undefined"),
        ("{{ nope() }}", "nope() }}", "'nope' is undefined"),
        ("{{ 'a' ~ nope }}", "nope }}", "'nope' is undefined"),
        ("{{ {'a': nope.b} }}", "nope.b} }}", "'nope' is undefined"),
        ("{{ nope | upper }}", "nope | upper }}", "'nope' is undefined"),
        ("{{ [1] | join(nope) }}", "nope) }}", "'nope' is undefined"),
        ("{% filter upper %}{{ nope }}{% endfilter %}", "nope }}{% endfilter %}", "'nope' is undefined"),
        ("{% set block %}{{ nope }}{% endset %}", "nope }}{% endset %}", "'nope' is undefined"),
        ("{% block b %}\n\t{{ nope }}{% endblock %}", "nope }}{% endblock %}", "'nope' is undefined"),
    ],
)
def test_an_undefined_value_is_pointed_at_wherever_it_is_used(template, at, message):
    assert_points(template, at, message)


@pytest.mark.parametrize(
    ("template", "at", "message"),
    [
        ("{{ 1 + 'a' }}", "1 + 'a' }}", "TypeError: unsupported operand"),
        ("{{ 2 < 'a' }}", "2 < 'a' }}", "TypeError: '<' not supported"),
        ("{{ 1 // 0 }}", "1 // 0 }}", "ZeroDivisionError"),
        ("{{ ['a', 1] | sort }}", "sort }}", "TypeError"),
        ("{{ 1 | sort_by }}", "sort_by }}", "at least one field path"),
        ("{{ 'a' | b64encode(1) }}", "b64encode(1) }}", "TypeError"),
        ("é {{ 'ü' ~ ('%' | b64decode) }}", "b64decode) }}", "not valid Base64"),
        ("{{ range(10 ** 9) }}", "range(10 ** 9) }}", "Range too big"),
        ("{{ values.spec() }}", "spec() }}", "'dict' object is not callable"),
        ("{{ 'a'.nope() }}", "nope() }}", "'nope' is undefined"),
        ("{% for a in 5 %}{% endfor %}", None, "'int' object is not iterable"),
        ("{% for a, b in [1] %}{% endfor %}", "a, b in [1] %}{% endfor %}", "unpack"),
        ("{{ web.by(1) }}", "by(1) }}", "needs indexBy"),
        ("{% set values.a = 1 %}", "set values.a = 1 %}", "non-namespace object"),
        ("{{ ''.__class__ }}", "__class__ }}", "unsafe"),
        ("{{ fail('no way') }}", "fail('no way') }}", "no way"),
        (
            "{% if true %}\n\t{{ required(values.a, 'give a') }}\n{% endif %}",
            "required(values.a, 'give a') }}",
            "give a",
        ),
        (
            "{% call fail('in a call block') %}{% endcall %}",
            "call fail('in a call block') %}{% endcall %}",
            "keyword argument 'caller'",
        ),
    ],
)
def test_a_failing_expression_points_at_what_fails(template, at, message):
    assert_points(template, at, message)


@pytest.mark.parametrize(
    ("template", "at", "message"),
    [
        ("{% include 'row' %}", "nope }}", "'nope' is undefined (reached from out.cfg line 1)"),
        ("\n{% import 'macros' as m %}\n{{ m.f(1) }}", "y }}{% endmacro %}", "(reached from out.cfg line 3)"),
        ("{% macro f() %}{{ f() }}{% endmacro %}\n{{ f() }}", "f() }}{% endmacro %}", "endless recursion"),
    ],
)
def test_a_failure_elsewhere_points_there_and_tells_the_way(template, at, message):
    assert_points(template, at, message)


@pytest.mark.parametrize(
    "template", ["{{ 1" + " + 1" * 120 + " }}", "{% if 1 %}" * 22 + "x" + "{% endif %}" * 22]
)
def test_reasonable_nesting_is_no_problem(template):
    assert render(template)


def test_a_problem_names_field_output_line_and_column():
    finding = problem("one\ntwo {{ nope }}")
    assert str(finding) == (
        "spec.outputs[0].template: out.cfg line 2, column 8: 'nope' is undefined\n"
        "  two {{ nope }}\n"
        "         ^"
    )


def test_a_check_points_too():
    (finding,) = found(job("fine", row="\n {{ 1 | nope }}"))
    assert (finding.path, finding.template, finding.line, finding.column, pointed_at(finding)) == (
        "spec.snippets[0].template", "row", 2, 9, "nope }}"
    )  # fmt: skip


def test_the_way_through_snippets_is_told_from_the_inside_out():
    snippets = {"a": "\n{% include 'b' %}", "b": "\n\n{{ nope }}"}
    finding = problem("{% include 'a' %}", **snippets)
    assert (finding.template, finding.line) == ("b", 3)
    assert "(reached from a line 2, from out.cfg line 1)" in finding.message


def test_a_syntax_error_in_an_included_snippet_is_placed_there():
    finding = problem("{% include 'row' %}", row="\n{{ 1 2 }}")
    assert (finding.path, finding.line, finding.column) == ("spec.snippets[0].template", 2, 6)
    assert "(reached from out.cfg line 1)" in finding.message


def test_endless_includes_are_told_once():
    finding = problem("{% include 'a' %}", a="{% include 'b' %}", b="{% include 'a' %}")
    assert len(finding.message) < 200


def test_a_minified_line_is_not_shown():
    finding = problem("x" * 5000 + "{{ nope }}")
    assert (finding.column, finding.source_line) == (5004, None)


def test_a_long_message_is_cut():
    assert len(problem("{{ fail('x' * 5000) }}").message) == 1000


def test_text_that_is_no_unicode_is_a_problem_of_its_output():
    finding = problem(r"{{ '\ud800' }}")
    assert (finding.template, finding.line) == ("out.cfg", None)
    assert "surrogates" in finding.message


@pytest.mark.parametrize(
    ("template", "kind"),
    [
        ("{{ fail(values.password) }}", "fail() was called"),
        ("{{ required('', values.password) }}", "required() found nothing"),
        ("{{ values[values.password] }}", "undefined value"),
        ("{{ values.password.x }}", "undefined value"),
        ("{{ 1 + values.password }}", "TypeError"),
        ("{{ values.password | from_json }}", "template error"),
        ("{% include values.password %}", "missing snippet"),
        ("{{ 'hunter2' 1 }}", "syntax error"),
        ("{{ 'hunter2' | nope }}", "syntax error"),
        ("{{ values.update(hunter2=1) }}", "not allowed in templates"),
        ("{% macro hunter2() %}{{ hunter2() }}{% endmacro %}{{ hunter2() }}", "recursion"),
    ],
)
def test_a_sensitive_problem_tells_position_and_kind_only(template, kind):
    finding = problem(template, sensitive=True, values={"password": "hunter2"})
    assert finding.message == f"{kind}; details withheld: this ConfigTemplate watches Secrets"
    assert (finding.line, finding.source_line) == (1, None)
    assert finding.column
    assert "hunter2" not in str(finding)


def test_a_sensitive_check_withholds_the_line_too():
    (finding,) = found(job("{{ 'hunter2' | nope }}", sensitive=True))
    assert str(finding) == (
        "spec.outputs[0].template: out.cfg line 1, column 16: unknown name;"
        " details withheld: this ConfigTemplate watches Secrets"
    )
