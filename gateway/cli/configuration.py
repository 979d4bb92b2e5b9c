"""`yardstick init` writes a configuration, `yardstick check` says what is wrong with one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway.cli.options import CONFIG_NAME
from gateway.config import Config
from gateway.config_document import ConfigError, Problem
from gateway.config_file import Flags, load
from gateway.config_template import template

if TYPE_CHECKING:
    from gateway.cli.survey import Answer


@click.command()
@click.argument("path", type=click.Path(dir_okay=False, path_type=Path), default=CONFIG_NAME)
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
def init(path: Path, force: bool) -> None:
    """Write a commented configuration to PATH (default yardstick.yaml)."""
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(template())
    except FileExistsError:
        raise click.ClickException(f"{path} exists. Name another path, or overwrite it with --force") from None
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}") from None
    click.echo(f"wrote {path}. Set the endpoints' addresses, then: yardstick check --config {path}")


@click.command()
@click.option(
    "--config",
    "config_path",
    type=click.Path(dir_okay=False, path_type=Path),
    default=CONFIG_NAME,
    show_default=True,
    help="The file to check.",
)
@click.option("--offline", is_flag=True, help="Do not ask the endpoints.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for machines.")
def check(config_path: Path, offline: bool, as_json: bool) -> None:
    """Say everything that is wrong with a configuration, and where; then ask each endpoint what it serves.

    Exit code 0 if `yardstick serve` would start, 1 if not. An endpoint that does not answer is a warning.
    """
    config, problems = _loaded(config_path)
    answers = _survey(config) if config is not None and not offline else ()
    problems = (*problems, *(answer.problem for answer in answers if answer.problem))
    (_print_json if as_json else _print_text)(config_path, config, problems, answers)
    raise SystemExit(0 if config is not None else 1)


def _survey(config: Config) -> tuple[Answer, ...]:
    from gateway.cli.survey import survey  # brings most of the gateway with it

    return survey(config)


def _loaded(path: Path) -> tuple[Config | None, tuple[Problem, ...]]:
    try:
        loaded = load(path, Flags())
    except ConfigError as error:
        return None, error.problems
    if loaded.config.shadow is not None:
        from gateway.shadow.live.settings import check as check_shadow

        try:
            check_shadow(loaded.config)
        except ValueError as error:
            setting, _, message = str(error).partition(": ")
            return None, (*loaded.warnings, Problem(setting, message, file=str(path)))
    return loaded.config, loaded.warnings


def _print_json(path: Path, config: Config | None, problems: Sequence[Problem], answers: Sequence[Answer]) -> None:
    endpoints = [
        {"model": a.model, "url": a.url, "served_name": a.served_name, "window": a.window, "reachable": a.reachable}
        for a in answers
    ]
    report = {
        "ok": config is not None,
        "file": str(path),
        "problems": [asdict(problem) for problem in problems],
        "endpoints": endpoints,
    }
    click.echo(json.dumps(report, indent=2))


def _print_text(path: Path, config: Config | None, problems: Sequence[Problem], answers: Sequence[Answer]) -> None:
    for problem in problems:
        click.echo(str(problem))
    if config is None:
        errors = sum(problem.severity == "error" for problem in problems)
        click.echo(f"{path}: {errors} error{'s' if errors != 1 else ''}")
        return
    for answer in answers:
        what = f"served as {answer.served_name}" if answer.served_name else "no answer (see the warning above)"
        window = f", window {answer.window:,}" if answer.window else ""
        click.echo(f"{answer.model} -> {answer.url}: {what}{window}")
    short, long = config.routing.short, config.routing.long
    routes = f"always {short}" if short == long else f"{short} up to {config.routing.threshold:,} tokens, else {long}"
    click.echo(f"auto -> {routes}")
    click.echo(f"{path}: fine")
