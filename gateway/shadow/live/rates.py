"""pass@1 of all that is stored, whoever scored it, as metrics: read again and again, at a bounded cost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from hashlib import sha256

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from gateway.shadow.report.report import suite_name, suite_version
from gateway.shadow.report.standing import Standing, standing
from gateway.shadow.report.strata import WHOLE, By, Compared, Cut, Groups
from gateway.shadow.statistics.intervals import Estimate
from gateway.shadow.store import Evidence, StoreUnavailable
from gateway.telemetry import names

EVERY = 30.0  # seconds from one reading to the next, at least
_SHARE = 0.05  # of the time that readings may take: what takes 3 s is read once a minute
MOST_STRATA = 20  # two thousand series with categories and lengths; clients can make more, by their sampling
_LONGEST_LABEL = 120
_GAUGES = (
    *(names.SHADOW_PASS_AT_1, names.SHADOW_BOUND, names.SHADOW_COMPLETIONS, names.SHADOW_TASKS),
    *(names.SHADOW_STRATUM, names.SHADOW_STRATA_LEFT_OUT, names.SHADOW_READ_AT),
)


class Rates:
    """`run` until it is cancelled. While the store is away the figures stay, and their time says how old they are.

    `clock`: seconds since 1970.
    """

    def __init__(self, evidence: Evidence, groups: Groups, clock: Callable[[], float]) -> None:
        self._evidence, self._groups, self._clock = evidence, groups, clock
        self.text = _exposition({}, 0.0)
        """In Prometheus's text format."""

    async def run(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.to_thread(self.read)
            await asyncio.sleep(pause_after(time.monotonic() - began))

    def read(self) -> None:
        """Once."""
        try:
            tallies = self._evidence.tallies()
        except StoreUnavailable:
            return
        self.text = _exposition(standing(tallies, self._groups), self._clock())


def pause_after(seconds: float, every: float = EVERY) -> float:
    """Until the next reading, after one that took so long."""
    return max(every, seconds * (1 / _SHARE - 1))


def _exposition(found: Mapping[Compared, list[Standing]], read_at: float) -> bytes:
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collected(found, read_at))
    return generate_latest(registry)


class _Collected:
    def __init__(self, found: Mapping[Compared, list[Standing]], read_at: float) -> None:
        self._found, self._read_at = found, read_at

    def collect(self) -> Iterable[Metric]:
        families = {name: GaugeMetricFamily(name.name, name.help, labels=name.labels) for name in _GAUGES}
        for of, rows in tuple(self._found.items())[:MOST_STRATA]:
            about = _about(of)
            families[names.SHADOW_STRATUM].add_metric(_values(names.SHADOW_STRATUM, about), 1)
            for row in rows:
                for name, more, value in _samples(row):
                    families[name].add_metric(_values(name, about | _part(row.cut) | more), value)
        families[names.SHADOW_STRATA_LEFT_OUT].add_metric((), max(0, len(self._found) - MOST_STRATA))
        families[names.SHADOW_READ_AT].add_metric((), self._read_at)
        return families.values()


def _part(cut: Cut) -> dict[str, str]:
    """A category at all lengths, or a length of all categories."""
    if cut.by is By.LENGTH:
        return {"category": WHOLE.name, "length": cut.name}
    return {"category": cut.name, "length": WHOLE.name}


def _samples(row: Standing) -> Iterator[tuple[names.Name, dict[str, str], float]]:
    yield names.SHADOW_PASS_AT_1, {}, row.suite.value
    yield names.SHADOW_COMPLETIONS, {}, row.suite.completions
    yield names.SHADOW_TASKS, {}, row.suite.tasks
    for which, estimate in (("this_suite", row.suite), ("tasks_like_these", row.population)):
        for bound, value in _bounds(estimate):
            yield names.SHADOW_BOUND, {"interval": which, "bound": bound}, value


def _bounds(estimate: Estimate) -> tuple[tuple[str, float], ...]:
    interval = estimate.interval
    return (("lower", interval.low), ("upper", interval.high)) if interval is not None else ()


def _about(of: Compared) -> dict[str, str]:
    """All labels but those of parts and bounds. `stratum`: another one for whatever is not to be pooled."""
    stratum, (served, *_) = of.stratum, of.served
    return {
        "family": served.family,
        "model": served.model,
        "suite": suite_name(stratum.suite),
        "evidence": stratum.kind.value,
        "form": stratum.form,
        "stratum": sha256(repr((asdict(stratum), asdict(served))).encode()).hexdigest()[:8],
        "suite_version": suite_version(stratum.suite),
        "mirrored": stratum.sample_kind.value if stratum.sample_kind is not stratum.kind else "",
        "sampling": stratum.sampling,
        "inflated": str(stratum.inflated).lower(),
        "revision": served.revision,
        "engine": served.engine,
        "quantisation": served.quantisation,
        "template": served.template,
        "pool_sampling": served.sampling,
    }


def _values(name: names.Name, values: Mapping[str, str]) -> list[str]:
    return [values[label][:_LONGEST_LABEL] for label in name.labels]
