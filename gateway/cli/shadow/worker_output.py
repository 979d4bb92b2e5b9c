"""What `yardstick shadow worker` says of what it does: a line for each verdict, or a bar for who watches."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from gateway.shadow.score.verdict import Says, Verdict
from gateway.shadow.store import Claim
from gateway.shadow.worker import Observer


@contextmanager
def observer(*, lines: bool) -> Iterator[Observer]:
    """JSON lines on stdout, else a bar on stderr; messages on stderr. Never an answer, a prompt or a reason."""
    if lines:
        yield _Lines()
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        yield Bar(progress, progress.add_task("waiting for something to score", total=None))


class _Lines:
    def scored(self, claim: Claim, verdicts: Sequence[Verdict], *, new: bool) -> None:
        for number, verdict in enumerate(verdicts):
            click.echo(json.dumps(_document(claim, number, verdict, new=new)))

    def told(self, message: str) -> None:
        click.echo(message, err=True)


class Bar:
    """Counts what counted."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress, self._task = progress, task
        self._says: Counter[Says] = Counter()

    def scored(self, claim: Claim, verdicts: Sequence[Verdict], *, new: bool) -> None:
        self._says[verdicts[0].says] += new
        counts = ", ".join(f"{self._says[says]:,} {says}" for says in Says)
        self._progress.update(self._task, description=f"{self._says.total():,} scored: {counts}")

    def told(self, message: str) -> None:
        self._progress.console.print(escape(message), highlight=False)


def _document(claim: Claim, number: int, verdict: Verdict, *, new: bool) -> dict[str, object]:
    run, sample = claim.run, claim.sample
    return {
        "run": run.id,
        "number": number,
        "suite": sample.suite,
        "task_id": sample.task_id,
        "role": run.role,
        "side": run.side,
        "model": run.served.model,
        "verdict": verdict.says,
        "level": verdict.level,
        "seconds": round(verdict.seconds, 3),
        "program": verdict.program,
        "new": new,
    }
