"""Runs a program that dies with the process that started it, so that no test run leaves servers behind.

Usage: `python tethered.py PARENT_PID PROGRAM ARGUMENT...`. It is a launcher of its own because `preexec_fn`
is unsafe in a process with threads. The parent must start it from a thread that lives as long as the program
shall.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Become the program, tied to the parent's life."""
    parent, program = int(sys.argv[1]), sys.argv[2]
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL) != 0:
        sys.exit(f"prctl(PR_SET_PDEATHSIG) failed: {os.strerror(ctypes.get_errno())}")
    if os.getppid() != parent:
        sys.exit("the parent died before the program started")
    os.execv(program, sys.argv[2:])


if __name__ == "__main__":
    main()
