"""Validators of other packages: found by entry point, and checked before anything starts."""

from __future__ import annotations

import re
from collections.abc import Iterable
from importlib.metadata import EntryPoint, entry_points

from controller.validators.interface import Stage, Validator

GROUP = "kopfbus.validators"

_NAME = re.compile("[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class PluginError(Exception):
    """A plug-in cannot be used; one line that names the package, the entry point and what is wrong."""


def load_plugins(group: str = GROUP, *, taken: Iterable[str] = ()) -> tuple[Validator, ...]:
    """An instance of every installed validator, sorted by name; none may have one of the names `taken`.

    Raises PluginError. Imports what it finds: call it once, before the event loop runs.
    """
    owners = dict.fromkeys(taken, "kopfbus itself")
    loaded = []
    for entry in entry_points(group=group):
        validator = _load(entry)
        if validator.name in owners:
            owner = owners[validator.name]
            raise PluginError(
                f"{_origin(entry)}: a validator {validator.name!r} is there already, of {owner}"
            )
        owners[validator.name] = _origin(entry)
        loaded.append(validator)
    return tuple(sorted(loaded, key=lambda validator: validator.name))


def _load(entry: EntryPoint) -> Validator:
    try:
        target = entry.load()
        is_class = isinstance(target, type) and issubclass(target, Validator)
        validator = target() if is_class else target
    except (Exception, SystemExit) as error:
        text = " ".join(f"{type(error).__name__}: {error}".split())
        raise PluginError(f"{_origin(entry)}: {text}") from error
    if not isinstance(validator, Validator):
        raise PluginError(
            f"{_origin(entry)}: {target!r} is no subclass of controller.validators.interface.Validator"
        )
    _check(validator, entry)
    return validator


def _check(validator: Validator, entry: EntryPoint) -> None:
    name, stage = getattr(validator, "name", None), getattr(validator, "stage", None)
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise PluginError(
            f"{_origin(entry)}: its name is {name!r}; it must be small letters, digits and -, at most 63"
        )
    if not isinstance(stage, Stage):
        raise PluginError(
            f"{_origin(entry)}: its stage is {stage!r}; it must be Stage.CONFIG or Stage.OUTPUT"
        )


def _origin(entry: EntryPoint) -> str:
    package = f"{entry.dist.name} {entry.dist.version}" if entry.dist is not None else "unknown package"
    return f"plug-in {package} ({entry.name} = {entry.value})"
