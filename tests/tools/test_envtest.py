"""Finding the programs of a real control plane: in which order, and what is said when there are none."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tools import envtest


@pytest.fixture(autouse=True)
def _nothing_installed(monkeypatch, tmp_path):
    monkeypatch.delenv("KUBEBUILDER_ASSETS", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path / "no-go"))


def programs(folder: Path, names: Iterable[str]) -> Path:
    folder.mkdir(parents=True)
    for name in names:
        (folder / name).touch(mode=0o755)
    return folder


def test_kubebuilder_assets_come_first(monkeypatch, tmp_path):
    programs(envtest.cache_folder(), envtest.BUILT)
    given = programs(tmp_path / "assets", ["etcd", "kube-apiserver"])
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(given))
    assert envtest.find_assets(build=False) == given


def test_incomplete_kubebuilder_assets_are_an_error_that_names_what_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(programs(tmp_path / "assets", ["etcd"])))
    with pytest.raises(FileNotFoundError, match="assets holds no kube-apiserver"):
        envtest.find_assets(build=False)


def test_the_cache_comes_next(tmp_path):
    folder = programs(envtest.cache_folder(), envtest.BUILT)
    assert envtest.find_assets(build=False) == folder
    assert folder.is_relative_to(tmp_path / "cache" / "kopfbus")


def test_an_incomplete_cache_is_none(tmp_path):
    programs(envtest.cache_folder(), ["etcd"])
    assert envtest.find_assets(build=False) is None


def test_what_is_missing_is_built_with_go_and_only_that(monkeypatch):
    folder = programs(envtest.cache_folder(), ["etcd", "kube-apiserver"])
    commands = []

    def run(command, **_options):
        commands.append(command)
        Path(command[command.index("-o") + 1]).touch(mode=0o755)

    monkeypatch.setattr(envtest, "can_build", lambda: True)
    monkeypatch.setattr(subprocess, "run", run)
    assert envtest.find_assets(build=True) == folder
    assert [command[-1] for command in commands] == ["k8s.io/kubernetes/cmd/kube-controller-manager"]
    assert f"gitVersion={envtest.VERSION}" in " ".join(commands[0])
    assert sorted(path.name for path in folder.iterdir()) == sorted(envtest.BUILT)


def test_without_go_the_script_fails_and_tells_how_to_get_them():
    script = subprocess.run([sys.executable, envtest.__file__], capture_output=True, text=True, check=False)
    assert script.returncode == 1
    assert script.stdout == ""
    assert "KUBEBUILDER_ASSETS" in script.stderr
    assert "python tools/envtest.py" in script.stderr


def test_the_script_prints_the_folder_and_nothing_else():
    folder = programs(envtest.cache_folder(), envtest.BUILT)
    script = subprocess.run([sys.executable, envtest.__file__], capture_output=True, text=True, check=True)
    assert script.stdout == f"{folder}\n"
