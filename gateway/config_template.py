"""The commented configuration that `yardstick init` writes: generated from the model, so that it cannot drift from it.

Prose is ``# text``; a setting that shows its default (or, where there is none, an example) is ``#name: value``, so that
taking away one ``#`` leaves a valid file.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Any, get_origin

import yaml
from pydantic.fields import FieldInfo

from gateway.config import Config, RoutingSettings
from gateway.config_base import Settings
from gateway.config_schema import settings_in

_HEADER = """\
# Yardstick's configuration. `yardstick check --config FILE` says what is wrong with it, and where.
# Lines that begin with #name: show a default or an example: take away the # to change it.
# Unknown names are errors. Paths are relative to this file.
"""
_LONG_POOL_URL = "http://127.0.0.1:9002"


def template() -> str:
    """A configuration in YAML that `yardstick check` accepts, in which every setting appears."""
    lines: list[str] = []
    for name, field in Config.model_fields.items():
        lines += ["", *_setting(name, field, 0)]
        if name == "pools":
            lines += _long_pool()
    return _HEADER + "\n".join(lines) + "\n"


def _setting(name: str, field: FieldInfo, indent: int) -> Iterator[str]:
    pad = " " * indent
    yield from textwrap.wrap(field.description or "", 110, initial_indent=f"{pad}# ", subsequent_indent=f"{pad}# ")
    inner = settings_in(field.annotation)
    if inner is not None:
        yield f"{pad}{name}:"
        yield from _item(inner, indent + 2) if get_origin(field.annotation) is tuple else _settings(inner, indent + 2)
    elif field.default_factory is not None:
        # A mapping that is empty by default: an active section with commented entries.
        yield f"{pad}{name}:"
        yield from (f"{pad}  #{_yaml(key, value)}" for key, value in _example(field).items())
    elif field.is_required():
        yield f"{pad}{_yaml(name, _example(field))}"
    else:
        value = field.default if field.default is not None else _example(field)
        size = f"  # {_size(value)}" if name.endswith("_bytes") else ""
        yield f"{pad}#{_yaml(name, value)}{size}"


def _settings(settings: type[Settings], indent: int) -> Iterator[str]:
    for name, field in settings.model_fields.items():
        yield from _setting(name, field, indent)


def _item(settings: type[Settings], indent: int) -> Iterator[str]:
    """One item of a list. Its first setting is a required one, which carries the dash."""
    dashed = False
    for line in _settings(settings, indent + 2):
        starts = not dashed and not line.lstrip().startswith("#")
        yield f"{' ' * indent}- {line.lstrip()}" if starts else line
        dashed = dashed or starts


def _long_pool() -> Iterator[str]:
    yield f"  - {_yaml('model', RoutingSettings().long)}"
    yield "    endpoints:"
    yield f"      - {_yaml('url', _LONG_POOL_URL)}"


def _example(field: FieldInfo) -> Any:
    if not field.examples:
        raise ValueError(f"a setting without a default needs an example in config.py: {field.description}")
    return field.examples[0]


def _yaml(name: str, value: Any) -> str:
    return f"{name}: {yaml.safe_dump(value, default_flow_style=True, width=1000).removesuffix('...' + chr(10)).strip()}"


def _size(value: int) -> str:
    mebibyte = 1024 * 1024
    return f"{value // mebibyte} MiB" if value % mebibyte == 0 else f"{value // 1024} KiB"
