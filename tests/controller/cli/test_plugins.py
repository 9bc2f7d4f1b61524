"""Validators of other packages are asked offline, too; what is wrong with them is told by name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from tests.controller.cli.manifests import config_template, kopfbus, write

Install = Callable[[str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a package with one validator, whose method has this body."""

    def with_body(body: str) -> None:
        module = f"extra_{tmp_path.name}"
        metadata = tmp_path / "extra-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: extra\nVersion: 1.0\n")
        (metadata / "entry_points.txt").write_text(f"[kopfbus.validators]\nextra = {module}:Extra\n")
        (tmp_path / f"{module}.py").write_text(
            dedent(
                f"""
                from controller.validators.interface import Problem, Stage, Validator

                class Extra(Validator):
                    name = "extra"
                    stage = Stage.CONFIG

                    def validate(self, subject):
                        {body}
                """
            )
        )
        monkeypatch.syspath_prepend(tmp_path)

    return with_body


@pytest.fixture
def template(tmp_path: Path) -> Path:
    return write(tmp_path / "web.yaml", config_template())


def test_a_plug_in_is_asked(template, install: Install):
    install('yield Problem(message="not on Fridays", path="spec")')
    result = kopfbus("validate", template)
    assert (result.stdout, result.exit_code) == (
        f"{template}: ConfigTemplate edge/web: spec: extra: not on Fridays\n",
        1,
    )


def test_a_plug_in_that_raises_is_named_and_its_log_is_not_on_stdout(template, install: Install):
    install('raise RuntimeError("out of order")')
    result = kopfbus("validate", template)
    assert result.exit_code == 1
    assert result.stdout == (
        f"{template}: ConfigTemplate edge/web: validator extra failed: RuntimeError: out of order\n"
    )
    assert "out of order" in result.stderr


def test_a_plug_in_that_cannot_be_loaded_is_one_clear_line(template, install: Install, tmp_path: Path):
    install("yield")
    (tmp_path / "extra-1.0.dist-info" / "entry_points.txt").write_text(
        "[kopfbus.validators]\nextra = nowhere:Extra\n"
    )
    result = kopfbus("validate", template)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "extra = nowhere:Extra" in result.stderr
    assert "No module named 'nowhere'" in result.stderr
