"""The supervisor of several workers: starts them, replaces those that end, passes on what it is asked.

Workers are forked after the tokenizers are loaded: their memory is shared (of 92 MB with GLM-4's, 88 MB), and one that
died is replaced within milliseconds. Forking is safe here because the supervisor has no other thread and no event loop.
It keeps every worker's socket open, so that connections that wait for a worker which has died are its successor's.
"""

from __future__ import annotations

import collections
import contextlib
import gc
import multiprocessing
import os
import selectors
import signal
import socket
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from typing import Any, NoReturn

from gateway.generation import Material
from gateway.reload import PERIOD, Source, Watch, refusal
from gateway.telemetry.shared import Slots

_SHORT_LIFE = 10.0  # seconds: a worker that ends sooner is not replaced at once
_LONGEST_PAUSE = 10.0
_MARGIN = 15.0  # seconds beyond a worker's own deadlines, after which it is taken for stuck
_REMEMBERED = 1000  # different lines that workers said


@dataclass(frozen=True, slots=True)
class Drain:
    delayed: bool


@dataclass(frozen=True, slots=True)
class Reload:
    """``number``: which reload it is; a worker that has done it says so with `Applied`."""

    material: Material
    number: int


@dataclass(frozen=True, slots=True)
class Applied:
    number: int


@dataclass(frozen=True, slots=True)
class Refusal:
    """A configuration was not taken: to be counted."""


Order = Drain | Reload | Refusal
Post = Connection
Listeners = Sequence[socket.socket]
Work = Callable[[int, Material, Listeners, Post], int]


class _Worker:
    """One place for a worker. ``pid`` is 0 while there is none; the next one is started at ``due``."""

    def __init__(self, number: int, listeners: Listeners) -> None:
        self.number = number
        self.listeners = listeners
        self.pid = 0
        self.post: Post | None = None
        self.started = 0.0
        self.pause = 0.0
        self.due = 0.0
        self.said: collections.Counter[str] = collections.Counter()


class Supervisor:
    """``work`` runs in a worker and returns its exit code. ``say`` gets lines for people."""

    def __init__(
        self,
        source: Source,
        material: Material,
        listeners: Sequence[Listeners],
        slots: Slots,
        work: Work,
        say: Callable[[str], None],
    ) -> None:
        self._source = source
        self._material = material
        self._workers = [_Worker(number, own) for number, own in enumerate(listeners)]
        self._slots = slots
        self._work = work
        self._say = say
        self._said: collections.Counter[str] = collections.Counter()
        self._watch = Watch(source.files(material.config))
        self._selector = selectors.DefaultSelector()
        self._wake = socket.socketpair()
        self._caught: list[int] = []
        self._reloads = 0
        self._awaited: set[int] = set()  # workers that have not done the newest reload
        self._deadline: float | None = None  # while ending
        self._exit_code = 0

    def run(self) -> int:
        """Until it is asked to end and all workers have. The exit code: 0 if every one of them ended in order."""
        self._take_signals()
        look = time.monotonic() + PERIOD
        while self._deadline is None or any(worker.pid for worker in self._workers):
            now = time.monotonic()
            if self._deadline is None:
                self._start_due(now)
            elif now > self._deadline:
                self._kill_all()
            for key, _ in self._selector.select(self._patience(now, look)):
                key.data()
            while self._caught:
                self._handle(self._caught.pop(0))
            self._reap()
            if self._deadline is None and time.monotonic() >= look:
                look = time.monotonic() + PERIOD
                if self._watch.look():
                    self._reload()
        return self._exit_code

    # -- signals --------------------------------------------------------------------------------------------------

    def _take_signals(self) -> None:
        reader, writer = self._wake
        reader.setblocking(False)
        writer.setblocking(False)
        signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
            signal.signal(number, lambda caught, _: self._caught.append(caught))
        self._selector.register(reader, selectors.EVENT_READ, partial(reader.recv, 4096))

    def _handle(self, number: int) -> None:
        if number in (signal.SIGTERM, signal.SIGINT):
            self._end(number)
        elif number == signal.SIGHUP and self._deadline is None:
            self._watch.follow(self._source.files(self._material.config))
            self._reload()

    def _end(self, number: int) -> None:
        if self._deadline is not None:
            self._exit_code = 1
            self._kill_all()
            return
        drain = self._material.config.drain
        self._deadline = time.monotonic() + drain.delay + drain.grace + _MARGIN
        self._say("shutting down. The next signal ends at once")
        self._order(Drain(delayed=number == signal.SIGTERM))
        for worker in self._workers:
            for listener in worker.listeners:
                listener.close()  # the workers' own are the last

    def _kill_all(self) -> None:
        for worker in self._workers:
            if worker.pid:
                os.kill(worker.pid, signal.SIGKILL)

    # -- the configuration ----------------------------------------------------------------------------------------

    def _reload(self) -> None:
        """Reads for all of them, so that they never differ, and nothing is said twice."""
        try:
            material = self._source.read_again(self._material)
        except ValueError as error:
            self._say(refusal(error))
            self._order(Refusal())
            return
        self._material = material
        self._watch.change_to(self._source.files(material.config))
        self._reloads += 1
        self._awaited = {worker.number for worker in self._workers if worker.pid}
        self._order(Reload(material.without_counters(), self._reloads))
        self._note_applied()

    def _note_applied(self, number: int | None = None) -> None:
        """``number``: of a worker that serves by the newest configuration."""
        if number is not None:
            if number not in self._awaited:
                return
            self._awaited.discard(number)
        if not self._awaited:
            self._say(f"{self._source.name}: reloaded")

    def _order(self, order: Order) -> None:
        for worker in self._workers:
            if worker.post is not None:
                with contextlib.suppress(OSError):  # it has just died
                    worker.post.send(order)

    # -- workers --------------------------------------------------------------------------------------------------

    def _patience(self, now: float, look: float) -> float:
        due = [look, *(worker.due for worker in self._workers if not worker.pid)]
        return max(0.0, min(due) - now) if self._deadline is None else PERIOD

    def _start_due(self, now: float) -> None:
        for worker in self._workers:
            if not worker.pid and now >= worker.due:
                self._start(worker, now)

    def _start(self, worker: _Worker, now: float) -> None:
        ours, theirs = multiprocessing.Pipe()
        gc.collect()
        gc.freeze()  # a collection in a worker would write to, and so copy, what is shared
        try:
            pid = os.fork()
        except OSError as error:  # too many processes, or too little memory
            self._say(f"worker {worker.number} cannot be started: {error.strerror}")
            worker.due = now + _LONGEST_PAUSE
            return
        if not pid:
            ours.close()
            self._become(worker, theirs)
        theirs.close()
        worker.pid, worker.post, worker.started = pid, ours, now
        self._selector.register(ours, selectors.EVENT_READ, partial(self._hear, worker))

    def _become(self, worker: _Worker, post: Post) -> NoReturn:
        """In the new process: lets go of all that is the supervisor's, and works."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGINT, signal.SIGHUP):  # a terminal sends them to all; the supervisor passes them on
                signal.signal(number, signal.SIG_IGN)
            for number in (signal.SIGTERM, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            self._selector.close()
            for end in self._wake:
                end.close()
            for other in self._workers:
                if other.post is not None:
                    other.post.close()
                for listener in other.listeners if other is not worker else ():
                    listener.close()
            code = self._work(worker.number, self._material, worker.listeners, post)
        except BaseException:
            with contextlib.suppress(OSError):
                traceback.print_exc()
        finally:
            os._exit(code)

    def _hear(self, worker: _Worker) -> None:
        assert worker.post is not None
        try:
            said: Any = worker.post.recv()
        except (EOFError, OSError):
            self._selector.unregister(worker.post)
            worker.post.close()
            worker.post = None
            return
        if isinstance(said, Applied):
            if said.number == self._reloads:
                self._note_applied(worker.number)
        else:
            self._repeat(worker, str(said))

    def _repeat(self, worker: _Worker, line: str) -> None:
        """What several workers say in the same words is said once."""
        worker.said[line] += 1
        if worker.said[line] > self._said[line]:
            self._said[line] = worker.said[line]
            self._say(line)
        if len(self._said) > _REMEMBERED:
            self._said.clear()
            for each in self._workers:
                each.said.clear()

    def _reap(self) -> None:
        for worker in self._workers:
            if not worker.pid:
                continue
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if pid:
                self._note_end(worker, os.waitstatus_to_exitcode(status))

    def _note_end(self, worker: _Worker, code: int) -> None:
        while worker.post is not None:
            self._hear(worker)  # up to its last line
        self._slots.settle(worker.number)
        pid, worker.pid = worker.pid, 0
        worker.said.clear()
        self._note_applied(worker.number)  # its successor begins with it
        how = f"ended with exit code {code}" if code >= 0 else f"was ended by {signal.Signals(-code).name}"
        if self._deadline is not None:
            if code and not self._exit_code:
                self._exit_code = 1
                self._say(f"worker {worker.number} (pid {pid}) {how}")
            return
        now = time.monotonic()
        lived = now - worker.started
        worker.pause = 0.0 if lived > _SHORT_LIFE else min(_LONGEST_PAUSE, max(0.1, 2 * worker.pause))
        worker.due = now + worker.pause
        when = f" in {worker.pause:g} s" if worker.pause else ""
        self._say(f"worker {worker.number} (pid {pid}) {how}; another takes its place{when}")
