"""`yardstick shadow fetch`: BigCodeBench from the hub."""

from __future__ import annotations

import time
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from gateway.shadow.suites.fetch import FULL, HARD, VERSION, VIEWER, FetchError
from gateway.shadow.suites.fetch import fetch as fetched


@click.command(
    epilog="\b\nThen:\n  yardstick shadow setup --full\n"
    f"  yardstick shadow score --suite {FULL.file_name} --samples SAMPLES.jsonl"
)
@click.option("--hard", is_flag=True, help=f"Only the {HARD.tasks} tasks of BigCodeBench-Hard.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help=f"File to write. Default: {FULL.file_name} or {HARD.file_name}, in this folder.",
)
@click.option("--force", is_flag=True, help="Replace the file if it is there.")
@click.option(
    "--hub", default=VIEWER, show_default=True, metavar="URL", help="The hub's dataset viewer, or a mirror of it."
)
def fetch(hard: bool, output: Path | None, force: bool, hub: str) -> None:
    """Download BigCodeBench's tasks (Apache-2.0) as a suite to score with.

    Its 1,140 tasks have a complete and an instruct prompt each, and both are in the file.
    """
    dataset = HARD if hard else FULL
    target = output or Path(dataset.file_name)
    if target.exists() and not force:
        raise click.UsageError(f"{target} is there already: --force replaces it, --output names another file")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        bar = progress.add_task(f"{dataset.name} {VERSION}", total=dataset.tasks)
        try:
            fetched(dataset, target, viewer=hub, wait=time.sleep, tell=lambda n: progress.update(bar, completed=n))
        except FetchError as error:
            failure = str(error)
        else:
            failure = ""
    if failure:
        click.echo(failure, err=True)
        raise SystemExit(1)
    click.echo(f"{target}: {dataset.tasks:,} tasks of {dataset.name} {VERSION}")
