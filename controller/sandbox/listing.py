"""LIST: a page of objects as of one version, and the token with which the next page continues it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import msgspec

from controller.sandbox.kinds import Kind
from controller.sandbox.selectors import Selector, parse
from controller.sandbox.statuses import (
    Cause,
    Object,
    Refused,
    bad_request,
    expired,
    invalid,
    version_too_large,
)
from controller.sandbox.store import HistoryGone, Key, Store, in_order

_CONTINUE_TOO_OLD = "The provided continue parameter is too old to display a consistent list result."
_EXACT_TOO_OLD = "The resourceVersion for the provided list is too old."


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a list. `token` is empty on the last page; `remaining` is None where it is not known."""

    version: int
    items: list[Object]
    token: str = ""
    remaining: int | None = None


class Token(msgspec.Struct):
    """What a continue token says: the version of the first page, and the last object delivered."""

    version: int
    after: Key

    def encoded(self) -> str:
        """As it goes into the URL."""
        return base64.urlsafe_b64encode(msgspec.json.encode(self)).decode()

    @classmethod
    def decoded(cls, text: str) -> Token:
        """Refuses with 400."""
        try:
            return msgspec.json.decode(base64.urlsafe_b64decode(text), type=cls)
        except (binascii.Error, msgspec.DecodeError, ValueError) as error:
            raise bad_request(f"invalid continue token: {error}") from error


class ListQuery(msgspec.Struct, rename="camel", kw_only=True):
    """The parameters of a LIST, and those a WATCH shares with it."""

    label_selector: str = ""
    field_selector: str = ""
    limit: int = 0
    continue_: str = msgspec.field(name="continue", default="")
    resource_version: str = ""
    resource_version_match: Literal["", "Exact", "NotOlderThan"] = ""
    send_initial_events: bool = False
    allow_watch_bookmarks: bool = False
    timeout_seconds: int | None = None

    @classmethod
    def of(cls, query: Mapping[str, str]) -> ListQuery:
        """Read a request's query; parameters that concern neither are ignored. Refuses with 400."""
        try:
            return msgspec.convert(dict(query), cls, strict=False)
        except msgspec.ValidationError as error:
            raise bad_request(f"invalid query: {error}") from error

    @property
    def version(self) -> int:
        """The resourceVersion, 0 if none is given; refuses with 400."""
        if not self.resource_version:
            return 0
        if not self.resource_version.isascii() or not self.resource_version.isdecimal():
            raise bad_request(f'invalid resource version: Invalid value: "{self.resource_version}"')
        return int(self.resource_version)

    def selector(self, kind: Kind) -> Selector:
        """Label and field selector; refuses with 400."""
        return parse(kind, self.label_selector, self.field_selector)

    def forbid(self, why: str) -> Refused:
        """422 about the combination of parameters."""
        cause = Cause("FieldValueForbidden", "resourceVersionMatch", f"Forbidden: {why}")
        return invalid("ListOptions", "meta.k8s.io", "", [cause])


def list_page(store: Store, kind: Kind, namespace: str, query: ListQuery) -> Page:
    """Return what a LIST answers; refuses with 400, 410, 422 or 504."""
    selector = query.selector(kind)
    token = Token.decoded(query.continue_) if query.continue_ else None
    version = _version(store, query, token)
    selected = [
        (key, obj)
        for key, obj in in_order(_snapshot(store, kind, version, token))
        if (not namespace or key[0] == namespace)
        and (token is None or key > token.after)
        and selector.matches(obj)
    ]
    # Like the real server's watch cache, resourceVersion=0 serves everything at once.
    limit = 0 if query.resource_version == "0" else query.limit
    items = [obj for _, obj in selected[: limit or None]]
    if len(items) == len(selected):
        return Page(version, items)
    remaining = None if selector.tests else len(selected) - len(items)
    return Page(version, items, Token(version, selected[limit - 1][0]).encoded(), remaining)


def _version(store: Store, query: ListQuery, token: Token | None) -> int:
    """Return the version to serve."""
    if token is not None:
        if query.resource_version:
            raise bad_request("specifying resource version is not allowed when using continue")
        return token.version
    if query.resource_version_match and not query.resource_version:
        raise query.forbid("resourceVersionMatch is forbidden unless resourceVersion is provided")
    if query.version > store.version:
        raise version_too_large(query.version, store.version)
    return query.version if query.resource_version_match == "Exact" else store.version


def _snapshot(store: Store, kind: Kind, version: int, token: Token | None) -> dict[Key, Object]:
    try:
        return store.as_of(kind, version)
    except HistoryGone:
        raise expired(_EXACT_TOO_OLD if token is None else _CONTINUE_TOO_OLD) from None
