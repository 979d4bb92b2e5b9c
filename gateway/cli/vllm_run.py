"""The part of `yardstick engine vllm` that starts something: looks first, then supervises; each failure a message."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import click

if TYPE_CHECKING:
    from gateway.engines.vllm.command import Launch

Command = TypeVar("Command", bound=Callable[..., Any])


def patience_options(command: Command) -> Command:
    """``start_timeout`` and ``max_restarts``."""
    for option in (
        click.option(
            "--max-restarts",
            type=click.IntRange(min=0),
            default=5,
            show_default=True,
            help="How often in a row a server that crashes is restarted; ten minutes without a crash begin anew.",
        ),
        click.option(
            "--start-timeout",
            type=click.FloatRange(min=0, min_open=True),
            default=3600.0,
            show_default=True,
            help="Seconds within which a server has to answer.",
        ),
    ):
        command = option(command)
    return command


def start(
    launches: Sequence[Launch],
    vllm_path: Path | None,
    *,
    start_timeout: float,
    max_restarts: int,
    key_variable: str | None,
    as_json: bool,
) -> NoReturn:
    """Does not come back: raises SystemExit with one of the documented codes."""
    from gateway.engines.vllm.executable import NotFound, find_vllm, installed
    from gateway.engines.vllm.preflight import NOTHING_STARTED, examine
    from gateway.engines.vllm.server import Patience
    from gateway.engines.vllm.supervise import run

    try:
        command = find_vllm(vllm_path)
    except NotFound as error:
        click.echo(f"Error: {error}", err=True)
        raise SystemExit(NOTHING_STARTED) from None
    findings = examine(launches, installed(command))
    for finding in findings:
        click.echo(f"{'Error' if finding.fatal else 'warning'}: {finding.message}", err=True)
    if any(finding.fatal for finding in findings):
        raise SystemExit(NOTHING_STARTED)
    patience = Patience(start=start_timeout, restarts=max_restarts)
    on_event = _print_event if as_json else _ignore
    raise SystemExit(run(launches, command, patience=patience, key_variable=key_variable, on_event=on_event))


def _print_event(event: Mapping[str, Any]) -> None:
    with contextlib.suppress(OSError):  # nobody reads any more: that must not end a model server
        click.echo(json.dumps(event))


def _ignore(event: Mapping[str, Any]) -> None:
    pass
