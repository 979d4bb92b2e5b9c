"""`yardstick shadow report`: what the evidence says."""

from __future__ import annotations

import json
from pathlib import Path

import click

from gateway.cli.options import EXISTING_FILE
from gateway.cli.shadow.report_table import shown
from gateway.cli.shadow.stores import StoreCommand, opened, store_option
from gateway.cli.shadow.times import when
from gateway.shadow.canary.mix import LiveMix
from gateway.shadow.gate.draws import Kind
from gateway.shadow.report.collect import collect
from gateway.shadow.report.document import Document, document
from gateway.shadow.report.page import page
from gateway.shadow.report.report import Asked
from gateway.shadow.report.strata import Groups
from gateway.shadow.store import StoreUnavailable
from gateway.shadow.suites.jsonl import InputError
from gateway.shadow.suites.load import DEFAULT, load


@click.command(
    cls=StoreCommand,
    epilog="\b\nExamples:\n  yardstick shadow report\n  yardstick shadow report --since 7d --html report.html\n"
    "  yardstick shadow report --kind canary --tasks bigcodebench-v0.1.4.jsonl --json",
)
@store_option
@click.option("--since", type=when, metavar="TIME|AGE", help="Samples from then on: a date, time (UTC) or age (7d).")
@click.option("--until", type=when, metavar="TIME|AGE", help="Samples from before then.")
@click.option("--suite", metavar="NAME", help="Samples of this suite, as it is stored, or without its digest (five).")
@click.option("--kind", type=click.Choice([str(kind) for kind in Kind]), help="This kind of evidence only.")
@click.option("--model", metavar="NAME", help="Runs of this model, and pairs that it is in.")
@click.option(
    "--tasks",
    "task_files",
    type=EXISTING_FILE,
    multiple=True,
    help="JSONL file of a suite's tasks, for figures by domain (`five` is known by category). Repeat it for more.",
)
@click.option("--traffic", type=EXISTING_FILE, help="JSON file of a live mix, to weight canaries as live traffic is.")
@click.option("--json", "as_json", is_flag=True, help="All of it as JSON.")
@click.option("--html", type=click.Path(dir_okay=False, path_type=Path), help="Write a page with plots.")
def report(
    store_url: str | None,
    since: float | None,
    until: float | None,
    suite: str | None,
    kind: str | None,
    model: str | None,
    task_files: tuple[Path, ...],
    traffic: Path | None,
    as_json: bool,
    html: Path | None,
) -> None:
    """Say what shadow-eval has found: pass@1 with intervals, differences on pairs, and all that was left out.

    Kinds of evidence are never pooled. Ends with 0 if there was a store to read, also an empty one, with 1 if not.
    """
    groups, mix = _groups(task_files), _mix(traffic)
    asked = Asked(since, until, suite, Kind(kind) if kind else None, model)
    try:
        with opened(store_url) as store:
            found = document(collect(store.evidence, asked, groups, mix))
    except StoreUnavailable as error:
        click.echo(str(error), err=True)
        raise SystemExit(1) from None
    if html is not None:
        _write(html, found)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif html is None:
        shown(found)


def _groups(task_files: tuple[Path, ...]) -> Groups:
    try:
        return Groups([load(DEFAULT), *(load(str(path)) for path in task_files)])
    except InputError as error:
        click.echo(str(error), err=True)
        raise SystemExit(2) from None


def _mix(path: Path | None) -> LiveMix | None:
    if path is None:
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(data, dict):
            raise ValueError("a live mix is a JSON object")
        return LiveMix.from_json(data)
    except (OSError, ValueError, RecursionError) as error:
        raise click.UsageError(f"--traffic {path}: {error}") from None


def _write(path: Path, found: Document) -> None:
    try:
        path.write_text(page(found), encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"--html {path} can't be written: {error.strerror or error}") from None
    click.echo(f"{path}: {found['samples']['count']:,} samples", err=True)
