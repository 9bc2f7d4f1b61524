"""How the server says no: the Kubernetes API's `Status` objects, with codes, reasons and messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

Object = dict[str, Any]
"""A Kubernetes object as decoded JSON."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One finding in an object: `reason` and `message` in the API server's words, `field` as a path."""

    reason: str
    field: str
    message: str


class Refused(Exception):
    """The request is refused; `code` is the HTTP status, `reason` what clients compare."""

    def __init__(self, code: int, reason: str, message: str, **details: Any) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.details = details

    def status(self) -> Object:
        """The body of the answer."""
        return {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": str(self),
            "reason": self.reason,
            "details": self.details,
            "code": self.code,
        }


def success(**details: Any) -> Object:
    """The answer to a DELETE that removed the object."""
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}


def qualified(plural: str, group: str) -> str:
    """A resource as messages name it: `configmaps`, `widgets.example.com`."""
    return f"{plural}.{group}" if group else plural


def bad_request(message: str) -> Refused:
    """400: the request cannot be understood."""
    return Refused(400, "BadRequest", message)


def forbidden(plural: str, group: str, name: str, why: str) -> Refused:
    """403: understood, and not allowed whoever asks."""
    message = f'{qualified(plural, group)} "{name}" is forbidden: {why}'
    return Refused(403, "Forbidden", message, **_named(plural, group, name))


def not_found(plural: str, group: str, name: str) -> Refused:
    """404: no object of that name."""
    message = f'{qualified(plural, group)} "{name}" not found'
    return Refused(404, "NotFound", message, **_named(plural, group, name))


def unsupported(what: str, code: int = 404) -> Refused:
    """404, 405 or 415: a real server may know it, this one does not."""
    reasons = {404: "NotFound", 405: "MethodNotAllowed", 415: "UnsupportedMediaType"}
    return Refused(code, reasons[code], f"{what} is not supported by the sandbox")


def already_exists(plural: str, group: str, name: str) -> Refused:
    """409 on POST: the name is taken."""
    message = f'{qualified(plural, group)} "{name}" already exists'
    return Refused(409, "AlreadyExists", message, **_named(plural, group, name))


def conflict(plural: str, group: str, name: str, why: str) -> Refused:
    """409: uid or resourceVersion are not those of the stored object."""
    message = f'Operation cannot be fulfilled on {qualified(plural, group)} "{name}": {why}'
    return Refused(409, "Conflict", message, **_named(plural, group, name))


def expired(message: str) -> Refused:
    """410: the resourceVersion or continue token is older than the history."""
    return Refused(410, "Expired", message)


def invalid(kind: str, group: str, name: str, causes: Sequence[Cause]) -> Refused:
    """422: well-formed, but it breaks the kind's rules; every finding is in `details.causes`."""
    findings = [f"{cause.field}: {cause.message}" for cause in causes]
    text = findings[0] if len(findings) == 1 else f"[{', '.join(findings)}]"
    listed = [{"reason": cause.reason, "message": cause.message, "field": cause.field} for cause in causes]
    message = f'{qualified(kind, group)} "{name}" is invalid: {text}'
    return Refused(422, "Invalid", message, **_named(kind, group, name), causes=listed)


def version_too_large(asked: int, current: int) -> Refused:
    """504: a LIST at a resourceVersion that the server has not reached."""
    causes = [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}]
    message = f"Timeout: Too large resource version: {asked}, current: {current}"
    return Refused(504, "Timeout", message, causes=causes, retryAfterSeconds=1)


def _named(plural: str, group: str, name: str) -> Object:
    details = {"name": name, "group": group, "kind": plural}
    return {key: value for key, value in details.items() if value}
