"""Scores what waits in the store, in a thread of the shadow process: what `yardstick shadow worker` does by itself."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

from gateway.config_shadow import ShadowSettings
from gateway.shadow.events import Announcing, Events
from gateway.shadow.sandbox.interpreter import SandboxError
from gateway.shadow.sandbox.job import Limits
from gateway.shadow.sandbox.level import Level
from gateway.shadow.sandbox.proof import Proof, prove
from gateway.shadow.sandbox.slot import Slot
from gateway.shadow.score.check import Checker
from gateway.shadow.score.proven import level_that_holds
from gateway.shadow.score.slots import CannotScore, Where, where
from gateway.shadow.score.verdict import Verdict
from gateway.shadow.store import Claim, Gap, Store, StoreUnavailable
from gateway.shadow.suites.task import Suite, SuiteKind
from gateway.shadow.worker import Scoring, Settings, Worker
from gateway.shadow.worker.queue import RunQueue

_AGAIN = 300.0
_NOTHING = "nothing could be scored: no sandbox holds, or libraries are missing"
_SCORED_TWICE = 0.05  # of the answers, so that the gate knows whether verdicts flip


class Scorers:
    """`run` until it is cancelled. Where no sandbox holds, answers wait in the store, and the report has a gap.

    `source`: of gaps. `tell` gets lines for people, and may be called in another thread. `events`: where new verdicts
    are told as well; they are closed at the end.
    """

    def __init__(
        self,
        store: Store,
        suites: Sequence[Suite],
        settings: ShadowSettings,
        source: str,
        tell: Callable[[str], None],
        events: Events | None,
        queue: RunQueue | None = None,
        *,
        again: float = _AGAIN,
    ) -> None:
        """`again`: seconds until it is tried again where nothing can be scored."""
        self._queue, self._again = queue, again
        self._store, self._suites, self._settings = store, suites, settings
        self._source, self._tell, self._events = source, tell, events
        self._worker: Worker | None = None
        self._stopping = False
        self._down_since: float | None = None
        self.verdicts: Counter[tuple[str, str, str]] = Counter()
        """New ones since the start, by model, verdict and level."""

    async def run(self) -> None:
        try:
            await self._keep_working()
        finally:
            with contextlib.suppress(StoreUnavailable):
                await asyncio.to_thread(self._works_again)  # as far as this process can say
            if self._events is not None:
                await asyncio.to_thread(self._events.close)

    async def _keep_working(self) -> None:
        while True:
            problem = await self._work()
            self._tell(f"nothing is scored: {problem}. Trying again in {self._again / 60:g} minutes")
            self._down_since = self._down_since or _now()
            with contextlib.suppress(StoreUnavailable):
                await asyncio.to_thread(self._store.gap, Gap(self._source, self._down_since, _NOTHING))
            await asyncio.sleep(self._again)

    def _works_again(self) -> None:
        """The gap ends only here: it lasts for as many attempts as fail. Raises StoreUnavailable."""
        if self._down_since is not None:
            self._store.gap(Gap(self._source, self._down_since, _NOTHING, until=_now()))
            self._down_since = None

    async def _work(self) -> str:
        """Until it breaks: why."""
        job = asyncio.get_running_loop().run_in_executor(None, self._score)
        try:
            return await asyncio.shield(job)
        except asyncio.CancelledError:
            self._stopping = True
            if self._worker is not None:
                self._worker.stop()
            await job
            raise

    def _score(self) -> str:
        try:
            folder = self._settings.environment
            place = where(Path(folder) if folder else None, _neediest(self._suites))
            level = level_that_holds(None, place.python, self._prove)
            self._worker = self._made(place, level)
            if self._stopping:
                return "it was told to end"
            self._works_again()
            self._tell(f"scoring at level {level} with {place.name}, {self._settings.scorers} at once")
            self._worker.run()
        except (CannotScore, SandboxError, StoreUnavailable) as error:
            return str(error)
        return "it was told to end"

    def _made(self, place: Where, level: Level) -> Worker:
        scoring = Scoring(self._suites, lambda: Checker(level, Limits()), again=_SCORED_TWICE)
        settings = Settings(self._source, place.name, slots=self._settings.scorers)
        told = self if self._events is None else Announcing(self, self._events, self._suites)

        def new_slot() -> Slot:
            return Slot(level, place.python, preload=place.preload, gives_way=True)

        return Worker(self._store, scoring, new_slot, settings, told, queue=self._queue)

    @property
    def events(self) -> Mapping[str, int]:
        """Of new verdicts, by what became of them; none where nobody wants them."""
        return self._events.counted if self._events is not None else {}

    def _prove(self, level: Level, python: Path) -> Proof:
        self._tell(f"trying attacks on the sandbox at level {level} (once, until something here changes)")
        return prove(level, python)

    # -- what the worker tells, in its thread -------------------------------------------------------------------------

    def scored(self, claim: Claim, verdicts: Sequence[Verdict], *, new: bool) -> None:
        if new and claim.sample.control is None:
            first = verdicts[0]
            self.verdicts[claim.run.served.model, first.says.value, first.level] += 1

    def told(self, message: str) -> None:
        self._tell(message)


def _neediest(suites: Sequence[Suite]) -> SuiteKind:
    """Only `five` may do without libraries."""
    return next((suite.kind for suite in suites if suite.kind is not SuiteKind.FIVE), SuiteKind.FIVE)


def _now() -> float:
    return datetime.now(UTC).timestamp()
