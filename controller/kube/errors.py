"""What can go wrong between this process and the API server; each error reads as one clear line."""

from __future__ import annotations

import msgspec

_MAX_BODY = 200
"""Characters quoted of an answer that is no Status: a proxy's error page, for example."""


class KubeError(Exception):
    """Base of everything that the client raises for reasons outside the program."""


class KubeConfigError(KubeError):
    """The kubeconfig, or the pod's service account, does not say how to reach a cluster."""


class ApiUnreachable(KubeError):
    """No answer from the API server: connection refused or cut, too late, or not its answer.

    A write may have happened all the same.
    """


class KindNotFound(KubeError):
    """The API server does not serve that kind (yet: a CustomResourceDefinition may bring it)."""

    def __init__(self, api_version: str, kind: str) -> None:
        super().__init__(f"the API server has no kind {kind} in {api_version}")
        self.api_version = api_version
        self.kind = kind


class ApiError(KubeError):
    """The API server refused: its HTTP status, reason (as in `NotFound`) and message.

    `retry_after` is how many seconds it asks to wait, None if it does not say.
    """

    def __init__(self, status: int, reason: str, message: str, retry_after: float | None = None) -> None:
        super().__init__(f"{status} {reason}: {message}" if reason else f"{status}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after = retry_after

    @classmethod
    def from_body(cls, status: int, body: bytes, *, phrase: str = "", retry_after: str = "") -> ApiError:
        """Read a failed answer: a Status document, or any other body with HTTP's own reason phrase.

        `retry_after` is the header's value; a date in it counts as not said.
        """
        document = _decode_status(body)
        seconds = float(retry_after) if retry_after.isdecimal() else None
        if document is None:
            text = body.decode(errors="replace").strip()[:_MAX_BODY]
            return cls(status, phrase.replace(" ", ""), _one_line(text) or "no explanation", seconds)
        details = document.details
        if seconds is None and details is not None and details.retry_after_seconds:
            seconds = float(details.retry_after_seconds)
        reason = document.reason or phrase.replace(" ", "")
        return cls(document.code or status, reason, _one_line(document.message or "no explanation"), seconds)


class _Details(msgspec.Struct, rename="camel"):
    retry_after_seconds: int | None = None


class _Status(msgspec.Struct):
    """A `v1.Status`, every field optional: an answer that lacks one is still an answer."""

    kind: str | None = None
    message: str | None = None
    reason: str | None = None
    code: int | None = None
    details: _Details | None = None


def _decode_status(body: bytes) -> _Status | None:
    try:
        document = msgspec.json.decode(body, type=_Status)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    return document if document.kind == "Status" else None


def _one_line(text: str) -> str:
    return " ".join(text.split())
