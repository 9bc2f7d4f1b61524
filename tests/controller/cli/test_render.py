"""`kopfbus render` prints what would be published, or what is in the way."""

from __future__ import annotations

import pytest
import yaml

from tests.controller.cli.manifests import changed, config_template, ingress, kopfbus, output, write


@pytest.fixture
def objects(tmp_path):
    return write(tmp_path / "objects.yaml", ingress("b"), ingress("a"), ingress("c", "other"))


def test_a_single_output_is_printed_as_it_is(tmp_path, objects):
    result = kopfbus("render", write(tmp_path / "web.yaml", config_template()), "--objects", objects)
    assert (result.stdout, result.exit_code) == ("a\nb\n", 0)


def test_several_outputs_have_headings(tmp_path):
    outputs = [output("one", "1"), output("two", "2\n")]
    result = kopfbus("render", write(tmp_path / "web.yaml", config_template(outputs=outputs)))
    assert result.stdout == (
        "# edge/web: one (ConfigMap target, key one)\n1\n# edge/web: two (ConfigMap target, key two)\n2\n"
    )


def test_one_of_several_can_be_had_as_it_is(tmp_path):
    outputs = [output("one", "1"), output("two", "2\n")]
    template = write(tmp_path / "web.yaml", config_template(outputs=outputs))
    assert kopfbus("render", template, "--output", "one").stdout == "1"


def test_an_output_that_is_not_there_is_a_wrong_call(tmp_path):
    result = kopfbus("render", write(tmp_path / "web.yaml", config_template()), "--output", "nmaes")
    assert result.exit_code == 2
    assert "output 'nmaes' is not there; the outputs are: names" in result.stderr


def test_an_output_of_that_name_in_two_is_a_wrong_call(tmp_path):
    both = write(tmp_path / "web.yaml", config_template(), config_template("other"))
    result = kopfbus("render", both, "--output", "names")
    assert result.exit_code == 2
    assert "in several ConfigTemplates" in result.stderr


def test_objects_may_stand_beside_the_config_template_on_standard_input():
    text = yaml.safe_dump_all([config_template(), ingress("a")])
    assert kopfbus("render", "-", stdin=text).stdout == "a\n"


def test_a_failed_render_is_told_on_standard_error_and_nothing_is_printed(tmp_path, objects):
    outputs = [output("good", "1"), output("bad", "{{ ingresses.get('a').spec.host }}")]
    template = write(tmp_path / "web.yaml", config_template("good"), config_template(outputs=outputs))
    result = kopfbus("render", template, "--objects", objects)
    assert (result.stdout, result.exit_code) == ("", 1)
    assert result.stderr.startswith(
        f"{template}: ConfigTemplate edge/web: spec.outputs[1].template: bad line 1, column"
    )
    assert "'spec' is undefined" in result.stderr
    assert result.stderr.splitlines()[-1].strip() == "^"


def test_an_invalid_config_template_is_not_rendered(tmp_path):
    template = write(tmp_path / "web.yaml", changed(config_template(), ignoreFields=["a..b"]))
    result = kopfbus("render", template)
    assert (result.stdout, result.exit_code) == ("", 1)
    assert "spec.watches[0].ignoreFields[0]" in result.stderr


def test_what_cannot_be_selected_offline_is_told(tmp_path):
    template = write(tmp_path / "web.yaml", changed(config_template(), fieldSelector="spec.host=a"))
    result = kopfbus("render", template)
    assert result.exit_code == 1
    assert f"{template}: ConfigTemplate edge/web: spec.watches[0].fieldSelector:" in result.stderr


def test_nothing_is_withheld_from_who_has_the_secrets(tmp_path):
    """The operator would tell position and kind only (X3)."""
    template = changed(
        config_template(
            outputs=[
                output(
                    "names", "{{ fail('no Secret a') }}", target={"kind": "Secret", "name": "a", "key": "b"}
                )
            ]
        ),
        apiVersion="v1",
        kind="Secret",
    )
    result = kopfbus("render", write(tmp_path / "web.yaml", template))
    assert "no Secret a" in result.stderr
    assert result.exit_code == 1
