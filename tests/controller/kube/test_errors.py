"""What a failed answer turns into."""

from __future__ import annotations

import json

import pytest

from controller.kube.errors import ApiError, ApiUnreachable, KindNotFound, KubeConfigError, KubeError


def status(**fields: object) -> bytes:
    return json.dumps({"kind": "Status", "apiVersion": "v1", **fields}).encode()


def test_a_status_gives_code_reason_and_message_on_one_line():
    error = ApiError.from_body(409, status(code=409, reason="AlreadyExists", message="exists\n already"))
    assert (error.status, error.reason, error.message) == (409, "AlreadyExists", "exists already")
    assert str(error) == "409 AlreadyExists: exists already"


def test_a_status_without_most_of_its_fields_still_counts():
    error = ApiError.from_body(500, status(message=None), phrase="Internal Server Error")
    assert str(error) == "500 InternalServerError: no explanation"


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"[]", b"{", b'{"kind": "Other", "message": "x"}'])
def test_another_body_keeps_the_http_status(body):
    error = ApiError.from_body(502, body, phrase="Bad Gateway")
    assert error.status == 502
    assert error.reason == "BadGateway"
    assert "\n" not in str(error)


def test_a_proxys_page_is_quoted_but_not_all_of_it():
    error = ApiError.from_body(502, b"<html>\n" + b"long " * 1000)
    assert error.message.startswith("<html> long")
    assert len(str(error)) < 250


@pytest.mark.parametrize(
    ("header", "details", "seconds"),
    [
        ("7", {}, 7.0),
        ("", {"retryAfterSeconds": 3}, 3.0),
        ("7", {"retryAfterSeconds": 3}, 7.0),
        ("Wed, 21 Oct 2026 07:28:00 GMT", {}, None),
        ("-1", {}, None),
        ("", {}, None),
    ],
)
def test_how_long_to_wait_comes_from_the_header_or_the_details(header, details, seconds):
    body = status(code=429, reason="TooManyRequests", details=details)
    assert ApiError.from_body(429, body, retry_after=header).retry_after == seconds


def test_every_error_is_a_kube_error():
    errors = (
        ApiError(404, "NotFound", "x"),
        ApiUnreachable("x"),
        KubeConfigError("x"),
        KindNotFound("v1", "X"),
    )
    assert all(isinstance(error, KubeError) for error in errors)


def test_an_unknown_kind_is_named_with_its_group_and_version():
    assert (
        str(KindNotFound("example.org/v1", "Thing")) == "the API server has no kind Thing in example.org/v1"
    )
