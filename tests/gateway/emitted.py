"""What a gateway emits, beside what is registered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from gateway.telemetry.names import Name

Families = dict[str, Metric]


def emitted(text: bytes) -> Families:
    """Of a scrape: our own metrics."""
    families = text_string_to_metric_families(text.decode())
    return {family.name: family for family in families if family.name.startswith("yardstick_")}


def assert_as_registered(found: Families, registered: Iterable[Name]) -> None:
    """Both ways: all that is emitted is registered, and all that is registered emitted, with samples."""
    names = {name.name: name for name in registered}
    assert set(found) == set(names)
    for name in names.values():
        family = found[name.name]
        assert (family.type, family.documentation) == (name.type, name.help), name.name
        assert family.samples, f"{name.name} has no samples"
        own = {"le"} if name.type == "histogram" else set()
        for sample in family.samples:
            assert sample.name in name.samples
            assert set(sample.labels) - own == set(name.labels), name.name
        if family.samples and name.type == "histogram":
            assert _bounds(family) == (*name.buckets, float("inf")), name.name
        assert_fixed_values(family, name.values)


def assert_fixed_values(family: Metric, values: Mapping[str, tuple[str, ...]]) -> None:
    for label, fixed in values.items():
        assert {sample.labels[label] for sample in family.samples} <= set(fixed), f"{family.name}: {label}"


def _bounds(family: Metric) -> tuple[float, ...]:
    return tuple(sorted({float(sample.labels["le"]) for sample in family.samples if "le" in sample.labels}))


def value(found: Families, name: str, **labels: str) -> float:
    """The sum of the samples that have this name and these labels."""
    return sum(
        sample.value
        for family in found.values()
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )
