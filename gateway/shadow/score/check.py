"""The rules: which runs a sample gets, and which of them decides.

Tests run in a process of their own ("separate"), where a pass can't be forged, if the task's canonical solution passes
there; beside the candidate ("in-process") if it doesn't, as where a value can't cross between the processes. So a task
has one way for all its samples; only one that answers with values of another kind gets a second chance in-process.
Otherwise a failure stands, for all that a candidate can do beside its tests is to forge a pass.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection
from dataclasses import replace
from typing import Protocol

from gateway.shadow.sandbox.job import Job, Kind, Limits, Outcome
from gateway.shadow.sandbox.level import Level
from gateway.shadow.score.once import Once
from gateway.shadow.score.reading import Reading, read
from gateway.shadow.score.samples import Sample
from gateway.shadow.score.screen import Plan, plan
from gateway.shadow.score.verdict import NOT_RUN, Says, Verdict
from gateway.shadow.score.ways import Ways
from gateway.shadow.suites.domains import DOMAIN_OF
from gateway.shadow.suites.task import Task

SETUP = "yardstick shadow setup --full"
_MOST_SEARCHED = 1_000_000
_PATIENCE = 8  # times the usual limits, for tasks whose own solution takes longer than these


class Runs(Protocol):
    """What a slot does."""

    def run(self, job: Job) -> Outcome: ...
    def missing(self, modules: Collection[str]) -> frozenset[str]: ...


class Checker:
    """Rules, and what has been learnt of each task; shared by all threads. `ways`: what was learnt before."""

    def __init__(self, level: Level, limits: Limits, ways: Ways | None = None) -> None:
        self._level, self._limits = level, limits
        self._ways = ways or Ways()
        self._patient = replace(limits, cpu=_PATIENCE * limits.cpu, wall=_PATIENCE * limits.wall)
        self._plans: Once[str, Plan] = Once()
        self._canonical: Once[tuple[str, Kind], Reading] = Once()
        self._missing: Once[str, bool] = Once()

    def check(self, sample: Sample, slot: Runs) -> Verdict:
        task, program = sample.task, sample.program()
        digest = hashlib.sha256(program.encode(errors="surrogatepass")).hexdigest()[:16]

        def verdict(says: Says, kind: Kind | None, seconds: float, reason: str) -> Verdict:
            level = f"{self._level}/{kind}" if kind else NOT_RUN
            return Verdict(task.task_id, says, level, seconds, reason, digest)

        made = self._plans.get(task.task_id, lambda: plan(task))
        if lacking := self._lacking(made.modules, slot):
            return verdict(Says.ERROR, None, 0.0, f"the task needs {_listed(lacking)}, not installed: {SETUP}")
        if not _is_text(program):
            return verdict(Says.FAIL, None, 0.0, "has half of a character (a lone surrogate): no Python source can")
        kind, reading = self._decided(task, made, program, slot)
        if reading.says is Says.TIMEOUT and self._of_canonical(kind, task, made, slot).says is Says.TIMEOUT:
            reading = self._run(kind, task, made, program, slot, self._patient)
        if not reading.passed and (excuse := self._excuse(task, made, sample.text, kind, reading, slot)):
            return verdict(Says.ERROR, kind, reading.seconds, excuse)
        return verdict(reading.says, kind, reading.seconds, reading.reason)

    def _decided(self, task: Task, made: Plan, program: str, slot: Runs) -> tuple[Kind, Reading]:
        """The run that decides."""
        way = self._ways.of(task) if made.separable else Kind.IN_PROCESS
        if way is None:
            own = self._of_canonical(Kind.SEPARATE, task, made, slot)
            if own.says is Says.ERROR:
                return Kind.SEPARATE, own
            way = Kind.SEPARATE if own.passed else Kind.IN_PROCESS
            if own.passed or own.unplain:
                self._ways.learn(task, way)
        if way is Kind.SEPARATE and not (reading := self._run(way, task, made, program, slot)).unplain:
            return way, reading
        return Kind.IN_PROCESS, self._run(Kind.IN_PROCESS, task, made, program, slot)

    def _passes(self, kind: Kind, task: Task, made: Plan, slot: Runs) -> bool:
        return self._of_canonical(kind, task, made, slot).passed

    def _of_canonical(self, kind: Kind, task: Task, made: Plan, slot: Runs) -> Reading:
        return self._run(kind, task, made, task.program(task.canonical_solution), slot)

    def _run(
        self, kind: Kind, task: Task, made: Plan, program: str, slot: Runs, limits: Limits | None = None
    ) -> Reading:
        """Within the usual limits the canonical solution is run once, and a sample that is it shares that run."""
        if limits is None and program == task.program(task.canonical_solution):

            def work() -> Reading:
                return self._run(kind, task, made, program, slot, self._limits)

            return self._canonical.get((task.task_id, kind), work, keep=lambda reading: reading.says is not Says.ERROR)
        limits = limits or self._limits
        given = {
            "prelude": task.prelude,
            "tests": task.test,
            "entry_point": task.entry_point,
            "names": list(made.names),
        }
        return read(slot.run(Job(kind, program, given, limits)), made.names, limits)

    def _excuse(self, task: Task, made: Plan, text: str, kind: Kind, reading: Reading, slot: Runs) -> str:
        """Why a failure is not the sample's: its library is one that the benchmark allows, or the level can't run it.

        A sample's own word for a missing library is not enough, or failures could be turned into errors.
        """
        told = [name for name in reading.missing if name in DOMAIN_OF and _imports(text, name)]
        if lacking := self._lacking(told, slot):
            return f"the solution needs {_listed(lacking)}, which is not installed: {SETUP}"
        unsure = self._level is Level.LANDLOCK and made.outside and kind is Kind.IN_PROCESS
        if unsure and reading.says is not Says.ERROR and not self._passes(kind, task, made, slot):
            return "unsupported at level landlock: it needs a network or a fixed path, and its own solution fails too"
        return ""

    def _lacking(self, modules: Collection[str], slot: Runs) -> list[str]:
        def ask(name: str) -> Callable[[], bool]:
            return lambda: bool(slot.missing([name]))

        return sorted(name for name in modules if self._missing.get(name, ask(name)))


def _imports(text: str, module: str) -> bool:
    """By a look at the words, and bounded: hostile source is not parsed in this process."""
    words = rf"\b(?:from[ \t]{{1,9}}|import\b[^\n;]{{0,200}}\b){re.escape(module)}\b"
    return re.search(words, text[:_MOST_SEARCHED]) is not None


def _is_text(program: str) -> bool:
    try:
        program.encode()
    except UnicodeEncodeError:
        return False
    return True


def _listed(names: list[str]) -> str:
    return " and ".join(names)
