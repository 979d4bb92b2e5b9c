"""The shadow process's metrics, read when they are told to the gateway, which shows them with its own."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from gateway.shadow.live.scoring import Scorers
from gateway.shadow.sending import StoreWriter
from gateway.shadow.store import Counter
from gateway.telemetry import names

_NAMES = {
    Counter.MATCHED: names.SHADOW_MATCHED,
    Counter.UNMATCHED: names.SHADOW_UNMATCHED,
    Counter.TOKENS: names.SHADOW_TOKENS,
    Counter.DROPPED: names.SHADOW_LOST,
}


class ShadowMetrics:
    def __init__(self, writer: StoreWriter, scorers: Scorers | None) -> None:
        self._writer, self._scorers = writer, scorers

    def collect(self) -> Iterable[Metric]:
        counted = tuple(self._writer.counted.items())
        for counter, name in _NAMES.items():
            family = CounterMetricFamily(name.name, name.help, labels=name.labels)
            for (which, model, reason), value in counted:
                if which is counter:
                    labels = {"model": model, "reason": reason}
                    family.add_metric([labels[label] for label in name.labels], value)
            yield family
        verdicts = names.SHADOW_VERDICTS
        family = CounterMetricFamily(verdicts.name, verdicts.help, labels=verdicts.labels)
        for told, value in tuple(self._scorers.verdicts.items()) if self._scorers is not None else ():
            family.add_metric(told, value)
        yield family
        events = names.SHADOW_EVENTS
        family = CounterMetricFamily(events.name, events.help, labels=events.labels)
        for outcome, value in self._scorers.events.items() if self._scorers is not None else ():
            family.add_metric([outcome], value)
        yield family
        yield GaugeMetricFamily(names.SHADOW_HELD.name, names.SHADOW_HELD.help, self._writer.held)
