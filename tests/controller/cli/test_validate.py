"""`kopfbus validate` tells every problem of every ConfigTemplate, with its place."""

from __future__ import annotations

import pytest
import yaml

from tests.controller.cli.manifests import changed, config_template, ingress, kopfbus, output, write


def test_a_valid_one_is_called_valid(tmp_path):
    path = write(tmp_path / "web.yaml", config_template(namespace=None), ingress("beside"))
    result = kopfbus("validate", path)
    assert (result.stdout, result.exit_code) == (f"{path}: ConfigTemplate default/web: valid\n", 0)


def test_every_problem_of_every_one_is_told(tmp_path):
    broken = changed(
        config_template(outputs=[output("names", "ok\n{{ 1 | to_jsn }}"), output("more", "{% fr x in y %}")]),
        indexBy=["a..b"],
    )
    path = write(tmp_path / "web.yaml", broken, config_template("good"), config_template("bad", outputs=[]))
    result = kopfbus("validate", path)
    assert result.exit_code == 1
    told = [line for line in result.stdout.splitlines() if line.startswith(str(path))]
    for line, start in zip(
        sorted(told),
        (
            "ConfigTemplate edge/bad: spec.outputs: must not be empty",
            "ConfigTemplate edge/good: valid",
            "ConfigTemplate edge/web: spec.outputs[0].template: names line 2, column 8: there is no filter",
            "ConfigTemplate edge/web: spec.outputs[1].template: more line 1, column 4: ",
            "ConfigTemplate edge/web: spec.watches[0].indexBy[0]: ",
        ),
        strict=True,
    ):
        assert line.startswith(f"{path}: {start}")
    assert "\n  {{ 1 | to_jsn }}\n         ^\n" in result.stdout


def test_unknown_fields_are_refused_with_a_suggestion(tmp_path):
    """The API server would prune them with a warning."""
    path = write(tmp_path / "web.yaml", changed(config_template(), labelSelectors={}))
    result = kopfbus("validate", path)
    assert "spec.watches[0].labelSelectors: unknown field; did you mean labelSelector?" in result.stdout
    assert result.exit_code == 1


def test_unknown_fields_beside_the_spec_are_refused(tmp_path):
    path = write(tmp_path / "web.yaml", {**config_template(), "specs": {}})
    result = kopfbus("validate", path)
    assert "ConfigTemplate edge/web: specs: unknown field" in result.stdout
    assert result.exit_code == 1


def test_another_version_is_refused(tmp_path):
    path = write(tmp_path / "web.yaml", {**config_template(), "apiVersion": "kopfbus.dev/v1"})
    result = kopfbus("validate", path)
    assert "apiVersion: kopfbus.dev/v1 is not served; write kopfbus.dev/v1alpha1" in result.stdout
    assert result.exit_code == 1


def test_it_reads_standard_input():
    result = kopfbus("validate", "-", stdin=yaml.safe_dump(config_template()))
    assert result.stdout == "<stdin>: ConfigTemplate edge/web: valid\n"


def test_files_without_a_config_template_are_bad(tmp_path):
    """A misspelt kind must not pass for valid."""
    result = kopfbus("validate", write(tmp_path / "web.yaml", {**config_template(), "kind": "ConfigTemplat"}))
    assert result.exit_code == 1
    assert "there is no ConfigTemplate" in result.stderr


def test_a_missing_file_is_a_wrong_call(tmp_path):
    assert kopfbus("validate", tmp_path / "nowhere.yaml").exit_code == 2


@pytest.mark.parametrize(
    ("options", "exit_code"),
    [
        ((), 0),
        (("--trusted-namespace", "other"), 1),
        (("--trusted-namespace", "edge"), 0),
        (("--trusted-namespace", "other", "--trusted-namespace", "edge"), 0),
        (("--allow-secrets",), 1),
    ],
)
def test_looking_beyond_the_namespace_is_judged_when_an_operators_options_are_given(
    options, exit_code, tmp_path
):
    path = write(tmp_path / "web.yaml", changed(config_template(), allNamespaces=True))
    assert kopfbus("validate", path, *options).exit_code == exit_code


@pytest.mark.parametrize(
    ("options", "exit_code"), [((), 0), (("--allow-secrets",), 0), (("--trusted-namespace", "edge"), 1)]
)
def test_secrets_are_judged_when_an_operators_options_are_given(options, exit_code, tmp_path):
    target = {"kind": "Secret", "name": "target", "key": "names"}
    path = write(tmp_path / "web.yaml", config_template(outputs=[output("names", "x", target=target)]))
    assert kopfbus("validate", path, *options).exit_code == exit_code


def test_options_may_be_variables(tmp_path):
    path = write(tmp_path / "web.yaml", changed(config_template(), allNamespaces=True))
    assert kopfbus("validate", path, KOPFBUS_VALIDATE_TRUSTED_NAMESPACES="a b").exit_code == 1
    assert kopfbus("validate", path, KOPFBUS_VALIDATE_TRUSTED_NAMESPACES="a edge").exit_code == 0
