"""The page on validators: its example works as written, and its figures are those of the code."""

from __future__ import annotations

import inspect
import re
import sys
import tomllib
from pathlib import Path
from typing import Any

from controller.config.gate import VALIDATION_TIMEOUT
from controller.templating.renderer import Renderer
from controller.validators.builtin import AccessPolicy, all_validators
from controller.validators.component import PROBLEM_LIMIT, THREADS, TIME_LIMIT
from controller.validators.output import MAX_BYTES
from controller.validators.plugins import GROUP
from controller.validators.yaml_check import DEEPEST
from tests.controller.validators import no_wildcard_hosts

PAGE = (Path(__file__).parents[3] / "docs" / "validators.md").read_text(encoding="utf-8")
EXAMPLE, ITS_TEST = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_example_is_the_one_that_is_tested_and_type_checked():
    assert inspect.getsource(no_wildcard_hosts) == EXAMPLE


def test_the_entry_point_leads_to_the_example():
    (text,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    entry_points = tomllib.loads(text)["project"]["entry-points"]
    assert entry_points == {GROUP: {"no-wildcard-hosts": "no_wildcard_hosts:NoWildcardHosts"}}


def test_the_example_of_a_test_passes(monkeypatch):
    monkeypatch.setitem(sys.modules, "no_wildcard_hosts", no_wildcard_hosts)
    names: dict[str, Any] = {}
    exec(ITS_TEST, names)
    (test,) = (value for name, value in names.items() if name.startswith("test_"))
    test()


def test_every_built_in_validator_has_its_row():
    listed = re.findall(r"^\| `([a-z]+)` \| (CONFIG|OUTPUT) \|", PAGE, re.MULTILINE)
    builtin = all_validators(Renderer(), AccessPolicy(frozenset(), allow_secrets=False))
    assert listed == [(validator.name, validator.stage.name) for validator in builtin]


def test_the_figures_are_those_of_the_code():
    for text in (
        f"up to {THREADS} threads",
        f"After {THREADS} lost",
        f"whoever asked waits {VALIDATION_TIMEOUT:g} s",
        f"After {TIME_LIMIT:g} s the call is given up",
        f"the first {PROBLEM_LIMIT:,} are taken",
        f"nesting beyond {DEEPEST} levels",
        f"{MAX_BYTES:,} bytes",
    ):
        assert text in PAGE


def test_a_call_is_not_given_up_before_whoever_asked_has_given_up():
    assert TIME_LIMIT > VALIDATION_TIMEOUT
