"""What an outcome means: whether every test of the trusted list passed, and if not, why not."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.shadow.sandbox.job import Limits, Outcome
from gateway.shadow.score.verdict import Says

LONGEST_REASON = 500
_MISSING = re.compile(r"No module named '([A-Za-z_]\w*)")
_MOST_MISSING = 8


@dataclass(frozen=True, slots=True)
class Reading:
    """`missing`: top-level modules that the run says it lacked. Like `reason` it is the sample's word, so check it."""

    says: Says
    seconds: float
    reason: str = ""
    unplain: bool = False
    missing: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        return self.says is Says.PASS


def read(outcome: Outcome, names: Sequence[str], limits: Limits) -> Reading:
    """A pass is every name reported once and passed, then the end, and nothing else: no report is no pass."""
    if outcome.end == "lost":
        return Reading(Says.ERROR, outcome.wall, "the sandbox's server died twice while it ran this; run it again")
    if outcome.end in ("cpu", "wall"):
        return Reading(Says.TIMEOUT, outcome.wall, _limit(outcome.end, limits), unplain=_unplain(outcome))
    if outcome.end == "exited" and not outcome.garbled and _all_passed(outcome.lines, names):
        return Reading(Says.PASS, outcome.wall)
    reason = _limit(outcome.end, limits) or _why(outcome)
    return Reading(Says.FAIL, outcome.wall, reason, _unplain(outcome), _missing(outcome.lines))


def _all_passed(lines: Sequence[Mapping[str, Any]], names: Sequence[str]) -> bool:
    if not names or len(lines) != len(names) + 1 or lines[-1] != {"end": True}:
        return False
    reported = [line.get("test") for line in lines[:-1] if line.get("outcome") == "pass"]
    return all(isinstance(name, str) for name in reported) and sorted(map(str, reported)) == sorted(names)


def _limit(end: str, limits: Limits) -> str:
    return {
        "cpu": f"used more than {limits.cpu:g} s of CPU time",
        "wall": f"took more than {limits.wall:g} s",
        "memory": f"used more than {limits.memory / (1 << 30):g} GiB of memory",
        "files": f"wrote more than {limits.files >> 20} MiB of files",
    }.get(end, "")


def _why(outcome: Outcome) -> str:
    for line in outcome.lines:
        if "load" in line or ("test" in line and line.get("outcome") != "pass"):
            where = f"{line.get('test') or line.get('load')}"
            return f"{where}: {line.get('reason') or line.get('outcome')}"[:LONGEST_REASON]
    if outcome.garbled:
        return "reported what no tests report"
    return "ended before all of its tests had reported"


def _unplain(outcome: Outcome) -> bool:
    return any("unplain" in line for line in outcome.lines)


def _missing(lines: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    found = dict[str, None]()
    for line in lines:
        if isinstance(named := line.get("missing"), str):
            found[named.partition(".")[0]] = None
        found.update(dict.fromkeys(_MISSING.findall(str(line.get("reason", "")))))
    return tuple(found)[:_MOST_MISSING]
