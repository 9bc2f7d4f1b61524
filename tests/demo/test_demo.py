"""The demo comes true, cleans up, and fails when a step does not come true."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from controller.demo.narrator import Narrator
from controller.demo.stage import Stage, StepFailed


async def run_demo(folder: Path, *options: str) -> tuple[int, str]:
    """`kopfbus demo` in a process of its own, with a folder of its own for temporary files."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "controller", "demo", *options,
        env={**os.environ, "TMPDIR": str(folder), "NO_COLOR": "1"},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


async def test_the_whole_story_comes_true_and_leaves_nothing_behind(tmp_path: Path) -> None:
    code, output = await run_demo(tmp_path)
    assert code == 0, output
    assert re.findall(r"^\d+\. ", output, re.MULTILINE) == [f"{number}. " for number in range(1, 9)]
    assert "FAILED" not in output
    assert "\x1b" not in output
    assert list(tmp_path.iterdir()) == []


async def test_a_step_that_does_not_come_true_says_what_was_expected_and_found() -> None:
    stage = Stage.__new__(Stage)

    async def never() -> bool:
        return False

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("controller.demo.stage.PATIENCE", 0.01)
        with pytest.raises(StepFailed) as failed:
            await stage.until(never, "a leader", lambda: "nobody")
    assert str(failed.value) == "expected: a leader\nfound: nobody"


def test_without_a_terminal_lines_are_plain(capsys: pytest.CaptureFixture[str]) -> None:
    narrator = Narrator()
    narrator.step("Something happens")
    narrator.diff("a file", "one\n", "two\n")
    assert "\n1. Something happens\n   --- a file\n" in capsys.readouterr().out
