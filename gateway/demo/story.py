"""The demo from beginning to end."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, nullcontext
from http.client import HTTPException
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from gateway.demo import show
from gateway.demo.checks import Result, failures
from gateway.demo.client import Client
from gateway.demo.engine import HOST, LONG, Engine
from gateway.demo.processes import Children, Died, signals_interrupt
from gateway.demo.scoreboard import Scoreboard, settings
from gateway.demo.servers import Servers
from gateway.demo.sources import Sources
from gateway.demo.workload import Row, multi_file_rows, short_rows
from gateway.engines.vllm.executable import NotFound
from gateway.ports import PortUnavailable, ensure_free
from gateway.tokens import Counter

_LONG_LANES, _SHORT_LANES = 1, 2  # requests at once
_LOOK_SECONDS = 0.5
_BOARD_SECONDS = 3.0
_PAIRS_A_BOARD = 10


def run(once: bool, port: int, engine: str) -> int:
    """The exit code: 0 if every row was as expected, 1 if not or if something could not start, 130 after Ctrl-C.

    Without ``once`` it serves after the table until Ctrl-C, which is then no failure.
    """
    console = show.console()
    try:
        with signals_interrupt():
            return _Demo(console, once, port, engine).run()
    except KeyboardInterrupt:
        console.print("stopped; all processes have ended")
        return 130
    except (Died, NotFound, PortUnavailable, TimeoutError, OSError, ValueError) as error:
        console.print(f"the demo failed: {error}", style="red", markup=False)
        return 1


class _Demo:
    def __init__(self, console: Console, once: bool, port: int, engine: str) -> None:
        self._console = console
        self._once = once
        self._port = port
        self._engine_name = engine

    def run(self) -> int:
        ensure_free(HOST, self._port)
        engine = _engine(self._engine_name)
        folder = Path(tempfile.mkdtemp(prefix="yardstick-demo-"))
        self._console.print(engine.words.introduction, markup=False, soft_wrap=True)
        self._console.print(f"logs: {folder}", markup=False, soft_wrap=True)
        began = time.monotonic()
        with Children(folder) as children:
            scored = engine.knows_tasks and not self._once
            shadow = {"shadow": settings(folder)} if scored else {}
            servers = Servers(children, engine, self._port, settings=shadow)
            rows = self._prepare(servers, engine)
            results = self._work(rows, servers.gateway, children)
            seconds = time.monotonic() - began
            self._console.print(show.table(results, seconds, engine.words))
            addresses = {model: each for model, (each,) in servers.by_model().items()}
            wrong = failures(results, addresses, seconds, engine)
            for line in wrong:
                self._console.print(f"FAILED {line}", style="red", markup=False, soft_wrap=True)
            if not wrong:
                self._console.print(engine.words.success)
            if not self._once:
                self._serve(children, scored=scored)
        return 1 if wrong else 0

    def _prepare(self, servers: Servers, engine: Engine) -> list[Row]:
        """Starts everything and makes the prompts."""
        with self._progress() as progress:
            task = progress.add_task("", total=None)

            def say(line: str) -> None:
                progress.update(task, description=line)
                self._say_plainly(line)

            servers.start(say)
            rows = short_rows(engine.lengths.max_tokens)
            say("cutting multi-file prompts to measure")
            sources = {path: Sources(Counter.load(path)) for path in set(engine.tokenizers.values())}
            by_model = {model: sources[path] for model, path in engine.tokenizers.items()}
            return [*rows, *multi_file_rows(by_model, engine.lengths)]

    def _work(self, rows: Sequence[Row], gateway: Client, children: Children) -> list[Result]:
        """Sends all rows, long ones beside short ones. The results are in the rows' order."""
        long, short = ThreadPoolExecutor(_LONG_LANES), ThreadPoolExecutor(_SHORT_LANES)
        try:
            with self._progress(BarColumn(), MofNCompleteColumn()) as progress:
                task = progress.add_task("sending requests", total=len(rows))
                sent = [(long if row.multi_file else short).submit(_ask, gateway, row) for row in rows]
                for future in as_completed(sent):
                    children.require_alive()
                    line = f"answered: {future.result().row.name}"
                    progress.update(task, advance=1, description=line)
                    self._say_plainly(line)
            return [future.result() for future in sent]
        finally:
            # Not waited for: after Ctrl-C their connections end when the gateway does.
            for lanes in (long, short):
                lanes.shutdown(wait=False, cancel_futures=True)

    def _progress(self, *columns: ProgressColumn) -> Progress:
        shown = (SpinnerColumn(), TextColumn("{task.description}", markup=False), *columns, TimeElapsedColumn())
        return Progress(*shown, console=self._console, transient=True, disable=not self._console.is_terminal)

    def _say_plainly(self, line: str) -> None:
        """In place of the progress line, where there is no terminal."""
        if not self._console.is_terminal:
            self._console.print(line, markup=False, soft_wrap=True)

    def _serve(self, children: Children, *, scored: bool) -> None:
        """Until Ctrl-C, or until a child dies, which is raised. ``scored``: with the scoreboard."""
        self._console.print(show.to_try(self._port), markup=False, soft_wrap=True)
        self._console.print(f"serving on http://{HOST}:{self._port} until Ctrl-C")
        try:
            with self._board() if scored else nullcontext(lambda folder: None) as show_board:
                while True:
                    time.sleep(_LOOK_SECONDS)
                    children.require_alive()
                    show_board(children.folder)
        except KeyboardInterrupt:
            self._console.print("stopping")

    @contextmanager
    def _board(self) -> Iterator[Callable[[Path], None]]:
        """The scoreboard, as it fills: in place on a terminal, else whenever ten more pairs are scored."""
        shown = looked = 0.0
        with Live(console=self._console, auto_refresh=False) if self._console.is_terminal else nullcontext() as live:

            def show_board(folder: Path) -> None:
                nonlocal shown, looked
                if time.monotonic() - looked < _BOARD_SECONDS:
                    return
                looked = time.monotonic()
                board = Scoreboard.read(folder)
                if live is not None:
                    live.update(board.table(), refresh=True)
                elif board.pairs.total() >= shown + _PAIRS_A_BOARD:
                    shown = board.pairs.total()
                    self._console.print(board.table())

            yield show_board


def _engine(name: str) -> Engine:
    """Loads what it needs only. Raises OSError, ValueError, or NotFound."""
    if name == "vllm":
        from gateway.demo import vllm

        return vllm.engine()
    from gateway.demo import simulated

    return simulated.engine()


def _ask(gateway: Client, row: Row) -> Result:
    """Sends a row, and has the gateway count its prompt in full."""
    answer = gateway.chat(row.body)
    try:
        counted = gateway.count({"model": row.model or LONG, "messages": row.body["messages"]})
    except (OSError, HTTPException, ValueError):
        counted = -1
    return Result(row, answer, counted)
