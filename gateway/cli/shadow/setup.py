"""`yardstick shadow setup`: the Python environment that tasks are scored in."""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from gateway.shadow.environment import default_folder
from gateway.shadow.environment.pip import SetupError
from gateway.shadow.environment.sets import FULL, LIGHT, RequirementSet
from gateway.shadow.environment.setup import Progress, Result, set_up


@click.command(
    epilog="\b\nExamples:\n  yardstick shadow setup\n  yardstick shadow setup --full"
    "\n  yardstick shadow setup --full --python python3.12 --folder ./scoring"
)
@click.option("--full", is_flag=True, help="Every library that BigCodeBench's tasks import: 2.6 GB.")
@click.option(
    "--folder",
    type=click.Path(path_type=Path),
    help="Where it is made; default: the cache folder ($XDG_CACHE_HOME/yardstick/scoring, or below ~/.cache).",
)
@click.option(
    "--python",
    "python",
    type=click.Path(path_type=Path),
    metavar="PYTHON",
    help="The Python to make it with, 3.11 to 3.13; default: the one that runs this command.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def setup(full: bool, folder: Path | None, python: Path | None, as_json: bool) -> None:
    """Install the libraries that tasks use, in an environment of their own, never the gateway's.

    Without --full, those that 96 % of BigCodeBench's tasks need: 0.7 GB. Versions are pinned by hash,
    as near as Python 3.11 to 3.13 allow to those that the benchmark was made with. Done again, it changes nothing;
    what was interrupted is made anew.
    """
    console = Console(stderr=True)
    try:
        result = _with_progress(
            console, folder or default_folder(), FULL if full else LIGHT, python or Path(sys.executable)
        )
    except SetupError as error:
        click.echo(str(error), err=True)
        raise SystemExit(1) from None
    click.echo(json.dumps(_document(result), indent=2) if as_json else _sentence(result))


def _with_progress(console: Console, folder: Path, chosen: RequirementSet, python: Path) -> Result:
    """Shows a bar on a terminal, else a line for each step."""
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[package]}"), TimeElapsedColumn())
    bar = Bar(*columns, console=console, transient=True) if console.is_terminal else None
    task = bar.add_task("", total=None, package="") if bar else None

    def step(name: str) -> None:
        if bar is None or task is None:
            click.echo(f"{name} ...", err=True)
        else:
            bar.reset(task, description=name, total=None, package="")

    def package(name: str, number: int, total: int) -> None:
        if bar is not None and task is not None:
            bar.update(task, completed=number, total=total, package=f"{number} of {total}: {name}")

    with bar or nullcontext():
        return set_up(folder, chosen, python, Progress(step, package))


def _document(result: Result) -> dict[str, object]:
    return {
        "folder": str(result.folder),
        "python": str(result.environment.python),
        "python_version": result.version,
        "name": result.environment.name,
        "packages": result.packages,
        "made": result.made,
    }


def _sentence(result: Result) -> str:
    kind = result.environment.name.partition("-")[0]
    state = "ready" if result.made else "there already, nothing to do"
    return f"{result.folder}: {state} ({kind} set, {result.packages} packages, Python {result.version})"
