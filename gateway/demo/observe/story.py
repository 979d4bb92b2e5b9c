"""`yardstick observe` from beginning to end."""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from gateway.demo import show
from gateway.demo.observe import screen
from gateway.demo.observe.engines import engine
from gateway.demo.observe.look import Found, Look
from gateway.demo.observe.options import GATEWAY_PORT, PROMETHEUS_PORT, Options
from gateway.demo.observe.panels import Dashboard, dashboards
from gateway.demo.observe.prometheus import NotInstalled, Refused, find_prometheus
from gateway.demo.observe.system import System, port
from gateway.demo.observe.traffic import Traffic
from gateway.demo.observe.workload import Workload
from gateway.demo.processes import Children, Died, signals_interrupt
from gateway.ports import PortUnavailable

_ONCE_SECONDS = 180.0
_LOOK_SECONDS = 1.0
_NEWS_SECONDS = 60.0  # between lines where there is no terminal


def run(options: Options) -> int:
    """The exit code: 0 after Ctrl-C, or with ``once`` if every query has answered; 1 if not, or if something could
    not start; 130 after Ctrl-C before all was there. Whatever it started has ended then, and its folder is gone, unless
    something died: then there are logs to be read.
    """
    console = Console(stderr=True, highlight=False) if options.as_json else show.console()
    try:
        with signals_interrupt():
            return _Observe(console, options).run()
    except KeyboardInterrupt:
        console.print("stopped; all processes have ended")
        return 130
    except (Died, NotInstalled, PortUnavailable, Refused, TimeoutError, OSError, ValueError) as error:
        console.print(f"observe failed: {error}", style="red", markup=False, soft_wrap=True)
        return 1


class _Observe:
    def __init__(self, console: Console, options: Options) -> None:
        self._console = console
        self._options = options

    def run(self) -> int:
        options = self._options
        binary = find_prometheus(options.prometheus)
        shown = self._dashboards()
        ports = port(options.port, GATEWAY_PORT), port(options.prometheus_port, PROMETHEUS_PORT)
        servers = engine()
        self._console.print(servers.words.introduction, markup=False, soft_wrap=True)
        with _folder() as folder, Children(folder, {"TMPDIR": str(folder)}) as children:
            self._console.print(f"logs and data: {folder}", markup=False, soft_wrap=True)
            system = System(children, servers, ports, binary=binary, rules=options.rules)
            workload = self._start(system, next(iter(servers.tokenizers.values())))
            traffic = Traffic(system.servers.gateway)
            with traffic.flowing(workload, system.trouble()):
                self._console.print(screen.addresses(system, shown, options), markup=False, soft_wrap=True)
                if not options.once:
                    return self._watch(children, traffic)
                found = self._look(children, Look(system.prometheus, shown), traffic)
        return self._tell(found)

    def _dashboards(self) -> Sequence[Dashboard]:
        try:
            return dashboards(self._options.dashboards)
        except OSError as error:
            if self._options.once:
                raise OSError(f"{error}. Run this in a clone, or name their folder with --dashboards") from None
            self._console.print(f"{error}: none to show", markup=False, soft_wrap=True)
            return ()

    def _start(self, system: System, tokenizer: Path) -> Workload:
        with self._console.status("") as status:

            def say(line: str) -> None:
                status.update(line)
                if not self._console.is_terminal:
                    self._console.print(line, markup=False, soft_wrap=True)

            system.start(say)
            say("cutting files to prompts of up to 100,000 tokens")
            return Workload(tokenizer)

    def _watch(self, children: Children, traffic: Traffic) -> int:
        """Until Ctrl-C, or until a child dies, which is raised."""
        self._console.print("traffic goes on until Ctrl-C")
        told = time.monotonic()
        try:
            with self._console.status("") as status:
                while True:
                    time.sleep(_LOOK_SECONDS)
                    children.require_alive()
                    status.update(screen.news(traffic))
                    if not self._console.is_terminal and time.monotonic() - told >= _NEWS_SECONDS:
                        told = time.monotonic()
                        self._console.print(screen.news(traffic))
        except KeyboardInterrupt:
            self._console.print("stopping")
            return 0

    def _look(self, children: Children, look: Look, traffic: Traffic) -> list[Found]:
        """Until every query has answered, or for as long as that may take."""
        deadline = time.monotonic() + _ONCE_SECONDS
        before = 0
        with self._console.status("") as status:
            while True:
                time.sleep(_LOOK_SECONDS)
                children.require_alive()
                found = look.once_more()
                good = sum(not each.complaint for each in found)
                line = f"{good} of {len(found)} queries have answered; {screen.news(traffic)}"
                status.update(line)
                if not self._console.is_terminal and good > before:
                    self._console.print(line)
                before = good
                if good == len(found) or time.monotonic() > deadline:
                    return found

    def _tell(self, found: Sequence[Found]) -> int:
        if self._options.as_json:
            sys.stdout.write(json.dumps([each.as_json() for each in found], indent=2) + "\n")
        else:
            self._console.print(screen.table(found))
        wrong = [each for each in found if each.complaint]
        for each in wrong:
            line = f"FAILED {each.query.name}: {each.complaint}: {each.query.expression}"
            self._console.print(line, style="red", markup=False, soft_wrap=True)
        if not wrong:
            self._console.print(f"each of {len(found)} queries returns something, and none anything but numbers")
        return 1 if wrong else 0


@contextmanager
def _folder() -> Iterator[Path]:
    """Gone afterwards, but for what went wrong."""
    folder = Path(tempfile.mkdtemp(prefix="yardstick-observe-"))
    try:
        yield folder
    except KeyboardInterrupt:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    shutil.rmtree(folder, ignore_errors=True)
