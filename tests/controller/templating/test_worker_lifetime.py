"""The fork server and its children do not outlive those that they serve."""

from __future__ import annotations

import asyncio
import os
import signal
import sys

from tests.controller.templating.processes import children, runs, until

PARENT = """
import asyncio
from controller.templating.renderer import Renderer, RenderJob

async def main():
    renderer = Renderer(time_limit=60)
    await renderer.start()
    print(renderer._worker.pid, flush=True)
    loop = "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}"
    await renderer.render(RenderJob((("out", loop),), (), {}, ()))

asyncio.run(main())
"""


async def test_nothing_is_left_when_the_main_process_is_killed():
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, stdout=asyncio.subprocess.PIPE, env=environment
    )
    assert parent.stdout
    worker = int(await parent.stdout.readline())
    await until(lambda: bool(children(worker)))
    (child,) = children(worker)
    parent.kill()
    assert await parent.wait() == -signal.SIGKILL
    await until(lambda: not runs(worker))
    await until(lambda: not runs(child))
