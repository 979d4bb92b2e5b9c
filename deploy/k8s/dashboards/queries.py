"""PromQL in pieces. Every piece gives no sample at all where there is nothing to tell: never NaN, never a made-up 0.

`by`: the labels that are kept, separated by commas. `where`: matchers, without braces.
"""

from __future__ import annotations

from gateway.telemetry.names import Name

OF_MODEL = 'model=~"$model"'
OF_SERVED = 'model_name=~"$served"'
_WINDOW = "$__rate_interval"  # at least four scrapes, whatever the zoom: needs the data source's scrape interval
_NOBODY = "no model chosen"


def counter(name: Name) -> str:
    return f"{name.name}_total"


def rate(metric: str, where: str = OF_MODEL) -> str:
    """Per second, one for each series."""
    return f"rate({_selected(metric, where)}[{_WINDOW}])"


def total(by: str, expression: str) -> str:
    return f"sum by ({by}) ({expression})" if by else f"sum({expression})"


def rates(by: str, metric: str, where: str = OF_MODEL) -> str:
    """Per second."""
    summed = total(by, rate(metric, where))
    return named(summed) if "model" in by.split(", ") else summed


def named(expression: str) -> str:
    """Requests for which no model was chosen have an empty one: they are named as such."""
    return f'label_replace({expression}, "model", "{_NOBODY}", "model", "")'


def increases(by: str, metric: str, where: str = OF_MODEL) -> str:
    """How many in each step of the plot."""
    return total(by, f"increase({_selected(metric, where)}[{_WINDOW}])")


def quantile(share: float, histogram: str, by: str = "", where: str = OF_MODEL) -> str:
    """Within buckets, linear. (A filter on the buckets themselves would move the lowest one's lower bound to 0.)"""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, {total(labels, rate(f'{histogram}_bucket', where))}) >= 0"


def share_by(label: str, metric: str, where: str = OF_MODEL) -> str:
    """Of the whole, what each value of a label makes up."""
    every = rate(metric, where)
    return f"{total(label, every)} / on () group_left () ({total('', every)} > 0)"


def share_of(part: str, metric: str, by: str = "", where: str = OF_MODEL) -> str:
    """Of a counter, the share that `part` (matchers) selects; 0 where none is there, and nothing without the counter.

    The zeros are other series of the same counter: those of outcomes that never came do not exist.
    """
    every = rate(metric, where)
    selected = rate(metric, f"{where}, {part}" if where else part)
    return f"{total(by, f'{selected} or 0 * {every}')} / ({total(by, every)} > 0)"


def ratio(part: str, whole: str, by: str, where: str) -> str:
    """Of two counters."""
    return f"{total(by, rate(part, where))} / ({total(by, rate(whole, where))} > 0)"


def or_none(expression: str, label: str, witness: str) -> str:
    """`expression`, or while it has no series one 0 named "none", as long as `witness` is there: a counter of things
    that have not happened yet does not exist, and an empty plot would look like a broken one."""
    return f'{expression} or on () label_replace(0 * sum({witness}), "{label}", "none", "", "")'


def gauge(by: str, metric: str, where: str = OF_MODEL, how: str = "sum") -> str:
    """`how`: "sum" where each gateway has a part of it, "max" or "min" where each sees the same for itself."""
    return f"{how} by ({by}) ({_selected(metric, where)})" if by else f"{how}({_selected(metric, where)})"


def _selected(metric: str, where: str) -> str:
    return f"{metric}{{{where}}}" if where else metric
