"""pydantic's errors as problems in plain words, with the field paths of the YAML a user wrote."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from controller.config.rules import BROKEN, shortened
from controller.problems import Problem

_WORDS = {
    "missing": "is required",
    "string_type": "must be text, not {found}",
    "bool_type": "must be true or false, not {found}",
    "int_type": "must be a whole number, not {found}",
    "tuple_type": "must be a list, not {found}",
    "dict_type": "must be a mapping, not {found}",
    "model_type": "must be a mapping, not {found}",
    "invalid_key": "{found} is no field name",
    "literal_error": "{value} is not one of {expected}",
    "enum": "{value} is not one of {expected}",
    "string_too_short": "must not be empty",
    "string_too_long": "has {length} characters; {max_length} are allowed",
    "too_short": "must not be empty",
    "too_long": "has {length} entries; {max_length} are allowed",
    "greater_than_equal": "must be at least {ge}, not {value}",
    "less_than_equal": "must be at most {le}, not {value}",
}
_TYPES = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "text",
    dict: "a mapping",
    list: "a list",
    type(None): "null",
}


def explain(error: ValidationError, model: type[BaseModel], root: str = "spec") -> tuple[Problem, ...]:
    """One problem for each thing that is wrong, in the order of the fields; `root` begins the paths."""
    errors = error.errors(include_url=False)
    places = [details["loc"] for details in errors]
    return tuple(
        problem
        for details in errors
        if not _follows(details, places)
        for problem in _problems(details, model, root)
    )


def _follows(details: ErrorDetails, places: list[tuple[int | str, ...]]) -> bool:
    """Whether a list seems too short only because pydantic leaves out the items that are wrong themselves."""
    place = details["loc"]
    return details["type"] == "too_short" and any(
        len(other) > len(place) and other[: len(place)] == place for other in places
    )


def _problems(details: ErrorDetails, model: type[BaseModel], root: str) -> Iterator[Problem]:
    place = details["loc"]
    if details["type"] == BROKEN:
        for below, message in details["ctx"]["findings"]:
            yield Problem(message=message, path=_path(root, (*place, *below)))
    elif details["type"] == "extra_forbidden":
        yield Problem(message=_unknown(str(place[-1]), _model_at(model, place[:-1])), path=_path(root, place))
    elif place[-1:] == ("[key]",):
        yield Problem(message="the key must be text", path=_path(root, place[:-1]))
    else:
        yield Problem(message=_words(details), path=_path(root, place))


def _words(details: ErrorDetails) -> str:
    value = details["input"]
    words = _WORDS.get(details["type"])
    if words is None:
        return details["msg"]
    return words.format(
        **details.get("ctx", {}),
        found=_TYPES.get(type(value), "something else"),
        value=shortened(value),
        length=len(value) if isinstance(value, str | list | dict) else 0,
    )


def _unknown(name: str, model: type[BaseModel]) -> str:
    known = [field.alias or name for name, field in model.model_fields.items()]
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.7)
    return (
        f"unknown field; did you mean {close[0]}?"
        if close
        else f"unknown field; known are {', '.join(known)}"
    )


def _path(root: str, place: tuple[int | str, ...]) -> str:
    parts = (
        f"[{part}]" if isinstance(part, int) or not part.isidentifier() else f".{part}" for part in place
    )
    return root + "".join(parts)


def _model_at(model: type[BaseModel], place: tuple[int | str, ...]) -> type[BaseModel]:
    for name in place:
        for field in model.model_fields.values():
            if field.alias == name:
                model = _model_in(field.annotation) or model
    return model


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that a type like `Annotated[tuple[Watch, ...], ...]` is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)
