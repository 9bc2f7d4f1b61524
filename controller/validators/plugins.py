"""Validators of other packages: found by entry point, checked before they are used."""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from controller.validators.interface import AnyValidator, Stage, Validator

GROUP = "kopfbus.validators"


class PluginError(Exception):
    """A plug-in cannot be used; one line that names the package, the entry point and what is wrong."""


def load_plugins(group: str = GROUP) -> tuple[AnyValidator, ...]:
    """An instance of every installed validator, by name."""
    found = [_load(entry) for entry in entry_points(group=group)]
    return tuple(sorted(found, key=lambda validator: validator.name))


def _load(entry: EntryPoint) -> AnyValidator:
    package = entry.dist.name if entry.dist is not None else "unknown package"
    where = f"{package}: entry point {entry.name} = {entry.value}"
    try:
        loaded = entry.load()
        validator = loaded() if isinstance(loaded, type) else loaded
    except Exception as error:
        raise PluginError(f"{where}: {type(error).__name__}: {error}") from error
    if not isinstance(validator, Validator):
        raise PluginError(f"{where}: no Validator (controller.validators.interface)")
    if not isinstance(getattr(validator, "name", None), str) or not isinstance(
        getattr(validator, "stage", None), Stage
    ):
        raise PluginError(f"{where}: a validator needs a `name` and a `stage`")
    return validator
