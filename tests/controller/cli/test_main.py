"""The command line as a whole: every command is there, explains itself, and is documented."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from controller.cli.main import COMMANDS, cli
from controller.events import ConfigParsed
from tests.controller.cli.manifests import config_template, kopfbus, write

PAGE = (Path(__file__).parents[3] / "docs" / "cli.md").read_text(encoding="utf-8")
EACH = pytest.mark.parametrize("name", COMMANDS)


def command(name: str) -> click.Command:
    found = cli.get_command(click.Context(cli), name)
    assert found is not None
    return found


def options(name: str) -> list[click.Option]:
    return [option for option in command(name).params if isinstance(option, click.Option)]


def section(name: str) -> str:
    found = re.search(rf"^## kopfbus {name}$\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"docs/cli.md has no section on {name}"
    return found[1]


@EACH
def test_every_command_explains_itself(name):
    result = kopfbus(name, "--help")
    assert result.exit_code == 0
    assert command(name).help


@EACH
def test_every_command_and_option_is_documented_with_its_variable(name):
    text = section(name)
    for option in options(name):
        assert re.search(rf"^\| `{option.opts[0]}[` ]", text, re.MULTILINE), option.opts[0]
        prefix = "KOPFBUS" if name == "run" else f"KOPFBUS_{name}"
        assert f"`{prefix}_{option.name}`".upper() in text.upper()
    if not options(name):
        assert "There are no options." in text


@EACH
def test_nothing_is_documented_that_is_not_there(name):
    shown = set(re.findall(r"^\| `(--[a-z-]+)", section(name), re.MULTILINE))
    assert shown == {option.opts[0] for option in options(name)}


def test_all_commands_are_in_the_table_and_no_others():
    listed = re.findall(r"^\| \[`kopfbus (\w+)`\]\(#kopfbus-(\w+)\)", PAGE, re.MULTILINE)
    assert listed == [(name, name) for name in COMMANDS]


@EACH
def test_an_unknown_option_is_a_wrong_call(name):
    assert kopfbus(name, "--no-such-option").exit_code == 2


@pytest.mark.parametrize("name", ["render", "validate", "test"])
def test_without_files_it_is_a_wrong_call(name):
    assert kopfbus(name).exit_code == 2


@pytest.mark.parametrize("name", ["render", "validate", "test"])
def test_an_unreadable_file_is_one_clear_line(name, tmp_path):
    path = tmp_path / "web.yaml"
    path.write_text("a: b: c\n")
    result = kopfbus(name, path)
    assert result.exit_code == 1
    assert (
        result.stderr == f"Error: {path}: line 1, column 5: mapping values are not allowed in this context\n"
    )


def test_a_process_ends_with_the_same_code_and_no_traceback(tmp_path):
    path = write(tmp_path / "web.yaml", config_template(outputs=[]))
    launch = (sys.executable, "-m", "controller", "validate", str(path))
    ended = subprocess.run(launch, capture_output=True, text=True, check=False, timeout=30)
    assert (ended.returncode, ended.stderr) == (1, "")
    assert "spec.outputs: must not be empty" in ended.stdout


def test_the_graph_is_drawn_with_arrows_from_publisher_to_event_to_consumer():
    drawn = kopfbus("graph").stdout
    assert drawn.startswith("flowchart LR\n")
    for line in (
        "  component_loader --> event_config_parsed\n",
        "  event_config_parsed --> component_gate\n",
        "  event_template_rendered([template.rendered]):::fact\n",
        "  component_runtime --> event_leader_became\n",
    ):
        assert line in drawn


def test_the_drawing_declares_every_node_that_it_connects():
    drawn = kopfbus("graph", "--format", "mermaid").stdout
    declared = set(re.findall(r"^ +(\w+)[(\[]", drawn, re.MULTILINE))
    assert {node for arrow in re.findall(r"(\w+) --> (\w+)", drawn) for node in arrow} <= declared


def test_the_table_tells_what_an_event_says():
    table = kopfbus("graph", "--format", "markdown").stdout
    assert ConfigParsed.__doc__ is not None
    assert f"| `config.parsed` | {ConfigParsed.__doc__} | loader | gate |" in table
    assert re.search(r"^\| `config.validated` \(retained\) \|", table, re.MULTILINE)
    assert re.search(r"^\| `component.failed` \|.*\| runtime \| observers only \|$", table, re.MULTILINE)
