"""Options that several commands share, and how a wrong configuration is told."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from pydantic import ValidationError

from gateway.config import Config, EndpointSettings
from gateway.config_document import ConfigError
from gateway.config_file import Flags, load

Command = TypeVar("Command", bound=Callable[..., Any])
_OPTION = re.compile(r",([A-Za-z][A-Za-z_-]*)=([^,]*)$")
_PORTS = re.compile(r"(https?://[^/]+:)(\d{1,5})-(\d{1,5})(/.*)?$")
_MOST_PORTS = 64
CONFIG_NAME = "yardstick.yaml"

EXISTING_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


def endpoint_flag(value: str) -> tuple[tuple[str, EndpointSettings], ...]:
    """``MODEL=URL`` or ``MODEL=URL,key-env=NAME``; ports as ``FIRST-LAST`` are an endpoint each.

    A wrong value is not quoted: it may hold a key.
    """
    model, separator, address = value.partition("=")
    model = model.strip()
    if not separator or not model or not address:
        raise click.BadParameter("expected MODEL=URL, such as codegeex4-all-9b=http://127.0.0.1:9001")
    option = _OPTION.search(address)
    if option and option[1] != "key-env":
        raise click.BadParameter("after the URL only ,key-env=NAME may follow (the variable that holds the key)")
    url, key_env = (address[: option.start()], option[2]) if option else (address, None)
    try:
        return tuple((model, EndpointSettings(url=each, api_key_env=key_env)) for each in _each_port(url))
    except ValidationError as error:
        reasons = "; ".join(detail["msg"].removeprefix("Value error, ") for detail in error.errors())
        raise click.BadParameter(f"{model}: {reasons}") from None


def _each_port(url: str) -> list[str]:
    """The addresses that a range of ports stands for; of any other URL itself."""
    found = _PORTS.match(url)
    if found is None:
        return [url]
    first, last = int(found[2]), int(found[3])
    if not 0 < first <= last < first + _MOST_PORTS:
        raise click.BadParameter(f"ports {first}-{last} are no range of at most {_MOST_PORTS}, the lower one first")
    return [f"{found[1]}{port}{found[4] or ''}" for port in range(first, last + 1)]


def config_options(command: Command) -> Command:
    """Adds --config, --endpoint and --threshold."""
    for option in (
        click.option(
            "--threshold", type=click.IntRange(min=0), help="Prompt tokens up to which `auto` is the short model."
        ),
        click.option(
            "--endpoint",
            "endpoints",
            type=endpoint_flag,
            metavar="MODEL=URL",
            multiple=True,
            callback=lambda context, option, given: tuple(pair for pairs in given for pair in pairs),
            help="A model server, http or https, with or without /v1; repeat it for more, or give a range of ports:"
            " http://HOST:8001-8004. ,key-env=NAME names the environment variable that holds its API key.",
        ),
        click.option("--config", "config_path", type=EXISTING_FILE, help="YAML file; other options override it."),
    ):
        command = option(command)
    return command


def loaded_config(config_path: Path | None, flags: Flags, *, to_serve: bool = True) -> Config:
    """The configuration, with its warnings on stderr; ends the command with exit code 1 if it is wrong."""
    if config_path is None and not flags.endpoints:
        raise click.UsageError(
            "Name model servers with --endpoint MODEL=URL, or a file with --config"
            f" (`yardstick init` writes {CONFIG_NAME})."
        )
    try:
        loaded = load(config_path, flags, to_serve=to_serve)
    except ConfigError as error:
        for problem in error.problems:
            click.echo(str(problem), err=True)
        raise SystemExit(1) from None
    for warning in loaded.warnings:
        click.echo(str(warning), err=True)
    return loaded.config
