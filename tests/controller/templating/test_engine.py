"""The template language: what Jinja gives, what is taken away, and how objects are read."""

from __future__ import annotations

import pytest

from tests.controller.templating.support import (
    found,
    job,
    kubernetes_object,
    problem,
    render,
    watch,
)


def test_a_line_with_only_a_block_leaves_nothing_behind():
    assert render("a\n  {% if true %}\n  b\n  {% endif %}\nc\n") == "a\n  b\nc\n"


def test_the_last_newline_is_kept():
    assert render("a\n") == "a\n"


def test_nothing_is_escaped():
    assert render("{{ '<a & b>' }}") == "<a & b>"


def test_powers_associate_to_the_right():
    """As in Python; Jinja2 itself gives 64."""
    assert render("{{ 2 ** 3 ** 2 }}") == "512"


def test_windows_line_ends_become_newlines():
    assert render("a\r\nb\r\n") == "a\nb\n"


def test_values_are_read_by_name():
    assert render("{{ values.tls.port }}", values={"tls": {"port": 443}}) == "443"


@pytest.mark.parametrize("template", ["{{ [1, 2] | random }}", "{{ lipsum() }}"])
def test_randomness_is_not_there(template):
    assert "random" in str(problem(template)) or "lipsum" in str(problem(template))


@pytest.mark.parametrize(
    "template",
    [
        "{{ values.update({'a': 1}) }}",
        "{{ values.names.append('x') }}",
        "{% set values.a = 1 %}",
        "{{ web.get('a').metadata.clear() }}",
        "{{ ''.__class__.__mro__ }}",
        "{{ web._objects }}",
        "{{ '{0.__class__}'.format(values) }}",
    ],
)
def test_the_sandbox_refuses(template):
    problem(template, watch("web", kubernetes_object("a")), values={"names": []})


def test_a_field_wins_over_a_python_method_of_its_name():
    rule = {"key": "tier", "values": ["web"], "items": [{"path": "/"}]}
    assert (
        render("{{ values.rule.values[0] }} {{ values.rule.items[0].path }}", values={"rule": rule})
        == "web /"
    )


def test_a_called_method_wins_over_a_field_of_its_name():
    labels = {"items": "chosen by whoever labels the object"}
    assert render("{% for key, value in values.items() %}{{ key }}{% endfor %}", values=labels) == "items"


@pytest.mark.parametrize(
    "access", ["values.keys", "values['keys']", "[values] | map(attribute='keys') | list"]
)
def test_a_field_that_is_missing_is_undefined_although_python_has_such_a_method(access):
    assert (
        "'keys' is undefined" in problem(f"{{{{ {access} }}}}", values={"a": {}}).message or "map" in access
    )


@pytest.mark.parametrize(
    ("template", "hint"),
    [
        ("{{ [1] | map('string') }}", "| join"),
        ("{{ range }}", "call it"),
        ("{{ web }}", "iterate"),
        ("{{ web.get }}", "call it"),
        ("{{ [web.get] }}", "list"),
        ("{{ namespace() }}", "Namespace"),
    ],
)
def test_what_python_shows_by_its_address_cannot_be_printed(template, hint):
    text = problem(template, watch("web")).message
    assert "cannot be printed" in text
    assert hint in text


@pytest.mark.parametrize(
    "template",
    ["{{ 'a' ~ [1] | map('string') }}", "{{ [web.get, range] | join }}", "{{ 'a'.upper | string }}"],
)
def test_an_address_that_gets_into_the_output_another_way_is_refused(template):
    assert "differ from run to run" in problem(template, watch("web")).message


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("{{ none }}", "None"),
        ("{{ [1, 'a'] }}", "[1, 'a']"),
        ("{{ {'a': 1.5} }}", "{'a': 1.5}"),
        ("{{ 1 > 2 }}", "False"),
    ],
)
def test_plain_data_is_printed_as_jinja_does(template, text):
    assert render(template) == text


def test_a_list_with_an_undefined_value_cannot_be_printed():
    assert "'b' is undefined" in problem("{{ [values.b] }}").message


def test_snippets_are_included_with_the_variables_of_the_place():
    assert render("{% for n in [1, 2] %}{% include 'row' %}{% endfor %}", row="{{ n }};") == "1;2;"


def test_imported_macros_see_watches_and_values():
    template = "{% from 'macros' import line %}{{ line('a') }}"
    macros = "{% macro line(name) %}{{ web.get(name).metadata.name }}={{ values.port }}{% endmacro %}"
    assert (
        render(template, watch("web", kubernetes_object("a")), values={"port": 80}, macros=macros) == "a=80"
    )


def test_a_snippet_can_be_extended():
    assert (
        render("{% extends 'base' %}{% block body %}x{% endblock %}", base="<{% block body %}{% endblock %}>")
        == "<x>"
    )


def test_outputs_cannot_be_included():
    assert "there is no snippet 'out.cfg'" in problem("{% include 'out.cfg' %}").message


@pytest.mark.parametrize("template", ["{% include 'nope' ignore missing %}", "{% include ['nope', 'row'] %}"])
def test_an_include_with_an_alternative_is_no_problem(template):
    assert not found(job(template, row=""))


def test_a_check_finds_the_problems_of_all_outputs_and_snippets():
    problems = found(
        job(
            "{{ a | nope }}\n{{ b is nopes }}{% import 'm' as m %}{% include ['x', 'y'] %}",
            first="{% if %}",
            second="fine",
            third="{% endfor %}",
        )
    )
    assert [(one.path, one.line, one.message.split(";")[0]) for one in problems] == [
        ("spec.outputs[0].template", 1, "there is no filter 'nope'"),
        ("spec.outputs[0].template", 2, "there is no test 'nopes'"),
        ("spec.outputs[0].template", 2, "there is no snippet 'm'"),
        ("spec.outputs[0].template", 2, "there is no snippet 'x' or 'y'"),
        ("spec.snippets[0].template", 1, "Expected an expression, got 'end of statement block'"),
        ("spec.snippets[2].template", 1, "Encountered unknown tag 'endfor'."),
    ]


def test_compiling_evaluates_nothing():
    assert not found(job("{{ 9 ** (9 ** 9) }}{{ 'x' * 10 ** 12 }}{{ fail('never') }}"))
