"""`yardstick shadow worker`: verdicts for what waits in the store."""

from __future__ import annotations

import os
import platform
import secrets
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from gateway.cli.shadow.keeping import keep_options
from gateway.cli.shadow.score import cpus, proven, stop_on_termination
from gateway.cli.shadow.stores import StoreCommand, opened, queue_address, queue_option, store_option
from gateway.cli.shadow.worker_output import observer
from gateway.shadow.events import Announcing, open_events
from gateway.shadow.sandbox.interpreter import SandboxError
from gateway.shadow.sandbox.job import Limits
from gateway.shadow.sandbox.level import Level
from gateway.shadow.sandbox.slot import Slot
from gateway.shadow.score.check import Checker
from gateway.shadow.score.proven import level_that_holds
from gateway.shadow.score.slots import CannotScore, Where, where
from gateway.shadow.store import Retention, Store, StoreUnavailable
from gateway.shadow.suites.jsonl import InputError
from gateway.shadow.suites.load import DEFAULT, load
from gateway.shadow.suites.task import Suite, SuiteKind
from gateway.shadow.worker import Scoring, ScoringBroken, Settings, Worker, suite_key
from gateway.shadow.worker.queue import RunQueue
from gateway.shadow.worker.queue_server import NoQueue, QueueServer

_STOPPED = 130
_REMEDY = (
    "`yardstick shadow sandbox` says what each level needs and tries it; bubblewrap is `apt-get install -y bubblewrap`,"
    " landlock needs Linux 5.13. Nothing was claimed."
)


@click.command(
    cls=StoreCommand,
    epilog="\b\nExamples:\n  yardstick shadow worker\n"
    "  yardstick shadow worker --suite five --suite bigcodebench-v0.1.4.jsonl --workers 4\n"
    "  yardstick shadow worker --store postgresql://evals@db/evals --queue redis://queue/0\n"
    "  yardstick shadow worker --once --json",
)
@store_option
@queue_option
@click.option(
    "--suite",
    "suites",
    multiple=True,
    default=(DEFAULT,),
    show_default=True,
    metavar="five|FILE",
    help="Tasks, as often as wanted. Samples of other suites, or of other versions, are left for others.",
)
@click.option("--workers", type=click.IntRange(1, 512), help="Answers run at once. Default: the number of CPUs.")
@click.option(
    "--environment",
    type=click.Path(file_okay=False, path_type=Path),
    help="A folder that `yardstick shadow setup --folder` made. Default: where it puts it.",
)
@click.option(
    "--level",
    type=click.Choice([str(level) for level in Level]),
    help="The sandbox. Default: the strongest that works.",
)
@click.option(
    "--again",
    type=click.FloatRange(0, 1),
    default=0.05,
    show_default=True,
    metavar="SHARE",
    help="Of answers that are scored a second time, so that the gate knows whether verdicts flip.",
)
@keep_options
@click.option("--once", is_flag=True, help="End when nothing waits in the store; no queue is used.")
@click.option("--json", "as_json", is_flag=True, help="A JSON line for each verdict; so it is, too, off a terminal.")
def worker(
    store_url: str | None,
    queue_url: str | None,
    suites: tuple[str, ...],
    workers: int | None,
    environment: Path | None,
    level: str | None,
    again: float,
    keep: Retention,
    once: bool,
    as_json: bool,
) -> None:
    """Score the answers that wait in the store by running their tasks' tests, behind walls. Run as many as you like.

    \b
    Ends with 0  nothing waits (--once), or it was told to (Ctrl-C, SIGTERM): what was not done is given back
              1  it can't score: no sandbox holds, no store, no libraries, or (--once) scoring is broken
              2  something given is wrong

    A control that comes out wrong, or a sandbox that is down, pauses it; a store that is down makes it wait. All are
    gaps in the report. A queue that is down is none: what waits is looked for in the store meanwhile.
    """
    stop_on_termination()
    try:
        tasks = [load(name) for name in suites]
        address = None if once else queue_address(queue_url)
        server = QueueServer(address) if address is not None else None
        with opened(store_url, keep=keep) as store:
            place = where(environment, _kind(tasks))
            found = _level(level, place)
            settings = Settings(_name(), place.name, slots=workers or cpus(), once=once)
            lines = as_json or not sys.stdout.isatty()
            _work(store, server, tasks, place, found, settings, again=again, lines=lines)
    except InputError as error:
        _end(2, str(error))
    except ScoringBroken as error:
        _end(1, f"{error}. What was not recorded was given back")
    except (CannotScore, NoQueue, StoreUnavailable, SandboxError) as error:
        _end(1, str(error))
    except KeyboardInterrupt:
        _end(_STOPPED, "stopped at once; what was being scored is others' when its leases end")


def _work(
    store: Store,
    server: QueueServer | None,
    suites: Sequence[Suite],
    place: Where,
    level: Level,
    settings: Settings,
    *,
    again: float,
    lines: bool,
) -> None:
    scoring = Scoring(suites, lambda: Checker(level, Limits()), again=again)

    def new_slot() -> Slot:
        return Slot(level, place.python, preload=place.preload)

    with observer(lines=lines) as told, ExitStack() as stack:
        its_suites = ", ".join(suite_key(suite) for suite in suites)
        told.told(f"scoring {its_suites} at level {level} with {place.name}, {settings.slots} at once")
        events = open_events(told.told)
        if events is not None:
            stack.callback(events.close)
        observing = told if events is None else Announcing(told, events, suites)
        queue = None if server is None else stack.enter_context(RunQueue(server, told.told, name=settings.name))
        working = Worker(store, scoring, new_slot, settings, observing, queue=queue)
        _stop_when_told(working)
        working.run()


def _level(wanted: str | None, place: Where) -> Level:
    try:
        return level_that_holds(Level(wanted) if wanted else None, place.python, proven)
    except CannotScore as error:
        raise CannotScore(f"{error}\n{_REMEDY}") from None


def _stop_when_told(working: Worker) -> None:
    """Once is a request, which `run` sees to; twice is meant."""
    told = False

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal told
        if told:
            raise KeyboardInterrupt
        told = True
        working.stop()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)


def _kind(suites: Sequence[Suite]) -> SuiteKind:
    """The one that needs most: only `five` may do without libraries."""
    return next((suite.kind for suite in suites if suite.kind is not SuiteKind.FIVE), SuiteKind.FIVE)


def _name() -> str:
    """No other worker's, on any machine, and none before a restart."""
    return f"{platform.node()}-{os.getpid()}-{secrets.token_hex(4)}"


def _end(code: int, message: str) -> NoReturn:
    click.echo(message, err=True)
    raise SystemExit(code)
