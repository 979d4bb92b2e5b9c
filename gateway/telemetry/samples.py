"""prometheus_client's metrics from registered names and plain values."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from prometheus_client.core import Metric

from gateway.telemetry.names import Name


class Histogram(Protocol):
    sum: float

    def cumulative(self) -> Sequence[tuple[str, float]]:
        """Bounds, the last one +Inf, and how many values do not exceed each."""


def plain(name: Name, values: Iterable[tuple[Sequence[str], float]]) -> Metric:
    """Of a counter or gauge, by the values of its labels."""
    metric = Metric(name.name, name.help, name.type)
    (sample,) = name.samples
    for labels, value in values:
        metric.add_sample(sample, dict(zip(name.labels, labels, strict=True)), value)
    return metric


def single(name: Name, value: float) -> Metric:
    """Of a counter or gauge without labels."""
    return plain(name, [((), value)])


def histogram(name: Name, values: Iterable[tuple[Sequence[str], Histogram]]) -> Metric:
    metric = Metric(name.name, name.help, name.type)
    bucket, total, count = name.samples
    for labels, found in values:
        own = dict(zip(name.labels, labels, strict=True))
        cumulative = found.cumulative()
        for bound, value in cumulative:
            metric.add_sample(bucket, {**own, "le": bound}, value)
        metric.add_sample(count, own, cumulative[-1][1])
        metric.add_sample(total, own, found.sum)
    return metric
