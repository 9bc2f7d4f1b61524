"""Plug-ins: found by entry point, asked like the built-in ones, named when they cannot be used."""

from __future__ import annotations

import inspect
import sys

import pytest

from controller.templating.renderer import Renderer
from controller.validators.builtin import AccessPolicy, all_validators
from controller.validators.config import Basic
from controller.validators.interface import Stage
from controller.validators.plugins import GROUP, PluginError, load_plugins
from tests.controller.validators import no_wildcard_hosts
from tests.controller.validators.support import TARGET, ask, asking, candidate, output

POLICY = AccessPolicy(frozenset(), allow_secrets=False)
HEAD = "from controller.validators.interface import *\n"


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Installs packages as pip does: a module and its metadata on the path."""

    def install(package: str, source: str, entry_point: str, *, name: str = "") -> None:
        module = package.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(source)
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[{GROUP}]\n{name or package} = {module}:{entry_point}\n")
        monkeypatch.delitem(sys.modules, module, raising=False)

    monkeypatch.syspath_prepend(tmp_path)
    return install


def install_validator(install, package: str, *, name: str, stage: str = "Stage.OUTPUT") -> None:
    body = f"    name = {name!r}\n    stage = {stage}\n    def validate(self, subject): return ()\n"
    install(package, f"{HEAD}class V(Validator):\n{body}", "V")


def refusal() -> str:
    with pytest.raises(PluginError) as raised:
        load_plugins()
    return str(raised.value)


def test_without_plug_ins_there_are_none():
    assert load_plugins("kopfbus.no-such-group") == ()


async def test_an_installed_plug_in_is_asked_and_can_refuse(install):
    install("no-wildcard-hosts", inspect.getsource(no_wildcard_hosts), "NoWildcardHosts")
    validators = all_validators(Renderer(), POLICY)
    names = [validator.name for validator in validators if validator.stage is Stage.OUTPUT]
    assert "no-wildcard-hosts" in names
    async with asking(*validators) as bus:
        result = await ask(bus, names, output("a.example.org\n*.example.org\n", name="hosts"))
        (problem,) = result.responses["no-wildcard-hosts"].problems
        assert str(problem) == "hosts line 2: no-wildcard-hosts: no wildcards, please\n  *.example.org"
        assert problem.validator == "no-wildcard-hosts"
        result = await ask(bus, names, output("a.example.org\n"))
        assert not any(answer.problems for answer in result.responses.values())


def test_plug_ins_are_sorted_by_name(install):
    for package, name in (("one", "zebra"), ("two", "ant"), ("three", "mole")):
        install_validator(install, package, name=name)
    assert [validator.name for validator in load_plugins()] == ["ant", "mole", "zebra"]


def test_an_entry_point_may_be_an_instance(install):
    body = "    stage = Stage.OUTPUT\n    def validate(self, subject): return ()\n"
    source = f"{HEAD}class V(Validator):\n{body}v = V()\nv.name = 'made'\n"
    install("one", source, "v")
    assert [validator.name for validator in load_plugins()] == ["made"]


@pytest.mark.parametrize(
    ("source", "entry_point", "says"),
    [
        ("import no_such_module", "V", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("", "V", "AttributeError: "),
        ("raise RuntimeError('two\\nlines')", "V", "RuntimeError: two lines"),
        ("raise SystemExit(3)", "V", "SystemExit: 3"),
        ("class V: pass", "V", "is no subclass of controller.validators.interface.Validator"),
        ("def V(): pass", "V", "is no subclass of controller.validators.interface.Validator"),
        (f"{HEAD}class V(Validator): name = 'v'; stage = Stage.OUTPUT", "V", "abstract"),
    ],
)
def test_a_plug_in_that_cannot_be_used_is_named_in_one_line(install, source, entry_point, says):
    install("broken-one", source, entry_point, name="mine")
    text = refusal()
    assert text.startswith("plug-in broken-one 1.0 (mine = broken_one:V): ")
    assert says in text
    assert "\n" not in text


@pytest.mark.parametrize("name", ["", "Upper", "under_score", "-a", "a" * 64, "two words", 3])
def test_a_name_must_be_one_that_a_config_template_can_list(install, name):
    install_validator(install, "one", name=name)
    assert f"its name is {name!r}" in refusal()


def test_the_name_and_the_stage_must_be_there(install):
    source = f"{HEAD}class V(Validator):\n    def validate(self, subject): return ()\n"
    install("one", source, "V")
    assert "its name is None" in refusal()


def test_the_stage_must_be_one(install):
    install_validator(install, "one", name="one", stage="'output'")
    assert "its stage is 'output'; it must be Stage.CONFIG or Stage.OUTPUT" in refusal()


def test_two_plug_ins_of_one_name_are_both_named(install):
    install_validator(install, "one", name="same")
    install_validator(install, "two", name="same")
    text = refusal()
    assert "a validator 'same' is there already" in text
    assert "plug-in one 1.0" in text
    assert "plug-in two 1.0" in text


@pytest.mark.parametrize("name", ["basic", "access", "template", "jsonpath", "format", "nonempty", "size"])
def test_the_names_of_the_built_in_ones_are_taken(install, name):
    install_validator(install, "one", name=name)
    with pytest.raises(PluginError, match=f"a validator '{name}' is there already, of kopfbus itself"):
        all_validators(Renderer(), POLICY)


def test_no_two_validators_share_a_name(install):
    install_validator(install, "one", name="one")
    names = [validator.name for validator in all_validators(Renderer(), POLICY)]
    assert len(names) == len(set(names)) == 8


def test_output_validators_may_be_listed_and_others_not(install):
    install_validator(install, "one", name="judges-texts")
    install_validator(install, "two", name="judges-specs", stage="Stage.CONFIG")
    (basic,) = (v for v in all_validators(Renderer(), POLICY) if v.name == "basic")
    outputs = [
        {
            "name": "a",
            "template": "",
            "target": TARGET,
            "validators": ["judges-texts", "judges-specs", "format"],
        }
    ]
    assert isinstance(basic, Basic)
    (problem,) = basic.validate(candidate(outputs=outputs))
    assert problem.path == "spec.outputs[0].validators[1]"
