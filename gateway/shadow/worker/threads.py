"""Threads, each with a slot: claims in, verdicts out, in whatever order they are done."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from gateway.shadow.score.repeated import Repeated
from gateway.shadow.score.startable import Slots, StartableSlot
from gateway.shadow.score.verdict import Verdict
from gateway.shadow.store import Claim


@dataclass(frozen=True, slots=True)
class Finished:
    """A claim's verdicts, or what went wrong on it; without a claim: a slot has started, or why it could not."""

    claim: Claim | None = None
    verdicts: tuple[Verdict, ...] = ()
    failure: BaseException | None = None


class SlotThreads:
    """Entered, it starts all slots at once, each in the thread that will use it (its processes end with that thread).

    Left, it interrupts what runs and ends the threads. All but `wake` is for one thread, which gives and takes.
    """

    def __init__(
        self,
        new_slot: Callable[[], StartableSlot],
        verdicts: Callable[[Claim, Repeated], tuple[Verdict, ...]],
        *,
        slots: int,
    ) -> None:
        self._slots, self._verdicts = Slots(new_slot), verdicts
        # SimpleQueue: its `put` may be called by a signal handler, whatever this thread is doing.
        self._given: queue.SimpleQueue[Claim | None] = queue.SimpleQueue()
        self._finished: queue.SimpleQueue[Finished | None] = queue.SimpleQueue()
        self._threads = [threading.Thread(target=self._work, name=f"worker slot {n}") for n in range(slots)]
        self.free = 0
        """Slots that have started and are given nothing yet."""

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._slots.interrupt()
        with contextlib.suppress(queue.Empty):
            while True:
                self._given.get_nowait()
        for _ in self._threads:
            self._given.put(None)
        for thread in self._threads:
            thread.join()

    def give(self, claim: Claim) -> None:
        """To a free slot."""
        self.free -= 1
        self._given.put(claim)

    def take(self, timeout: float) -> Finished | None:
        """What is done next; None if nothing is by then, or `wake` was called, or a slot has started.

        Raises what a slot could not start for.
        """
        try:
            finished = self._finished.get(timeout=timeout)
        except queue.Empty:
            return None
        if finished is None:
            return None
        if finished.claim is None and finished.failure is not None:
            raise finished.failure
        self.free += 1
        return finished if finished.claim is not None else None

    def take_all(self) -> Iterator[Finished]:
        """What is done by now."""
        while not self._finished.empty():
            if (finished := self.take(0)) is not None:
                yield finished

    def wake(self) -> None:
        """Ends `take`. From any thread, and from signal handlers."""
        self._finished.put(None)

    def _work(self) -> None:
        try:
            with self._slots.new() as slot:
                runs = Repeated(slot, lambda: self._slots.stopping)
                self._finished.put(Finished())
                while (claim := self._given.get()) is not None:
                    self._finished.put(self._done(claim, runs))
        except BaseException as error:
            self._finished.put(Finished(failure=error))

    def _done(self, claim: Claim, runs: Repeated) -> Finished:
        try:
            return Finished(claim, self._verdicts(claim, runs))
        except BaseException as error:
            return Finished(claim, failure=error)
