"""What is registered of a metric."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

LENGTH_BOUNDS = (1024, 4096, 8192, 16384, 32768, 65536, 131072)
LENGTHS = (*map(str, LENGTH_BOUNDS), "more")
"""Values of the label `length`: the prompt has at most so many tokens."""

Labels = tuple[str, ...]
Values = Mapping[str, tuple[str, ...]]
Workers = Literal["sum", "max"]
_OPEN: Values = {}


@dataclass(frozen=True, slots=True)
class Name:
    """One metric. A counter's samples are called `name` and `_total`, a histogram's `_bucket`, `_sum` and `_count`.

    ``unit``: of its values, or what is counted. ``values``: of the labels that have a fixed set of them; those of the
    others come from the configuration (models, endpoints) or from our own code. From clients come only the sampling
    parameters of `yardstick_shadow_stratum_info`, whose number and length are bounded. ``workers``: what several
    workers' values come to; `max` is for what each of them sees for itself.
    """

    name: str
    type: Literal["counter", "gauge", "histogram"]
    unit: str
    help: str
    labels: Labels
    values: Values = field(hash=False)
    buckets: tuple[float, ...]
    workers: Workers

    @property
    def samples(self) -> tuple[str, ...]:
        """What queries call it."""
        endings = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}[self.type]
        return tuple(self.name + ending for ending in endings)


def counter(
    name: str, unit: str, help: str, labels: Labels = (), values: Values = _OPEN, workers: Workers = "sum"
) -> Name:
    return Name(name, "counter", unit, help, labels, values, (), workers)


def gauge(
    name: str, unit: str, help: str, labels: Labels = (), values: Values = _OPEN, workers: Workers = "sum"
) -> Name:
    return Name(name, "gauge", unit, help, labels, values, (), workers)


def histogram(name: str, unit: str, help: str, buckets: tuple[float, ...], labels: Labels) -> Name:
    values = {"length": LENGTHS} if "length" in labels else _OPEN
    return Name(name, "histogram", unit, help, labels, values, buckets, "sum")
