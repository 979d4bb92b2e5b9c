"""The model families. All that is particular to one is in its file; the rest of the gateway reads `Model`.

Every module here that has ``MODELS`` is a family: one more file is one more family.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType

from gateway.families.architecture import Architecture
from gateway.families.base import Model, flag, render
from gateway.families.conversation import TemplateError, known_tools
from gateway.families.infill import FimFormat, Infill, Reference
from gateway.families.serving import Serving


def _found() -> Mapping[str, Model]:
    """The models by name, in the order of their modules' names. Raises ValueError if a name is taken twice."""
    models: dict[str, Model] = {}
    for module in sorted(pkgutil.iter_modules(__path__), key=lambda module: module.name):
        for model in getattr(import_module(f"{__name__}.{module.name}"), "MODELS", ()):
            if models.setdefault(model.name, model) is not model:
                raise ValueError(f"two families have a model {model.name!r}")
    return MappingProxyType(models)


MODELS: Mapping[str, Model] = _found()

__all__ = [
    "MODELS",
    "Architecture",
    "FimFormat",
    "Infill",
    "Model",
    "Reference",
    "Serving",
    "TemplateError",
    "flag",
    "known_tools",
    "render",
]
