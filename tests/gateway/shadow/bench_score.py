"""``python -m tests.gateway.shadow.bench_score TASKS.jsonl``: tasks per minute of the official harness and of ours.

The same samples (right, wrong and empty solutions), libraries, cores and number of workers, in one run, by turns; both
as their users start them, with all that it takes from the start of the command to its end. Ends with 1 if a verdict
differs or ours is less than --at-least times as fast.

What each harness finds out about a task once and then keeps is not counted: the official one runs every canonical
solution for its time (not run here at all), ours to learn whether its tests can be run apart (the row "ours, the first
time", with an empty cache, is with that).

Harnesses are compared, so tasks are left out whose tests by themselves take seconds: those in agreement/long.json, of
which a sample took either harness more than 2 s (seconds of the quicker one, from the run behind agreement/result.json;
33 of 840 tasks). With --long they are drawn as well. Left out, too, are those of agreement/known.json, where verdicts
differ: what hangs in one harness for minutes would make the other one look fast.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import click
from rich.console import Console
from rich.table import Table

from gateway.shadow.environment.pip import SetupError
from gateway.shadow.suites.jsonl import InputError
from gateway.shadow.suites.load import read
from tests.gateway.shadow.agreement.compare import read_known
from tests.gateway.shadow.agreement.harnesses import CannotCompare, Official, Ours, cores, installed
from tests.gateway.shadow.agreement.samples import KINDS, Judged, judged, stratified
from tests.gateway.shadow.agreement.verdicts import Said

FIRST = "ours, the first time"
LONG = Path(__file__).parent / "agreement" / "long.json"

Judge = Callable[[Sequence[Judged]], Mapping[str, Said]]


@dataclass(frozen=True, slots=True)
class Turn:
    """One harness over all samples: seconds for the whole command, and what it said."""

    harness: str
    seconds: float
    said: Mapping[str, Said]


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--tasks", type=click.IntRange(min=7), default=240, show_default=True, help="Drawn by domain and seed.")
@click.option("--long", is_flag=True, help="Also tasks whose tests by themselves take more than 2 s.")
@click.option("--rounds", type=click.IntRange(min=1), default=2, show_default=True)
@click.option("--workers", type=click.IntRange(min=1), default=cores(), show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), default=".agreement", show_default=True)
@click.option("--at-least", type=float, default=5.0, show_default=True)
def main(file: Path, tasks: int, long: bool, rounds: int, workers: int, folder: Path, at_least: float) -> None:
    """Compare the speed of both harnesses on a sample of the tasks in FILE."""
    try:
        left_out = set(read_known()) | (set() if long else set(json.loads(LONG.read_text(encoding="utf-8"))))
        known = [task for task in read(str(file)).tasks.values() if task.task_id not in left_out]
        samples = judged(stratified(known, tasks), KINDS)
        environment = installed(folder)
        official = partial(Official(folder, environment, workers).judge, anew=True)
        ours = partial(Ours(file, folder, environment.name, workers).judge, anew=True)
        with TemporaryDirectory() as cache, patch.dict(os.environ, XDG_CACHE_HOME=cache):
            ours(samples[:1])  # the sandbox is proven once a machine, and files come into the page cache
            turns = [_turn(FIRST, ours, samples)]
            turns += [turn for number in range(rounds) for turn in _round(number, official, ours, samples)]
    except (SetupError, CannotCompare, InputError) as error:
        raise click.ClickException(str(error)) from None
    ratio = _show(turns, samples, workers)
    differing = _differing(turns)
    for line in differing:
        print(line)
    if not differing:
        print("All verdicts are equal.")
    sys.exit(1 if differing or ratio < at_least else 0)


def _round(number: int, official: Judge, ours: Judge, samples: Sequence[Judged]) -> list[Turn]:
    harnesses = [("official", official), ("ours", ours)]
    return [_turn(name, judge, samples) for name, judge in (harnesses if number % 2 == 0 else reversed(harnesses))]


def _turn(name: str, judge: Judge, samples: Sequence[Judged]) -> Turn:
    start = time.monotonic()
    said = judge(samples)
    return Turn(name, time.monotonic() - start, said)


def _show(turns: Sequence[Turn], samples: Sequence[Judged], workers: int) -> float:
    """Prints the table; returns the ratio of the rates."""
    table = Table(title=f"{workers} at a time; seconds of the run that decides: median, 90 %, most")
    for column in ("", "samples a minute", *KINDS):
        table.add_column(column, justify="right")
    rates = {}
    for name in ("official", FIRST, "ours"):
        chosen = [turn for turn in turns if turn.harness == name]
        rates[name] = 60 * sum(len(turn.said) for turn in chosen) / sum(turn.seconds for turn in chosen)
        table.add_row(name, f"{rates[name]:.1f}", *(_spread(chosen, _ids(samples, kind)) for kind in KINDS))
    ratio = rates["ours"] / rates["official"]
    table.add_row("ratio", f"{ratio:.1f}x")
    table.add_row("ratio, the first time", f"{rates[FIRST] / rates['official']:.1f}x")
    Console().print(table)
    return ratio


def _ids(samples: Sequence[Judged], kind: str) -> list[str]:
    return [sample.id for sample in samples if sample.kind == kind]


def _spread(turns: Sequence[Turn], ids: Sequence[str]) -> str:
    seconds = sorted(turn.said[name].seconds for turn in turns for name in ids)
    return f"{statistics.median(seconds):.2f}, {seconds[int(0.9 * len(seconds))]:.2f}, {seconds[-1]:.2f}"


def _differing(turns: Sequence[Turn]) -> list[str]:
    """Samples of which the harnesses never said the same in any round."""
    verdicts: dict[str, dict[str, set[str]]] = {}
    for turn in turns:
        for name, said in turn.said.items():
            harness = "official" if turn.harness == "official" else "ours"
            verdicts.setdefault(name, {}).setdefault(harness, set()).add(said.verdict)
    return [
        f"{name}: official {'/'.join(sorted(said['official']))}, ours {'/'.join(sorted(said['ours']))}"
        for name, said in verdicts.items()
        if not said["official"] & said["ours"]
    ]


if __name__ == "__main__":
    main()
