"""All validators of a replica: the built-in ones, and the plug-ins installed beside it."""

from __future__ import annotations

from controller.templating.renderer import Renderer
from controller.validators.access import Access, AccessPolicy
from controller.validators.config import Basic, JsonPath, Template
from controller.validators.formats import Format
from controller.validators.interface import Stage, Validator
from controller.validators.output import NonEmpty, Size
from controller.validators.plugins import load_plugins

__all__ = ["AccessPolicy", "all_validators"]


def all_validators(renderer: Renderer, policy: AccessPolicy) -> tuple[Validator, ...]:
    """Every validator that is to be asked, each with a name of its own. Raises PluginError."""
    config = (Access(policy), Template(renderer), JsonPath())
    output = (Format(), NonEmpty(), Size())
    plugins = load_plugins(taken=[Basic.name, *(validator.name for validator in (*config, *output))])
    known = [validator.name for validator in (*output, *plugins) if validator.stage is Stage.OUTPUT]
    return (Basic(known), *config, *output, *plugins)
