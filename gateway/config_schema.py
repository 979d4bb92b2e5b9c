"""What pydantic finds wrong with a configuration, in words that say what to do about it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from gateway.config import Config
from gateway.config_base import Settings
from gateway.config_document import Document, Problem, described
from gateway.config_problems import Finding, SettingPath, did_you_mean


def schema_problems(document: Document, error: ValidationError) -> Iterator[Problem]:
    details = error.errors(include_url=False)
    for detail in details:
        path = tuple(detail["loc"])
        # An endpoint that is wrong makes its pool "too short" as well: only the first is worth saying.
        deeper = any(other["loc"][: len(path)] == path and len(other["loc"]) > len(path) for other in details)
        if detail["type"] == "too_short" and deeper:
            continue
        finding = Finding(path, _schema_message(path, detail))
        yield document.problem(finding, key=detail["type"] == "extra_forbidden", written=True)


def _schema_message(path: SettingPath, detail: ErrorDetails) -> str:
    kind, value = detail["type"], detail.get("input")
    if kind == "missing":
        return "is missing" + ("; `yardstick init` writes a complete example" if path == ("pools",) else "")
    if kind == "extra_forbidden":
        return f"unknown key{_nearest_setting(path)}"
    if kind == "too_short":
        return "needs at least one entry"
    if kind == "value_error":
        return detail["msg"].removeprefix("Value error, ")
    message = detail["msg"].replace("Input should", "should", 1)
    if path[-1] == "api_key":
        return f"{message} (put it in quotes)"
    hint = ""
    if isinstance(value, str) and kind in ("int_type", "float_type", "bool_type"):
        hint = f": write {value} without quotes" if value.replace(".", "", 1).isdigit() else ""
    elif kind == "string_type" and isinstance(value, int | float):
        hint = ": put it in quotes"
    return f"{message}, not {described(value)}{hint}"


def _nearest_setting(path: SettingPath) -> str:
    """`` (did you mean 'x'?)`` among the settings that may stand here, or else where in the tree that name belongs."""
    settings: type[Settings] | None = Config
    for part in path[:-1]:
        if settings is not None and isinstance(part, str) and part in settings.model_fields:
            settings = settings_in(settings.model_fields[part].annotation)
    known = list(settings.model_fields) if settings else []
    name = str(path[-1])
    elsewhere = [dotted for dotted in _all_settings(Config, "") if dotted.rpartition(".")[2] == name]
    if elsewhere:
        return f" here: it belongs to {elsewhere[0].rpartition('.')[0] or 'the top level'}"
    return did_you_mean(name, known) or f"; known here: {', '.join(known)}"


def _all_settings(settings: type[Settings], prefix: str) -> Iterator[str]:
    for name, field in settings.model_fields.items():
        inner = settings_in(field.annotation)
        yield prefix + name
        if inner is not None:
            yield from _all_settings(inner, f"{prefix}{name}.")


def settings_in(annotation: Any) -> type[Settings] | None:
    """The settings class that a field holds: itself, or the items of a tuple."""
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        return annotation
    inner = (settings_in(argument) for argument in getattr(annotation, "__args__", ()))
    return next((found for found in inner if found is not None), None)
