"""All validators of a replica: the built-in ones, and the plug-ins installed beside it."""

from __future__ import annotations

from collections import Counter

from controller.templating.renderer import Renderer
from controller.validators.access import Access, AccessPolicy
from controller.validators.config import Basic, JsonPath, Template
from controller.validators.interface import AnyValidator, Stage
from controller.validators.output import Format, NonEmpty, Size
from controller.validators.plugins import PluginError, load_plugins

__all__ = ["AccessPolicy", "all_validators"]


def all_validators(renderer: Renderer, policy: AccessPolicy) -> tuple[AnyValidator, ...]:
    """Every validator that is to be asked; raises PluginError when two share a name."""
    plugins = load_plugins()
    known = frozenset(plugin.name for plugin in plugins if plugin.stage is Stage.OUTPUT)
    validators: tuple[AnyValidator, ...] = (
        Basic(known),
        Access(policy),
        Template(renderer),
        JsonPath(),
        Format(),
        NonEmpty(),
        Size(),
        *plugins,
    )
    twice = [name for name, count in Counter(v.name for v in validators).items() if count > 1]
    if twice:
        raise PluginError(f"two validators are called {twice[0]!r}: uninstall one, or rename it")
    return validators
