"""`kopfbus test` runs the tests in ConfigTemplates and reports."""

from __future__ import annotations

import re
from typing import Any

from tests.controller.cli.manifests import Document, changed, config_template, kopfbus, output, write


def one_test(**test: Any) -> list[Document]:
    return [{"name": "it works", "expect": [{"output": "names", "equals": "a\n"}], **test}]


A = {"metadata": {"name": "a"}}


def test_passed_tests_are_listed(tmp_path):
    path = write(tmp_path / "web.yaml", config_template(tests=one_test(fixtures={"ingresses": [A]})))
    result = kopfbus("test", path)
    assert result.stdout == f"{path}: ConfigTemplate edge/web\n  ok      it works\npassed: 1, failed: 0\n"
    assert result.exit_code == 0


def test_failed_tests_are_listed_with_what_was_expected(tmp_path):
    good, bad = (
        one_test(fixtures={"ingresses": [A]}),
        one_test(name="it fails", fixtures={"ingresses": [A, {}]}),
    )
    result = kopfbus("test", write(tmp_path / "web.yaml", config_template(tests=[*bad, *good])))
    assert result.exit_code == 1
    assert "  FAILED  it fails\n    spec.tests[0].expect[0]: names must equal" in result.stdout
    assert "      | +ingress-2\n" in result.stdout
    assert result.stdout.endswith("  ok      it works\npassed: 1, failed: 1\n")


def test_without_tests_it_says_so_and_is_content(tmp_path):
    path = write(tmp_path / "web.yaml", config_template())
    result = kopfbus("test", path)
    assert f"{path}: ConfigTemplate edge/web: no tests\n" in result.stdout
    assert result.exit_code == 0


def test_an_invalid_one_is_not_tested_and_the_others_are(tmp_path):
    bad = config_template("bad", outputs=[output("names", "{{")], tests=one_test())
    good = config_template(tests=one_test(fixtures={"ingresses": [A]}))
    path = write(tmp_path / "web.yaml", bad, good)
    result = kopfbus("test", path)
    assert f"{path}: ConfigTemplate edge/bad: spec.outputs[0].template: names line 1" in result.stdout
    assert "passed: 1, failed: 0" in result.stdout
    assert result.exit_code == 1


def test_fixtures_get_name_and_namespace_where_they_have_none(tmp_path):
    text = (
        "{% for o in ingresses %}{{ o.kind }} {{ o.metadata.namespace }}/{{ o.metadata.name }}\n{% endfor %}"
    )
    template = config_template(
        outputs=[output("names", text)],
        tests=[
            {
                "name": "defaults",
                "fixtures": {"ingresses": [{}, {"metadata": {"name": "a", "namespace": "z"}}, {"spec": {}}]},
                "expect": [
                    {
                        "output": "names",
                        "equals": "Ingress edge/ingress-1\nIngress edge/ingress-3\nIngress z/a\n",
                    }
                ],
            }
        ],
    )
    assert kopfbus("test", write(tmp_path / "web.yaml", template)).exit_code == 0


def test_fixtures_of_a_watch_elsewhere_are_there_and_cluster_scoped_ones_nowhere(tmp_path):
    outputs = [output("names", "{{ ingresses[0].metadata.namespace }} {{ nodes[0].metadata | to_json }}")]
    template = changed(config_template(outputs=outputs), namespaces=["team-b", "team-a"])
    template["spec"]["watches"].append(
        {"name": "nodes", "apiVersion": "v1", "kind": "Node", "allNamespaces": True}
    )
    template["spec"]["tests"] = [
        {
            "name": "places",
            "fixtures": {"ingresses": [{}], "nodes": [{}]},
            "expect": [{"output": "names", "equals": 'team-b {"name":"node-1"}'}],
        }
    ]
    result = kopfbus("test", write(tmp_path / "web.yaml", template))
    assert result.exit_code == 0, result.stdout


def test_ignored_fields_are_ignored_in_fixtures(tmp_path):
    """A test must not see what the templates will not see on a cluster."""
    fixture = {**A, "spec": {"host": "x"}}
    outputs = [output("names", "{{ ingresses[0].spec.host }}")]
    template = changed(
        config_template(
            outputs=outputs,
            tests=one_test(fixtures={"ingresses": [fixture]}, expect=[{"error": "'host' is undefined"}]),
        ),
        ignoreFields=["spec.host"],
    )
    result = kopfbus("test", write(tmp_path / "web.yaml", template))
    assert result.exit_code == 0, result.stdout


def test_two_fixtures_of_one_name_are_refused(tmp_path):
    """No cluster could hold both."""
    template = config_template(tests=one_test(fixtures={"ingresses": [A, A]}))
    result = kopfbus("test", write(tmp_path / "web.yaml", template))
    assert "spec.tests[0].fixtures.ingresses[1]: edge/a is there already" in result.stdout
    assert result.exit_code == 1


def test_fixtures_that_are_no_objects_are_refused(tmp_path):
    template = config_template(tests=one_test(fixtures={"ingresses": [{"metadata": []}]}))
    result = kopfbus("test", write(tmp_path / "web.yaml", template))
    assert "spec.tests[0].fixtures.ingresses[0].metadata: must be a mapping" in result.stdout
    assert result.exit_code == 1


def test_values_of_a_test_replace_those_of_the_spec_one_by_one(tmp_path):
    template = config_template(
        values={"a": {"x": 1, "y": 2}, "b": 3},
        outputs=[output("names", "{{ values | to_json }}")],
        tests=one_test(values={"a": {"x": 4}}, expect=[{"output": "names", "equals": '{"a":{"x":4},"b":3}'}]),
    )
    result = kopfbus("test", write(tmp_path / "web.yaml", template))
    assert result.exit_code == 0, result.stdout


def test_what_a_validator_refuses_fails_the_test(tmp_path):
    """It would not be published, whatever the expectations say."""
    outputs = [output("names", "{]", format="json")]
    tests = one_test(expect=[{"output": "names", "contains": "{"}])
    result = kopfbus("test", write(tmp_path / "web.yaml", config_template(outputs=outputs, tests=tests)))
    assert re.search("^    names line 1, column 2: .*not valid JSON", result.stdout, re.MULTILINE)
    assert result.exit_code == 1


def test_a_failure_can_be_expected_of_one_that_watches_secrets(tmp_path):
    """Fixtures are no secrets: the message can be compared."""
    target = {"kind": "Secret", "name": "a", "key": "b"}
    template = changed(
        config_template(
            outputs=[output("names", "{{ fail('no Secret') }}", target=target)],
            tests=one_test(expect=[{"error": "no Secret"}]),
        ),
        apiVersion="v1",
        kind="Secret",
    )
    result = kopfbus("test", write(tmp_path / "web.yaml", template))
    assert result.exit_code == 0, result.stdout


def test_names_are_printed_as_they_are_and_lines_are_not_broken(tmp_path):
    """What looks like rich's markup is none, and a log can be searched."""
    name = "[red]" + "long " * 40
    template = config_template(tests=one_test(name=name, fixtures={"ingresses": [A]}))
    assert f"  ok      {name}" in kopfbus("test", write(tmp_path / "web.yaml", template)).stdout


def test_colours_are_for_terminals_without_no_color(tmp_path):
    path = write(tmp_path / "web.yaml", config_template(tests=one_test(fixtures={"ingresses": [A]})))
    terminal = {"FORCE_COLOR": "1", "TERM": "xterm-256color"}
    assert "\x1b[" in kopfbus("test", path, **terminal).stdout
    assert "\x1b[" not in kopfbus("test", path, **terminal, NO_COLOR="1").stdout
    assert "\x1b[" not in kopfbus("test", path).stdout
