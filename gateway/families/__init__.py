"""The model families. All that is particular to one is in its file; the rest of the gateway reads `Model`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gateway.families import codegeex, iquest
from gateway.families.base import Model, TemplateError, render

MODELS: Mapping[str, Model] = MappingProxyType({model.name: model for model in (*codegeex.MODELS, *iquest.MODELS)})

__all__ = ["MODELS", "Model", "TemplateError", "render"]
