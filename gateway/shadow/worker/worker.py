"""The loop: claim, score, record; renew what takes long, and give back what is not done at the end."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

from gateway.shadow.score.startable import StartableSlot
from gateway.shadow.score.verdict import Verdict
from gateway.shadow.store import Claim, Score, Store, StoreUnavailable
from gateway.shadow.worker.pause import Pause, because_of_control, because_of_sandbox
from gateway.shadow.worker.queue import LONGEST_SWEEP, OFFER_AFTER, OFFER_EVERY, RunQueue
from gateway.shadow.worker.retrying import Backoff, RetryingStore, Stopping
from gateway.shadow.worker.scoring import SandboxDown, Scoring, fails, holds
from gateway.shadow.worker.threads import Finished, SlotThreads

_RENEWALS = 3  # in the time of a lease


@dataclass(frozen=True, slots=True)
class Settings:
    """`name`: no other worker's, also none before a restart. `environment`: what scores, as `Score` has it. Seconds.

    `once`: end when nothing waits. `lease`: what a killed worker had is another's after that. `poll`: between two looks
    for runs where none waited. A control that failed is tried again after `first_try`, then half as often each time.
    `offer_every`: between two looks for runs that wait and are older than `offer_after`, which are put into the queue.
    """

    name: str
    environment: str
    slots: int = 1
    once: bool = False
    lease: float = 120.0
    poll: float = 1.0
    first_try: float = 5.0
    longest_try: float = 300.0
    expire_every: float = 3_600.0
    offer_every: float = OFFER_EVERY
    offer_after: float = OFFER_AFTER
    backoff: Backoff = field(default_factory=Backoff)


class ScoringBroken(Exception):
    """A control came out wrong, or the sandbox is down, and a worker that is to end when nothing waits can't wait."""


class Observer(Protocol):
    """Is told in the thread of `Worker.run`."""

    def scored(self, claim: Claim, verdicts: Sequence[Verdict], *, new: bool) -> None:
        """Recorded. Not `new`: someone had recorded it before, and that counts."""

    def told(self, message: str) -> None:
        """Something that whoever runs the worker should know; no answer and no prompt is in it."""


class Worker:
    """Scores runs of the suites it has, until it is stopped or, once, until none waits. `run` is to be called once.

    With a `queue`, which has to be up and kept up by who gives it, runs are those that it is told of, and the store is
    looked through only while the queue is away; `once` it always is, and the queue is not used.
    """

    def __init__(
        self,
        store: Store,
        scoring: Scoring,
        new_slot: Callable[[], StartableSlot],
        settings: Settings,
        observer: Observer,
        *,
        queue: RunQueue | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._queue = None if settings.once else queue
        self._scoring, self._settings, self._observer = scoring, settings, observer
        self._clock = clock or _now
        self._source = f"worker {settings.name}"
        self._stopping = Stopping()
        self._store = RetryingStore(store, self._source, self._stopping, observer.told, self._clock, settings.backoff)
        self._threads = SlotThreads(new_slot, scoring.verdicts, slots=settings.slots)
        self._held: dict[str, tuple[Claim, float]] = {}  # by run, and when its lease began
        self._pause: Pause | None = None
        self._none_waits = False
        self._next_look = self._next_expiry = self._next_offer = time.monotonic()

    def stop(self) -> None:
        """From any thread, and from signal handlers: `run` records what is done, gives back the rest, and returns."""
        self._stopping.ask()
        self._threads.wake()

    def run(self) -> None:
        """Raises SandboxError if a slot can't start, what broke on a run, and ScoringBroken."""
        if self._queue is not None:
            self._queue.listen(self._scoring.suites, self._threads.wake)
        with self._threads:
            try:
                while not self._ends():
                    self._expire()
                    self._offer()
                    self._claim()
                    self._settle(self._threads.take(min(self._settings.poll, self._settings.lease / _RENEWALS / 2)))
                    self._renew()
                self._settle_the_rest()
            except StoreUnavailable as error:  # only when it is down while this is to end
                self._observer.told(f"{error} What was not recorded is scored again: nothing is lost")
            finally:
                self._stopping.ask()
                self._leave()

    def _ends(self) -> bool:
        if self._settings.once and self._pause is not None:
            raise ScoringBroken(self._pause.why)
        return self._stopping.asked or (self._settings.once and self._none_waits and not self._held)

    def _claim(self) -> None:
        now = time.monotonic()
        if self._pause is not None:
            if self._threads.free and self._pause.due(now):
                self._pause.next_try = None
                self._threads.give(self._pause.tried)
            return
        if self._stopping.asked or not self._threads.free:
            return
        if self._queue is not None and self._queue.up:
            self._claim_from(self._queue)
        elif now >= self._next_look:
            limit = self._threads.free
            found = self._claimed(limit)
            self._none_waits = not found
            if found < limit:
                self._next_look = now + self._settings.poll

    def _claim_from(self, queue: RunQueue) -> None:
        """What it has, until there is nothing more or no slot is free."""
        while self._threads.free and (told := queue.take(self._threads.free)):
            for run_id in told[self._threads.free :]:
                queue.give_back(run_id)
            told = told[: self._threads.free]
            self._claimed(len(told), told)
            for run_id in told:
                if run_id not in self._held:  # another's or scored; should its worker be lost, it is offered again
                    queue.done(run_id)

    def _take_no_more(self) -> None:
        if self._queue is not None:
            for run_id in self._queue.take(0):
                self._queue.give_back(run_id)

    def _claimed(self, limit: int, ids: Sequence[str] | None = None) -> int:
        """How many are claimed, and given to slots."""
        now, lease, suites = time.monotonic(), self._settings.lease, self._scoring.suites
        claims = self._store(
            lambda store: store.claim(self._settings.name, seconds=lease, limit=limit, suites=suites, ids=ids)
        )
        for claim in claims:
            self._held[claim.run.id] = claim, now
            self._threads.give(claim)
        return len(claims)

    def _settle(self, finished: Finished | None) -> None:
        if finished is None or finished.claim is None:
            return
        claim, verdicts = finished.claim, finished.verdicts
        self._next_look = min(self._next_look, time.monotonic())
        down = finished.failure if isinstance(finished.failure, SandboxDown) else None
        if finished.failure is not None and down is None:
            # Its lease is left to run out: it may be this run that ends workers, and five such make it an error.
            self._held.pop(claim.run.id, None)
            if self._queue is not None:
                self._queue.done(claim.run.id)
            raise finished.failure
        if self._pause is not None and claim is self._pause.tried:
            self._tried(self._pause, verdicts)
        elif self._pause is not None or down is not None:
            self._give_back(claim)  # scored while scoring was broken, as far as anyone knows
        else:
            self._record(claim, verdicts)
        if self._pause is None and down is not None:
            self._begin_pause(claim, because_of_sandbox(str(down)))

    def _record(self, claim: Claim, verdicts: Sequence[Verdict]) -> None:
        at = self._clock()
        scores = [self._score(claim, number, verdict, at) for number, verdict in enumerate(verdicts)]
        new = self._store(lambda store: store.record(*scores))
        self._held.pop(claim.run.id, None)
        if self._queue is not None:
            self._queue.done(claim.run.id)
        # All or none, but for who scores again what another scored once: then the second verdict alone is new.
        self._observer.scored(claim, verdicts, new=new == len(scores))
        if any(fails(claim.sample, verdict) for verdict in verdicts):
            self._begin_pause(claim, because_of_control(claim))

    def _begin_pause(self, claim: Claim, why: str) -> None:
        first, longest = self._settings.first_try, self._settings.longest_try
        pause = self._pause = Pause(claim, why, self._clock(), time.monotonic() + first, first, longest)
        self._observer.told(f"{why}. Nothing is claimed until it comes out right; it is tried again")
        self._take_no_more()
        self._store(lambda store: store.gap(pause.gap(self._source)))

    def _tried(self, pause: Pause, verdicts: Sequence[Verdict]) -> None:
        """No verdicts: the sandbox is down. What is no control only has to be run."""
        sample = pause.tried.sample
        right = sample.control is None or all(holds(sample, verdict) for verdict in verdicts)
        if verdicts and right:
            self._end_of(pause)
            self._scoring.forget()
            self._observer.told("it comes out right again: scoring goes on")
        else:
            pause.tried_in_vain(time.monotonic())

    def _end_of(self, pause: Pause) -> None:
        until = self._clock()
        self._store(lambda store: store.gap(pause.gap(self._source, until)))
        self._pause = None

    def _renew(self) -> None:
        now = time.monotonic()
        for claim, since in list(self._held.values()):
            if now - since >= self._settings.lease / _RENEWALS:
                self._held[claim.run.id] = claim, now
                # If it was lost, it is scored all the same: the first verdict counts, whoever's it is.
                self._store(partial(Store.renew, claim=claim, seconds=self._settings.lease))

    def _expire(self) -> None:
        if time.monotonic() >= self._next_expiry:
            self._next_expiry = time.monotonic() + self._settings.expire_every
            self._store(Store.expire)

    def _offer(self) -> None:
        """To the queue what waits in the store and should be there; at once when it is back, as it may be empty."""
        now = time.monotonic()
        if self._queue is None or not self._queue.up:
            self._next_offer = now
        elif now >= self._next_offer:
            self._next_offer = now + self._settings.offer_every
            suites, older = self._scoring.suites, self._settings.offer_after
            self._queue.offer(self._store(lambda store: store.unclaimed(suites, older=older, limit=LONGEST_SWEEP)))

    def _settle_the_rest(self) -> None:
        """What was done before this was to end."""
        for finished in self._threads.take_all():
            self._settle(finished)

    def _leave(self) -> None:
        """Each once: what can't be given back now is free when its lease ends."""
        self._take_no_more()
        try:
            for claim, _ in list(self._held.values()):
                self._give_back(claim)
            if self._pause is not None:
                self._end_of(self._pause)
        except StoreUnavailable:
            left = len(self._held)
            if self._queue is not None:
                for run_id in self._held:
                    self._queue.done(run_id)
            self._observer.told(
                f"{left:,} could not be given back: others have them in at most {self._settings.lease:g} s"
            )

    def _give_back(self, claim: Claim) -> None:
        self._store(lambda store: store.give_back(claim))
        self._held.pop(claim.run.id, None)
        if self._queue is not None:
            self._queue.give_back(claim.run.id)

    def _score(self, claim: Claim, number: int, verdict: Verdict, at: float) -> Score:
        return Score(
            claim.run.id,
            verdict.says,
            verdict.level,
            verdict.seconds,
            verdict.program,
            self._settings.environment,
            at,
            number,
        )


def _now() -> float:
    return datetime.now(UTC).timestamp()
