"""`kopfbus demo`: the story, told on a sandbox with two real replicas."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
from pathlib import Path

import click

from controller.demo.narrator import Narrator
from controller.demo.stage import Stage, StepFailed
from controller.demo.story import Story
from controller.kube.errors import KubeError

PACKAGED = Path(__file__).parents[1] / "demo" / "haproxy"
"""Where a wheel has the example."""
CHECKOUT = Path(__file__).parents[2] / "examples" / "haproxy"
"""Where a checkout has it."""


@click.command
@click.option("--keep", is_flag=True, help="Leave everything running, and say how to reach it.")
def demo(*, keep: bool) -> None:
    """Tell a story on a sandbox: rendering, refusals, repair, a dying leader. 1 if a step fails."""
    logging.disable(logging.WARNING)
    narrator = Narrator()
    try:
        asyncio.run(_tell(narrator, keep=keep))
    except (KeyboardInterrupt, asyncio.CancelledError):
        sys.exit(130)
    except StepFailed as failure:
        narrator.bad(str(failure))
        sys.exit(1)
    except KubeError as error:
        narrator.bad(f"the sandbox: {error}")
        sys.exit(1)


async def _tell(narrator: Narrator, *, keep: bool) -> None:
    me = asyncio.current_task()
    if me is not None:  # SIGTERM cleans up as Ctrl-C does
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, me.cancel)
    async with Stage(keep=keep) as stage:
        await Story(stage, narrator, PACKAGED if PACKAGED.exists() else CHECKOUT).tell()
        narrator.step("The end")
        if not keep:
            narrator.say("everything is cleaned up; see docs/architecture.md for how it works")
            return
        narrator.say(f"still running; export KUBECONFIG={stage.kubeconfig}")
        narrator.say("then: kubectl -n demo get ctpl,configmap,ingress,lease")
        narrator.say(f"logs: {stage.folder}/*.log")
        pids = " ".join(str(p.pid) for p in stage.processes.values() if p.returncode is None)
        narrator.say(f"to end it: kill {pids}; rm -r {stage.folder}")
