"""A report: rows, and what they don't contain."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from gateway.shadow.gate.draws import Kind
from gateway.shadow.report.pairs import PairRow
from gateway.shadow.report.rates import RunRow
from gateway.shadow.report.strata import Compared
from gateway.shadow.report.traffic import TrafficWeighted
from gateway.shadow.store import Gap, Matching, Total


@dataclass(frozen=True, slots=True)
class Asked:
    """What a report is to be about; times in seconds since 1970. `suite`: as stored, or without what follows its colon.

    `kind` mirror: mirrors' runs, and the pairs that have one. `model`: its runs, and the pairs that it is in.
    """

    since: float | None = None
    until: float | None = None
    suite: str | None = None
    kind: Kind | None = None
    model: str | None = None

    def takes_suite(self, suite: str) -> bool:
        return self.suite in (None, suite, suite_name(suite))


@dataclass(frozen=True, slots=True)
class Counted:
    """What processes counted, of whole days (UTC), whatever was asked for but the time; gaps of that time."""

    totals: tuple[Total, ...]
    matching: Matching
    gaps: tuple[Gap, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """`samples` without controls. `single`: those that only one family was asked. `open_runs` have no outcome yet.

    `controls`: by whether they are canonical and whether they passed (None: no verdict). `ungrouped`: suites of which
    tasks came whose categories or domains nobody gave. `first_at` and `last_at`: of the samples; None without any.
    """

    asked: Asked
    samples: int
    single: int
    open_runs: int
    first_at: float | None
    last_at: float | None
    runs: tuple[RunRow, ...]
    pairs: tuple[PairRow, ...]
    traffic: tuple[tuple[Compared, TrafficWeighted], ...]
    controls: Counter[tuple[bool, bool | None]]
    reruns: int
    flips: int
    ungrouped: tuple[str, ...]
    counted: Counted


def suite_name(suite: str) -> str:
    """Without the digest that tells two versions of a suite apart."""
    return suite.partition(":")[0]


def suite_version(suite: str) -> str:
    """The digest alone."""
    return suite.partition(":")[2]
