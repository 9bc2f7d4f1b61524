"""The built-in validators of ConfigTemplates, apart from the access rules."""

from __future__ import annotations

from typing import Any

import pytest

from controller.problems import Problem
from controller.templating.renderer import Renderer
from controller.validators.config import Basic, JsonPath, Template
from tests.controller.validators.support import TARGET, candidate, judged_config, watch


def basic(**spec: Any) -> list[Problem]:
    return list(Basic(["haproxy", "format"]).validate(candidate(**spec)))


def paths(**fields: Any) -> list[Problem]:
    return list(JsonPath().validate(candidate(watches=[watch(**fields)])))


def outputs(*templates: str, **fields: Any) -> list[dict[str, Any]]:
    return [
        {"name": f"out{number}", "template": text, "target": {"name": "web", "key": f"{number}"}, **fields}
        for number, text in enumerate(templates)
    ]


def test_installed_validators_may_be_named():
    assert basic(outputs=outputs("", validators=["haproxy", "format"])) == []


def test_every_validator_that_is_not_installed_is_named_with_its_place_and_the_choice():
    problems = basic(outputs=outputs("", "", validators=["haproxy", "nginx"]))
    assert [problem.path for problem in problems] == [
        "spec.outputs[0].validators[1]",
        "spec.outputs[1].validators[1]",
    ]
    assert "no output validator 'nginx' is installed; there are format, haproxy" in str(problems[0])


def test_a_pattern_of_a_test_must_be_a_regular_expression():
    expect = [{"output": "web.cfg", "matches": pattern} for pattern in ("^a+$", "(")]
    (problem,) = basic(tests=[{"name": "a", "expect": expect}])
    assert problem.path == "spec.tests[0].expect[1].matches"
    assert "'(' is no regular expression" in problem.message


def test_the_example_of_all_paths_is_fine():
    assert (
        paths(
            fieldSelector=r"metadata.name!=old,spec.nodeName=,status.phase==Running,a=b\,c",
            indexBy=["metadata.namespace", "spec.rules[*].host"],
            ignoreFields=["metadata.annotations"],
        )
        == []
    )


def test_all_bad_paths_are_found_in_order():
    problems = paths(indexBy=["a", "b..c", "d["], ignoreFields=["e[?@.f]"])
    assert [(problem.path, problem.reason) for problem in problems] == [
        ("spec.watches[0].indexBy[1]", "InvalidPath"),
        ("spec.watches[0].indexBy[2]", "InvalidPath"),
        ("spec.watches[0].ignoreFields[0]", "InvalidPath"),
    ]


def test_a_bad_path_is_shown_with_a_caret():
    (problem,) = paths(indexBy=["spec..host"])
    assert str(problem).endswith("\n  spec..host\n      ^")


@pytest.mark.parametrize("field", ["indexBy", "ignoreFields"])
def test_one_path_in_two_spellings_is_there_twice(field):
    (problem,) = paths(**{field: ["spec.host", "$['spec'].host"]})
    assert problem.path == f"spec.watches[0].{field}[1]"
    assert f"the same as spec.watches[0].{field}[0]" in problem.message


@pytest.mark.parametrize(
    ("index", "ignored"),
    [("metadata.labels.app", "metadata.labels"), ("a.b", "a.b"), ("a[0].b", "a[*]"), ("a[*].b", "a[*].b")],
)
def test_an_index_of_what_is_ignored_would_stay_empty(index, ignored):
    (problem,) = paths(indexBy=["kind", index], ignoreFields=[ignored])
    assert problem.path == "spec.watches[0].indexBy[1]"
    assert f"removed by spec.watches[0].ignoreFields[0] ({ignored})" in problem.message


@pytest.mark.parametrize(("index", "ignored"), [("a.b", "a.c"), ("a", "a.b"), ("a[*].b", "a[0]")])
def test_an_index_beside_what_is_ignored_is_fine(index, ignored):
    assert paths(indexBy=[index], ignoreFields=[ignored]) == []


@pytest.mark.parametrize(
    ("selector", "column"),
    [
        ("metadata.name", 1),
        ("=a", 1),
        ("metadata.name=a, spec.host=b", 17),
        ("metadata.name = a", 1),
        ("a=b,c>d", 5),
        ("a=b=c", 1),
        ("a!b", 1),
        ("a=b\\", 1),
    ],
)
def test_a_bad_field_selector_is_pointed_at(selector, column):
    (problem,) = paths(fieldSelector=selector)
    assert (problem.path, problem.column) == ("spec.watches[0].fieldSelector", column)
    assert problem.reason == "InvalidPath"


def test_every_bad_term_of_a_field_selector_is_found():
    assert [problem.column for problem in paths(fieldSelector="a,b=c,d")] == [1, 7]


@pytest.fixture
async def renderer():
    running = Renderer()
    await running.start()
    yield running
    await running.stop()


async def test_templates_that_compile_are_fine(renderer):
    subject = candidate(
        watches=[watch()],
        snippets=[{"name": "macros", "template": "{% macro a() %}{% endmacro %}"}],
        outputs=outputs("{% import 'macros' as m %}{{ ingresses | list | to_json }}"),
    )
    assert await judged_config(Template(renderer), subject) == ()


async def test_every_template_that_does_not_compile_is_found_with_its_place(renderer):
    subject = candidate(
        snippets=[{"name": "broken", "template": "{{"}],
        outputs=outputs("fine", "first\n{{ 1 | no_such_filter }}", "{% fr %}"),
    )
    problems = await judged_config(Template(renderer), subject)
    assert {problem.path for problem in problems} == {
        "spec.outputs[1].template",
        "spec.outputs[2].template",
        "spec.snippets[0].template",
    }
    assert {problem.reason for problem in problems} == {"TemplateError"}
    (unknown,) = (problem for problem in problems if problem.template == "out1")
    assert unknown.line == 2
    assert unknown.source_line == "{{ 1 | no_such_filter }}"


async def test_of_a_template_that_renders_secrets_no_line_is_shown(renderer):
    subject = candidate(
        watches=[watch("secrets", "Secret", apiVersion="v1")],
        outputs=[{"name": "a", "template": "{% fr %}", "target": {"kind": "Secret", **TARGET}}],
    )
    (problem,) = await judged_config(Template(renderer), subject)
    assert problem.line == 1
    assert problem.source_line is None


async def test_a_render_worker_that_is_gone_is_no_fault_of_the_template(renderer):
    await renderer.stop()
    (problem,) = await judged_config(Template(renderer), candidate())
    assert problem.reason == "ValidatorFailed"
    assert "validator template failed: RenderFailed: the renderer was stopped" in problem.message
