"""The built-in validators of rendered outputs that need not read them."""

from __future__ import annotations

import pytest

from controller.validators.output import MAX_BYTES, NonEmpty, Size
from tests.controller.validators.support import judged, output


@pytest.mark.parametrize("text", ["", " \n\t\r\n"])
async def test_white_space_is_empty(text):
    (problem,) = await judged(NonEmpty(), output(text, name="hosts"))
    assert str(problem) == "hosts: the rendered text is empty; allowEmpty: true would allow it"
    assert problem.reason == "OutputInvalid"


def test_an_empty_text_may_be_allowed():
    assert list(NonEmpty().validate(output("", allow_empty=True))) == []


def test_anything_else_is_not_empty():
    assert list(NonEmpty().validate(output("\n#\n"))) == []


def test_a_text_may_fill_its_target():
    assert list(Size().validate(output("x" * MAX_BYTES))) == []


async def test_one_byte_more_is_too_much():
    (problem,) = await judged(Size(), output("x" * MAX_BYTES + "y", name="hosts"))
    assert str(problem) == "hosts: the rendered text has 1,048,577 bytes, but a ConfigMap holds 1,048,576"
    assert problem.reason == "TooLarge"


def test_it_is_bytes_that_count():
    assert list(Size().validate(output("é" * (MAX_BYTES // 2)))) == []
    assert len(list(Size().validate(output("é" * (MAX_BYTES // 2 + 1))))) == 1
