"""The shadow process's metrics, read when they are told to the gateway, which shows them with its own."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.core import Metric

from gateway.shadow.live.scoring import Scorers
from gateway.shadow.sending import StoreWriter
from gateway.shadow.store import Counter
from gateway.telemetry import names
from gateway.telemetry.samples import plain, single

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
            of_it = (
                ({"model": model, "reason": why}, value) for (which, model, why), value in counted if which is counter
            )
            yield plain(name, (([labels[label] for label in name.labels], value) for labels, value in of_it))
        scorers = self._scorers
        yield plain(names.SHADOW_VERDICTS, tuple(scorers.verdicts.items()) if scorers is not None else ())
        events = scorers.events if scorers is not None else {}
        yield plain(names.SHADOW_EVENTS, (((outcome,), value) for outcome, value in events.items()))
        yield single(names.SHADOW_HELD, self._writer.held)
