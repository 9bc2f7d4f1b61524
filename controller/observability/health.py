"""Readiness and liveness, in the form that Kubernetes' own components answer (X4)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

import structlog

ReadinessCheck = Callable[[], bool | str]
"""True when ready, else False or the reason. Called in the main loop: must not block."""

LivenessCheck = Callable[[], bool | float]
"""Seconds since a loop last turned, or whether it turns. Called in the main loop; must not block."""

STALLED_AFTER: Final = 30.0
"""Seconds without a turn after which a loop is taken for dead."""

_Answer = TypeVar("_Answer")

_log = structlog.get_logger("kopfbus.health")


@dataclass(frozen=True, slots=True)
class Report:
    """What the checks said: the reason by name, empty where all is well."""

    name: str
    reasons: Mapping[str, str]

    @property
    def ok(self) -> bool:
        """Whether every check is well."""
        return not any(self.reasons.values())

    def text(self, *, verbose: bool) -> str:
        """As kube-apiserver writes it: `ok`, or with `verbose` and in failure a line for each check."""
        if self.ok and not verbose:
            return "ok"
        return "".join(f"{line}\n" for line in self._lines())

    def _lines(self) -> Iterator[str]:
        for check, reason in self.reasons.items():
            yield f"[-]{check} failed: {reason}" if reason else f"[+]{check} ok"
        yield f"{self.name} check {'passed' if self.ok else 'failed'}"


class Health:
    """The checks of one replica. Leadership is none of them: a standby is ready, and alive."""

    def __init__(
        self, readiness: Mapping[str, ReadinessCheck], liveness: Mapping[str, LivenessCheck]
    ) -> None:
        self._readiness = readiness
        self._liveness = liveness
        self._going_down = False

    def going_down(self) -> None:
        """Be unready from now on: no more requests are wanted."""
        self._going_down = True

    def ready(self) -> Report:
        """Whether the replica is up to its work."""
        reasons = {name: _look(name, check, _unready) for name, check in self._readiness.items()}
        reasons["shutdown"] = "the replica is going down" if self._going_down else ""
        return Report("readyz", reasons)

    def alive(self) -> Report:
        """Whether the process is worth keeping."""
        return Report("livez", {name: _look(name, check, _stalled) for name, check in self._liveness.items()})


def _look(name: str, check: Callable[[], _Answer], judge: Callable[[_Answer], str]) -> str:
    """Why the check is not well, if so; one that raises has failed, and only the log says why."""
    try:
        return judge(check())
    except Exception as error:
        _log.exception("health check raised", check=name)
        return f"the check raised {type(error).__name__}"


def _unready(answer: bool | str) -> str:  # noqa: FBT001 - the check's answer
    if isinstance(answer, str):
        return answer or "not ready"
    return "" if answer else "not ready"


def _stalled(answer: bool | float) -> str:  # noqa: FBT001 - the check's answer
    if isinstance(answer, bool):
        return "" if answer else "does not turn"
    return "" if answer <= STALLED_AFTER else f"has not turned for {answer:.0f} s"
