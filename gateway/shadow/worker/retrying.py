"""The store as a worker needs it: what fails because it is down is tried again until it is back, and that is told."""

from __future__ import annotations

import contextlib
import queue
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception_type, wait_random_exponential

from gateway.shadow.store import Gap, Store, StoreUnavailable

_FIRST_WAIT, LONGEST_WAIT = 0.25, 30.0
Result = TypeVar("Result")


class Stopping:
    """Whether to end. A signal handler may ask: `put` of a SimpleQueue is reentrant, which `set` of an Event is not."""

    def __init__(self) -> None:
        self.asked = False
        self._bell: queue.SimpleQueue[None] = queue.SimpleQueue()

    def ask(self) -> None:
        self.asked = True
        self._bell.put(None)

    def sleep(self, seconds: float) -> None:
        """Ends early when it is asked for."""
        if not self.asked:
            with contextlib.suppress(queue.Empty):
                self._bell.get(timeout=seconds)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds: waits are drawn from 0 up to a bound that doubles from `first` to `longest`."""

    first: float = _FIRST_WAIT
    longest: float = LONGEST_WAIT


class RetryingStore:
    """Every call is repeated while the store is down; a time without it is said once, and is a gap when it is back.

    Raises StoreUnavailable only when it is down while the worker is to end. `source`: whose gap it is.
    """

    def __init__(
        self,
        store: Store,
        source: str,
        stopping: Stopping,
        tell: Callable[[str], None],
        clock: Callable[[], float],
        backoff: Backoff,
    ) -> None:
        self._store, self._source, self._stopping = store, source, stopping
        self._tell, self._clock, self._backoff = tell, clock, backoff
        self._down_since: float | None = None

    def __call__(self, do: Callable[[Store], Result]) -> Result:
        retrying = Retrying(
            retry=retry_if_exception_type(StoreUnavailable),
            wait=wait_random_exponential(multiplier=self._backoff.first, max=self._backoff.longest),
            stop=lambda _: self._stopping.asked,
            sleep=self._stopping.sleep,
            before_sleep=self._note,
            reraise=True,
        )
        result: Result = retrying(self._attempt, do)
        return result

    def _attempt(self, do: Callable[[Store], Result]) -> Result:
        """The gap first: it may be that what comes next fails again, and then that is another gap."""
        since = self._down_since
        if since is not None:
            why = "the store was not available: nothing could be claimed or recorded"
            self._store.gap(Gap(self._source, since, why, until=self._clock()))
            self._down_since = None
            self._tell("the store is available again; nothing was lost")
        return do(self._store)

    def _note(self, state: RetryCallState) -> None:
        if self._down_since is None:
            self._down_since = self._clock()
            error = state.outcome.exception() if state.outcome else None
            self._tell(f"{error} Trying again, at most {self._backoff.longest:g} s apart, until it is")
