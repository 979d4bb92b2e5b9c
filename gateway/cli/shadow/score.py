"""`yardstick shadow score`: verdicts for samples, found by running tests behind walls."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, NoReturn

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from gateway.cli.shadow.score_table import Report, shown
from gateway.shadow.sandbox.interpreter import SandboxError
from gateway.shadow.sandbox.job import Limits
from gateway.shadow.sandbox.level import Level
from gateway.shadow.sandbox.proof import Proof, prove
from gateway.shadow.sandbox.slot import Slot
from gateway.shadow.score.check import Checker
from gateway.shadow.score.proven import level_that_holds
from gateway.shadow.score.results import Results
from gateway.shadow.score.samples import Samples
from gateway.shadow.score.scorer import Scorer
from gateway.shadow.score.slots import CannotScore, Where, where
from gateway.shadow.score.verdict import Says, Verdict
from gateway.shadow.score.ways import Ways, ways_file
from gateway.shadow.suites.jsonl import InputError
from gateway.shadow.suites.load import DEFAULT, load
from gateway.shadow.suites.task import Suite

_WALL_PER_CPU = 4.0  # seconds that a job may take for each second of CPU time that it may use
_STOPPED = 130


@click.command(
    epilog="\b\nTry it:\n  yardstick shadow samples --wrong > samples.jsonl\n"
    "  yardstick shadow score --samples samples.jsonl\n"
    "BigCodeBench:\n  yardstick shadow fetch && yardstick shadow setup --full\n"
    "  yardstick shadow score --suite bigcodebench-v0.1.4.jsonl --samples SAMPLES.jsonl"
)
@click.option(
    "--suite", default=DEFAULT, show_default=True, metavar="five|FILE", help="Tasks: our own, or a JSONL file of them."
)
@click.option(
    "--samples",
    "samples_path",
    required=True,
    metavar="FILE|-",
    help='JSONL, a line a sample: {"task_id": ..., "solution": ...}, or "completion". May be gzipped.',
)
@click.option("--extract", is_flag=True, help="The solutions are raw answers of a model: cut the code out first.")
@click.option("--json", "as_json", is_flag=True, help="One JSON line a sample, in order, instead of a table.")
@click.option("--reasons", is_flag=True, help="Add why to the JSON lines (may quote the sample), and a digest of it.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the JSON lines here as well.")
@click.option("--workers", type=click.IntRange(1, 512), help="Samples run at once. Default: the number of CPUs.")
@click.option(
    "--level",
    type=click.Choice([str(level) for level in Level]),
    help="The sandbox. Default: the strongest that works.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0, 3600, min_open=True),
    default=Limits().cpu,
    show_default=True,
    metavar="SECONDS",
    help=f"CPU time of a sample; {_WALL_PER_CPU:g} times as much may pass.",
)
@click.option(
    "--environment",
    type=click.Path(file_okay=False, path_type=Path),
    help="A folder that `yardstick shadow setup --folder` made. Default: where it puts it.",
)
def score(
    suite: str,
    samples_path: str,
    extract: bool,
    as_json: bool,
    reasons: bool,
    output: Path | None,
    workers: int | None,
    level: str | None,
    timeout: float,
    environment: Path | None,
) -> None:
    """Run samples against the tests of their tasks, behind walls, and say which pass.

    Ends with 0 if samples were scored, 1 if they couldn't be, 2 if something given is wrong (then nothing was run).
    """
    if reasons and not as_json and output is None:
        raise click.UsageError("--reasons adds to JSON lines: use it with --json or --output")
    stop_on_termination()
    with ExitStack() as stack:
        try:
            tasks = load(suite)
            samples = stack.enter_context(Samples(samples_path, tasks, raw=extract))
            file = stack.enter_context(_written(output))
        except InputError as error:
            _end(2, str(error))
        try:
            place = where(environment, tasks.kind)
            found = level_that_holds(Level(level) if level else None, place.python, proven)
            run = _Run(
                tasks, samples, place, found, workers or cpus(), Limits(cpu=timeout, wall=timeout * _WALL_PER_CPU)
            )
            report = run.to(file, as_json=as_json, reasons=reasons)
        except InputError as error:
            _end(2, str(error))
        except (CannotScore, SandboxError) as error:
            _end(1, str(error))
        except KeyboardInterrupt:
            _end(_STOPPED, "stopped; what was scored so far is above")
    if not as_json:
        shown(report)
    if report.results.says.total() == report.results.says[Says.ERROR]:
        _end(1, "" if not as_json else "no sample could be scored; --reasons says why")


class _Run:
    def __init__(
        self, suite: Suite, samples: Samples, place: Where, level: Level, workers: int, limits: Limits
    ) -> None:
        self._suite, self._samples, self._place, self._level = suite, samples, place, level
        self._workers, self._limits = min(workers, len(samples)), limits

    def to(self, file: IO[str] | None, *, as_json: bool, reasons: bool) -> Report:
        """Scores all samples; lines go to ``file``, and to stdout or a progress bar meanwhile."""
        results = Results(self._suite)
        with closing(self._verdicts()) as verdicts, self._progress(shown=not as_json) as advance:
            for verdict in verdicts:
                results.add(verdict)
                line = json.dumps(_document(verdict, reasons=reasons))
                if file is not None:
                    file.write(f"{line}\n")
                    file.flush()
                if as_json:
                    click.echo(line)
                advance(results)
        return Report(self._suite, results, self._place.name, len(self._samples.per_task))

    def _verdicts(self) -> Generator[Verdict, None, None]:
        def slot() -> Slot:
            return Slot(self._level, self._place.python, preload=self._place.preload)

        ways = Ways(ways_file(self._place, self._level))
        scorer = Scorer(Checker(self._level, self._limits, ways), slot, workers=self._workers)
        return scorer.score(self._samples)

    @contextmanager
    def _progress(self, *, shown: bool) -> Iterator[Callable[[Results], None]]:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True, disable=not shown) as progress:
            bar = progress.add_task(f"{self._suite.name}: starting {self._workers} slots", total=len(self._samples))

            def advance(results: Results) -> None:
                passed, done = results.says[Says.PASS], results.says.total()
                progress.update(bar, completed=done, description=f"{self._suite.name}: {passed} passed")

            yield advance


def proven(level: Level, python: Path) -> Proof:
    """As `prove`, and says first what takes these seconds."""
    click.echo(f"trying attacks on the sandbox at level {level} (once, until something here changes)", err=True)
    return prove(level, python)


def _document(verdict: Verdict, *, reasons: bool) -> dict[str, object]:
    document: dict[str, object] = {
        "task_id": verdict.task_id,
        "verdict": verdict.says,
        "level": verdict.level,
        "seconds": round(verdict.seconds, 3),
    }
    return document | ({"reason": verdict.reason, "program": verdict.program} if reasons else {})


def stop_on_termination() -> None:
    """Being told to end is as Ctrl-C: what was started is ended first. (A shell's background jobs ignore SIGINT.)"""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)


def cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _written(path: Path | None) -> Iterator[IO[str] | None]:
    if path is None:
        yield None
        return
    try:
        file = path.open("w", encoding="utf-8")
    except OSError as error:
        raise click.UsageError(f"--output {path} can't be written: {error.strerror or error}") from None
    with file:
        yield file


def _end(code: int, message: str) -> NoReturn:
    if message:
        click.echo(message, err=True)
    raise SystemExit(code)
