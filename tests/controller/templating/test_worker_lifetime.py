"""The main process stays clear of templates, and its fork server does not outlive it."""

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


async def run_python(program: str) -> asyncio.subprocess.Process:
    """Another interpreter with the import path of this one."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, env=environment
    )


async def test_the_main_process_has_nothing_that_could_compile_a_template():
    python = await run_python("import sys, controller.templating.renderer; print('jinja2' in sys.modules)")
    output, _ = await python.communicate()
    assert output.strip() == b"False"


async def test_nothing_is_left_when_the_main_process_is_killed():
    parent = await run_python(PARENT)
    assert parent.stdout
    worker = int(await parent.stdout.readline())
    await until(lambda: bool(children(worker)))
    (child,) = children(worker)
    parent.kill()
    assert await parent.wait() == -signal.SIGKILL
    await until(lambda: not runs(worker))
    await until(lambda: not runs(child))
