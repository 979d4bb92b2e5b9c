"""Samples in, verdicts out, in the same order: a thread for each slot, and a bounded look ahead."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future

from gateway.shadow.score.check import Checker
from gateway.shadow.score.repeated import Repeated
from gateway.shadow.score.samples import Sample
from gateway.shadow.score.startable import Slots, StartableSlot
from gateway.shadow.score.verdict import Verdict

_AHEAD = 1000  # for each slot, so that a task of minutes does not hold up the others
_AHEAD_BYTES = 64 << 20


class Scorer:
    """Entering a slot starts it, which takes seconds: all are started at once, each by the thread that will use it.

    (A slot's processes may be tied to the thread that started them, so that thread lives as long as the slot.)
    """

    def __init__(self, checker: Checker, new_slot: Callable[[], StartableSlot], *, workers: int) -> None:
        self._checker, self._slots = checker, Slots(new_slot)
        self._queue: queue.SimpleQueue[tuple[Sample, Future[Verdict]] | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._work, name=f"slot {n}") for n in range(workers)]

    def score(self, samples: Iterable[Sample]) -> Generator[Verdict, None, None]:
        """Once only. Raises what a slot could not start for. Closed early (Ctrl-C, too), it leaves nothing running."""
        pending: deque[tuple[int, Future[Verdict]]] = deque()
        ahead = 0
        for thread in self._threads:
            thread.start()
        try:
            for sample in samples:
                while pending and (self._is_far(len(pending), ahead + sample.length) or pending[0][1].done()):
                    length, future = pending.popleft()
                    ahead -= length
                    yield future.result()
                future = Future()
                pending.append((sample.length, future))
                ahead += sample.length
                self._queue.put((sample, future))
            while pending:
                yield pending.popleft()[1].result()
            self._end()
        except BaseException:
            self._stop()
            raise

    def _is_far(self, count: int, size: int) -> bool:
        return count >= _AHEAD * len(self._threads) or size > _AHEAD_BYTES

    def _end(self) -> None:
        for _ in self._threads:
            self._queue.put(None)
        for thread in self._threads:
            thread.join()

    def _stop(self) -> None:
        self._slots.interrupt()
        with contextlib.suppress(queue.Empty):
            while item := self._queue.get_nowait():
                item[1].cancel()
        self._end()

    def _work(self) -> None:
        """Whatever goes wrong reaches the samples of this thread, and so the one who waits for them."""
        failure: BaseException | None = None
        try:
            with self._slots.new() as slot:
                runs = Repeated(slot, lambda: self._slots.stopping)
                while item := self._queue.get():
                    sample, future = item
                    try:
                        future.set_result(self._checker.check(sample, runs))
                    except BaseException as error:
                        future.set_exception(error)
        except BaseException as error:
            failure = error
        while failure and (item := self._queue.get()):
            item[1].set_exception(failure)
