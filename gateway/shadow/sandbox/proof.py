"""Proof that a level of the sandbox holds on this machine, now: the attacks are tried, and all must be stopped."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from gateway.shadow.sandbox.attacks import ATTACKS, Attack, Second
from gateway.shadow.sandbox.attacks.bait import Bait
from gateway.shadow.sandbox.attacks.verdict import Row, judge
from gateway.shadow.sandbox.job import Job, Outcome
from gateway.shadow.sandbox.level import Level
from gateway.shadow.sandbox.slot import Slot

_LANES = 2


@dataclass(frozen=True, slots=True)
class Proof:
    """``rows``: one an attack, in the order of the list."""

    level: Level
    rows: tuple[Row, ...]
    seconds: float

    @property
    def holds(self) -> bool:
        """Whether every attack was tried and stopped."""
        return bool(self.rows) and all(row.stopped for row in self.rows)


def prove(
    level: Level, python: Path, attacks: Sequence[Attack] = ATTACKS, told: Callable[[Row], None] | None = None
) -> Proof:
    """Try ``attacks`` in two slots. ``told`` hears of each row as it comes, from another thread.

    Takes seconds. Raises what a slot raises that can't be started; a level with an obstacle is not for trying.
    """
    start = perf_counter()
    with ExitStack() as stack:
        bait = stack.enter_context(Bait())
        slots = [stack.enter_context(Slot(level, python)) for _ in range(_LANES)]
        trial = _Trial(bait, slots, told)
        rows = trial.run(attacks)
    return Proof(level, tuple(rows), perf_counter() - start)


class _Trial:
    """A run of attacks: those that need both slots first, then each slot takes from the rest."""

    def __init__(self, bait: Bait, slots: Sequence[Slot], told: Callable[[Row], None] | None) -> None:
        self._bait, self._slots, self._told = bait, slots, told
        self._rows: dict[str, Row] = {}
        self._processes = {slot: slot.processes() for slot in slots}
        self._watch_servers()

    def run(self, attacks: Sequence[Attack]) -> list[Row]:
        numbered = list(enumerate(attacks))
        left = deque(pair for pair in numbered if pair[1].second is not Second.SIBLING)
        with ThreadPoolExecutor(max_workers=len(self._slots)) as lanes:
            for number, attack in numbered:
                if attack.second is Second.SIBLING:
                    self._try_beside(number, attack, lanes)
            for lane in [lanes.submit(self._lane, slot, left) for slot in self._slots]:
                lane.result()
        return [self._rows[attack.name] for attack in attacks]

    def _lane(self, slot: Slot, left: deque[tuple[int, Attack]]) -> None:
        while True:
            try:
                number, attack = left.popleft()
            except IndexError:
                return
            parts = ["attack", *([str(attack.second)] if attack.second else [])]
            mark = self._bait.mark(number)
            outcomes = [self._run(slot, self._job(attack, mark, part)) for part in parts]
            self._judge(attack, mark, outcomes)

    def _try_beside(self, number: int, attack: Attack, lanes: ThreadPoolExecutor) -> None:
        mark = self._bait.mark(number)
        running: list[Future[Outcome]] = [
            lanes.submit(self._run, slot, self._job(attack, mark, part))
            for slot, part in zip(self._slots, ("attack", str(attack.second)), strict=True)
        ]
        self._judge(attack, mark, [each.result() for each in running])

    def _run(self, slot: Slot, job: Job) -> Outcome:
        """A job that runs out of memory may take its server along, which is then no harm: its end says what happened.

        Until it has ended nobody can tell whether its server has to live.
        """
        known = self._processes[slot] or _of_new_server(slot)
        self._bait.busy.update(known)
        outcome = slot.run(job)
        self._processes[slot] = known if slot.processes() else []  # none: the slot has ended its server itself
        self._watch_servers()
        self._bait.busy.difference_update(known)
        return outcome

    def _watch_servers(self) -> None:
        self._bait.servers = [pid for slot in self._slots for pid in self._processes[slot]]

    def _job(self, attack: Attack, mark: str, part: str) -> Job:
        given = self._bait.given(mark, memory=attack.limits.memory, files=attack.limits.files)
        return Job(attack.kind, attack.source(given, part), attack.task(self._bait.expected()), attack.limits)

    def _judge(self, attack: Attack, mark: str, outcomes: Sequence[Outcome]) -> None:
        row = judge(attack, outcomes, self._bait.evidence(mark), self._bait.secrets)
        self._rows[attack.name] = row
        if self._told:
            self._told(row)


def _of_new_server(slot: Slot) -> list[int]:
    """Processes of the server that takes a lost one's place: before a job, some of whose own may end a little later."""
    slot.missing(())
    return slot.processes()
