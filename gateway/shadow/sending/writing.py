"""Writing to the store without waiting for it: one thread, in order, again and again until it is back."""

from __future__ import annotations

import threading
from collections import Counter as Counts
from collections import deque
from collections.abc import Callable, Iterable

from tenacity import Retrying, retry_if_exception_type, stop_when_event_set, wait_exponential
from tenacity.wait import wait_base

from gateway.shadow.store import Counter, Gap, Run, Sample, Store, StoreUnavailable, Total, day_of

DROPPED = "store"
"""The reason under which dropped samples are counted."""

_BACK_OFF = wait_exponential(multiplier=0.1, max=30)
_AFTER_A_FAULT = 1.0  # seconds
_Key = tuple[str, Counter, str, str]


class StoreWriter:
    """`add` and `count` never block and never raise, from any thread. At most `most` samples are held.

    What comes beyond is dropped and counted, and once the store is back it has a gap since then. `source`: a name that
    no other process has, also none before a restart. A thread of its own runs from the beginning until `close`.
    """

    def __init__(
        self,
        store: Store,
        source: str,
        now: Callable[[], float],
        *,
        added: Callable[[Sample, tuple[Run, ...]], object] = lambda *_: None,
        most: int = 1_000,
        wait: wait_base = _BACK_OFF,
    ) -> None:
        """`now`: seconds since 1970. `wait`: between two tries. `added`: is told, in its thread, what is stored."""
        self._store, self._source, self._now, self._added, self._most = store, source, now, added, most
        self._held = deque[tuple[Sample, tuple[Run, ...]]]()
        self._totals: dict[_Key, int] = {}
        self._changed = set[_Key]()
        self._told: dict[tuple[object, ...], Callable[[], object]] = {}
        self._missing_since: float | None = None
        self.counted = Counts[tuple[Counter, str, str]]()
        """Since the start, whatever the day: by counter, model and reason."""
        self._more = threading.Condition()
        self._closing = threading.Event()
        self._retrying = Retrying(
            retry=retry_if_exception_type(StoreUnavailable),
            wait=wait,
            stop=stop_when_event_set(self._closing),
            sleep=self._pause,
            reraise=True,
        )
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def add(self, sample: Sample, *runs: Run) -> bool:
        """Whether it was taken; if not, that is counted."""
        with self._more:
            taken = len(self._held) < self._most and not self._closing.is_set()
            if taken:
                self._held.append((sample, runs))
                self._more.notify()
            else:
                self._lose()
        return taken

    def count(self, counter: Counter, value: int = 1, *, model: str = "", reason: str = "") -> bool:
        """So many more of them today. Whether they were taken: not once it is closed."""
        with self._more:
            if self._closing.is_set():
                return False
            self._add_up(counter, value, model, reason)
            self._more.notify()
        return True

    def totals(self, source: str, totals: Iterable[Total]) -> None:
        """What another process, which has no store, has counted so far; of several from one source the last."""
        told = tuple(totals)
        self._tell(("totals", source), lambda: self._store.count(source, told))

    def gap(self, gap: Gap) -> None:
        self._tell(("gap", gap.source, gap.since), lambda: self._store.gap(gap))

    @property
    def held(self) -> int:
        """Samples that are not written yet: more than a few where the store is slow, or not there."""
        return len(self._held)

    def _tell(self, key: tuple[object, ...], write: Callable[[], object]) -> None:
        """Of the same key only the last is written; of more different ones than `most` none."""
        with self._more:
            if not self._closing.is_set() and (key in self._told or len(self._told) < self._most):
                self._told[key] = write
                self._more.notify()

    def close(self) -> None:
        """Writes what it holds, if the store is there: nothing is tried more than once from now on. Blocks."""
        with self._more:
            self._closing.set()
            self._more.notify()
        self._thread.join()

    def _pause(self, seconds: float) -> None:
        self._closing.wait(seconds)

    def _lose(self) -> None:
        if self._missing_since is None:
            self._missing_since = self._now()
        self._add_up(Counter.DROPPED, 1, "", DROPPED)

    def _add_up(self, counter: Counter, value: int, model: str, reason: str) -> None:
        self.counted[counter, model, reason] += value
        key = (day_of(self._now()), counter, model, reason)
        self._totals[key] = self._totals.get(key, 0) + value
        self._changed.add(key)

    def _run(self) -> None:
        while self._wait():
            try:
                self._write_sample()
                self._write_gap()
                self._write_totals()
                self._write_told()
            except StoreUnavailable:  # only when closing: until then it is tried again
                return
            except Exception:  # a fault of ours costs what was being written, never the thread that writes
                with self._more:
                    self._lose()
                self._pause(_AFTER_A_FAULT)

    def _wait(self) -> bool:
        """Whether there is something to write. False: it is closed, and all is written."""
        with self._more:
            self._more.wait_for(lambda: self._held or self._changed or self._told or self._closing.is_set())
            return bool(self._held or self._changed or self._told or self._missing_since is not None)

    def _write_sample(self) -> None:
        with self._more:
            first = self._held[0] if self._held else None
        if first is None:
            return
        sample, runs = first
        try:
            self._retrying(self._store.add, sample, *runs)
        finally:
            # Held until it is written, so that `most` is all that there ever is.
            with self._more:
                self._held.popleft()
        self._added(sample, runs)

    def _write_gap(self) -> None:
        with self._more:
            since = self._missing_since
        if since is not None:
            why = "more samples came than the store took"
            self._retrying(self._store.gap, Gap(self._source, since, why, self._now()))
            with self._more:
                self._missing_since = None

    def _write_totals(self) -> None:
        with self._more:
            changed, self._changed = self._changed, set()
            totals = [Total(day, what, self._totals[key], *rest) for key in changed for day, what, *rest in [key]]
            today = day_of(self._now())
        if totals:
            self._retrying(self._store.count, self._source, totals)
        with self._more:
            for key in [key for key in self._totals if key[0] < today and key not in self._changed]:
                self._totals_of_the_past(key)

    def _write_told(self) -> None:
        with self._more:
            told, self._told = self._told, {}
        for write in told.values():
            self._retrying(write)

    def _totals_of_the_past(self, key: _Key) -> None:
        """Days that are over take no room. A clock that is set back would begin their totals anew: so keep one day."""
        if len({day for day, *_ in self._totals}) > 2:
            del self._totals[key]
