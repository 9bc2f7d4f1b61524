"""The fork server: a small single-threaded process that forks a child for each render or check.

`python -m controller.templating.worker`, with one end of a socket pair as standard input. Messages from the
main process name a job and say RUN (with the job's connection attached) or KILL; messages back tell the exit
code of a job's child. At the end of the stream it kills what still runs and exits (no parent-death signal
for itself: that comes when the thread that started it ends). It never looks at a job, so no template can
harm it; the children live under limits that the kernel enforces.
"""

from __future__ import annotations

import ctypes
import gc
import math
import os
import resource
import selectors
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from controller.templating.protocol import (
    LENGTH,
    NOT_FORKED,
    NOTICE,
    ORDER,
    READY,
    RUN,
    Exceeded,
    Frame,
    RenderJob,
    Request,
    decode_request,
    encode_frame,
)
from controller.templating.rendering import work

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4
_OPEN_FILES = 16
_libc = ctypes.CDLL(None, use_errno=True)


class ForkServer:
    """Takes orders until the main process is gone."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._children: dict[int, int] = {}
        """Job by process id."""
        self._child_ended, wakeup = socket.socketpair()
        for end in (self._child_ended, wakeup):
            end.setblocking(False)
        self._wakeup = wakeup
        signal.set_wakeup_fd(wakeup.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # without a handler nothing is written there

    def serve(self) -> None:
        """Fork, kill and reap as ordered; returns when the main process is gone."""
        with suppress(ConnectionError):
            self._control.send(NOTICE.pack(READY, 0))
            self._serve()
        for child in self._children:
            os.kill(child, signal.SIGKILL)

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._control, selectors.EVENT_READ)
            selector.register(self._child_ended, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select():
                    if key.fileobj is self._child_ended:
                        self._reap()
                    elif not self._obey():
                        return

    def _obey(self) -> bool:
        """Carry out one order; false at the end of the stream."""
        order, descriptors, _, _ = socket.recv_fds(self._control, ORDER.size, 1)
        if not order:
            return False
        verb, job = ORDER.unpack(order)
        if verb == RUN:
            self._fork(job, socket.socket(fileno=descriptors[0]))
        else:
            for child in [child for child, its_job in self._children.items() if its_job == job]:
                os.kill(child, signal.SIGKILL)
        return True

    def _fork(self, job: int, connection: socket.socket) -> None:
        server = os.getpid()
        with connection:
            try:
                child = os.fork()
            except OSError:
                self._control.send(NOTICE.pack(job, NOT_FORKED))
                return
            if child == 0:
                _be_child(connection, server)
        self._children[child] = job

    def _reap(self) -> None:
        with suppress(BlockingIOError):
            self._child_ended.recv(4096)
        for child in list(self._children):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                self._control.send(NOTICE.pack(self._children.pop(child), os.waitstatus_to_exitcode(status)))


def _be_child(connection: socket.socket, server: int) -> NoReturn:
    """Do one job and exit; whatever happens, nothing of it reaches the fork server's code."""
    code = 1
    try:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == server:  # else it died before the line above
            _leave_server(connection.fileno())
            _do_job(connection)
            code = 0
    finally:
        os._exit(code)


def _leave_server(connection: int) -> None:
    """Drop what the fork server has: its sockets, its signal handling, the way to its log."""
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDWR), 2)  # a traceback could show a Secret's value
    os.closerange(3, connection)
    os.closerange(connection + 1, 1024)


def _do_job(connection: socket.socket) -> None:
    gc.disable()  # the process ends before garbage would matter
    request = decode_request(_receive(connection))

    def report(frame: Frame) -> None:
        data = encode_frame(frame)
        connection.sendall(LENGTH.pack(len(data)) + data)

    _limit(request)
    try:
        work(request, report)
    except MemoryError:
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        report(Exceeded("memory"))


def _receive(connection: socket.socket) -> bytes:
    with connection.makefile("rb") as stream:
        (length,) = LENGTH.unpack(stream.read(LENGTH.size))
        return stream.read(length)


def _limit(request: Request) -> None:
    """Hand the limits to the kernel: it ends the process when C code never returns to Python, too."""
    address_space = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (address_space + request.memory_limit, most))
    seconds = math.ceil(request.time_limit) + 1
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES, _OPEN_FILES))
    signal.setitimer(signal.ITIMER_REAL, request.time_limit)


def _settle() -> None:
    """Stand back: last for the processor, first for the out-of-memory killer, and never dumped to disk."""
    os.nice(5)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    with suppress(OSError):  # not everywhere may a process write this
        Path("/proc/self/oom_score_adj").write_text("1000", "ascii")
    _libc.prctl(_PR_SET_DUMPABLE, 0)  # a limit on cores does not bind a core handler that is a program


def _warm_up() -> None:
    """Run each kind of thing once, so that no child has to import or compile what all of them need."""
    job = RenderJob(
        outputs=(("", "{% for x in [1] %}{{ x | to_yaml | indent }}{{ y }}{% endfor %}"),),
        snippets=(),
        values={},
        watches=(),
    )
    work(Request("render", job, 1.0, 1, 1), lambda _: None)


def main() -> None:
    """Serve until standard input, a socket, comes to its end."""
    control = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    _settle()
    _warm_up()
    gc.collect()
    gc.freeze()
    ForkServer(control).serve()


if __name__ == "__main__":
    main()
