"""Between a worker and its observer: of each new verdict on an answer one event."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.shadow.events.configured import Events
from gateway.shadow.events.evaluation import attributes_of
from gateway.shadow.score.verdict import Verdict
from gateway.shadow.store import Claim
from gateway.shadow.suites.task import Suite
from gateway.shadow.worker import Observer, suite_key


class Announcing:
    """An observer that passes on all it is told. The verdict that counts makes an event; a second one on the same
    answer makes none, nor does a control, which is no model's answer."""

    def __init__(self, observer: Observer, events: Events, suites: Iterable[Suite]) -> None:
        self._observer, self._events = observer, events
        self._suites = {suite_key(suite): suite for suite in suites}

    def scored(self, claim: Claim, verdicts: Sequence[Verdict], *, new: bool) -> None:
        if new and claim.sample.control is None:
            self._events.emit(attributes_of(claim, verdicts[0], self._categories(claim)))
        self._observer.scored(claim, verdicts, new=new)

    def told(self, message: str) -> None:
        self._observer.told(message)

    def _categories(self, claim: Claim) -> tuple[str, ...]:
        """A worker has the suite of what it scores; a task that is not in it is an error, and has none."""
        task = self._suites[claim.sample.suite].tasks.get(claim.sample.task_id)
        return () if task is None else tuple(dict.fromkeys(task.groups))
