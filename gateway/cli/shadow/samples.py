"""`yardstick shadow samples`: a suite's own solutions as a samples file, to try scoring with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click

from gateway.shadow.suites.jsonl import InputError
from gateway.shadow.suites.load import DEFAULT, load
from gateway.shadow.suites.task import Suite


@click.command(
    epilog="\b\nThen:\n  yardstick shadow samples --wrong > samples.jsonl\n"
    "  yardstick shadow score --samples samples.jsonl"
)
@click.option(
    "--suite", default=DEFAULT, show_default=True, metavar="five|FILE", help="Tasks: our own, or a JSONL file of them."
)
@click.option("--wrong", is_flag=True, help="The suite's wrong answers as well: plausible ones, which tests refuse.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="File to write. Default: stdout.")
def samples(suite: str, wrong: bool, output: Path | None) -> None:
    """Write the solutions that come with a suite, as samples for `yardstick shadow score`."""
    try:
        tasks = load(suite)
    except InputError as error:
        click.echo(str(error), err=True)
        raise SystemExit(2) from None
    if wrong and not any(task.wrong for task in tasks.tasks.values()):
        raise click.UsageError(f"the suite {tasks.name} comes without wrong answers; --suite five has some")
    if output is None:
        for line in _lines(tasks, wrong=wrong):
            click.echo(line)
        return
    try:
        output.write_text("".join(f"{line}\n" for line in _lines(tasks, wrong=wrong)), encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"--output {output} can't be written: {error.strerror or error}") from None


def _lines(suite: Suite, *, wrong: bool) -> Iterator[str]:
    """Whole modules, which the official harness takes, too."""
    for task in suite.tasks.values():
        for answer in (task.canonical_solution, *(task.wrong if wrong else ())):
            yield json.dumps({"task_id": task.task_id, "solution": f"{task.complete_prompt}\n{answer}"})
