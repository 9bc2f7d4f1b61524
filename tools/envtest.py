"""Finds the programs of a real Kubernetes control plane for tests, or builds them with Go.

A script that prints their folder, `export KUBEBUILDER_ASSETS=$(python tools/envtest.py)`; tests import it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

VERSION = "v1.37.2"
REQUIRED = ("etcd", "kube-apiserver")
"""What KUBEBUILDER_ASSETS must hold; the released envtest archives have no kube-controller-manager."""
BUILT = (*REQUIRED, "kube-controller-manager")
HOW_TO_GET = (
    "no kube-apiserver and etcd found: run `python tools/envtest.py` where Go is installed (it builds them, "
    "about five minutes, once), or set KUBEBUILDER_ASSETS to a folder that holds both, such as the one that "
    "`setup-envtest use -p path` prints"
)

_MODULES = Path(__file__).resolve().parent / "envtest"


def find_assets(build: bool) -> Path | None:  # noqa: FBT001 -- the one question this module asks its caller
    """Return the folder with etcd and kube-apiserver, or None; `build` allows minutes of compiling.

    Looks in $KUBEBUILDER_ASSETS, then in the cache. Raises FileNotFoundError when KUBEBUILDER_ASSETS names a
    folder that lacks one of them, and subprocess.CalledProcessError when the build fails.
    """
    if given := os.environ.get("KUBEBUILDER_ASSETS"):
        folder = Path(given)
        if missing := list(_missing(folder, REQUIRED)):
            raise FileNotFoundError(f"KUBEBUILDER_ASSETS={given} holds no {' and no '.join(missing)}")
        return folder
    folder = cache_folder()
    missing = list(_missing(folder, BUILT))
    if not missing:
        return folder
    if not build or not can_build():
        return None
    for program in missing:
        _build(program, folder)
    return folder


def cache_folder() -> Path:
    """Where built programs are kept, one folder per version."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "kopfbus" / "envtest" / VERSION


def can_build() -> bool:
    """Whether there is a Go compiler on PATH."""
    return shutil.which("go") is not None


def _missing(folder: Path, programs: Iterable[str]) -> Iterable[str]:
    return (program for program in programs if not os.access(folder / program, os.X_OK))


def _build(program: str, folder: Path) -> None:
    """Compile one program; it appears only when complete: parallel runs never see half of it."""
    print(f"building {program} into {folder}", file=sys.stderr, flush=True)
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / f".{program}.{os.getpid()}"
    if program == "etcd":
        module, package, flags = "etcd", ".", "-s -w"
    else:
        module, package, flags = "kubernetes", f"k8s.io/kubernetes/cmd/{program}", f"-s -w {_version_stamp()}"
    subprocess.run(
        ["go", "build", "-trimpath", "-ldflags", flags, "-o", str(unfinished), package],
        cwd=_MODULES / module,
        env={**os.environ, "CGO_ENABLED": "0"},
        stdout=sys.stderr,
        check=True,
    )
    unfinished.replace(folder / program)


def _version_stamp() -> str:
    """Linker flags without which the server calls itself v0.0.0."""
    major, minor, _ = VERSION.removeprefix("v").split(".")
    variables = {"gitVersion": VERSION, "gitMajor": major, "gitMinor": minor}
    return " ".join(f"-X k8s.io/component-base/version.{name}={value}" for name, value in variables.items())


def main() -> None:
    """Print the folder; exit with 1 and say how to get the programs when there is none."""
    try:
        folder = find_assets(build=True)
    except FileNotFoundError as error:
        sys.exit(str(error))
    except subprocess.CalledProcessError as error:
        sys.exit(f"the Go build failed with exit status {error.returncode}; its output is above")
    if folder is None:
        sys.exit(HOW_TO_GET)
    print(folder)


if __name__ == "__main__":
    main()
