"""Whether a quantile that a panel shows is what the client measured.

A histogram knows of each value no more than its bucket, so the two agree if the client's quantile lies in the bucket of
the panel's. Three things make this wider:

- The client's clock also has what lies between it and the gateway: the connection, and both sides' waiting for a CPU.
  So the client's time may be in the next higher bucket. It is never less than the gateway's. Of the few requests of a
  length the slowest may have waited for a CPU much longer than others: a quarter of a second is granted from p95 up.
- Where CPUs are busy the gateway reads several of a model server's events at once, and counts them as one chunk. The
  client counts events. So the gateway's time per chunk may be up to three times the client's.
- A rank that is a whole number may be one higher by rounding. (What Prometheus extrapolates beyond a window's first and
  last scrape could move more, as it is not the same for each bucket: the window has to begin and end with a scrape.)
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence

from tests.deploy.observed import Measured

_PER_CHUNK = "yardstick_time_per_output_chunk_seconds"
MEASURES: Mapping[str, Callable[[Measured], float | None]] = {
    "yardstick_time_to_first_chunk_seconds": lambda each: each.first_chunk,
    _PER_CHUNK: lambda each: each.per_chunk,
    "yardstick_request_seconds": lambda each: each.whole,
}
_LENGTHS = (1_024, 4_096, 8_192, 16_384, 32_768, 65_536, 131_072)
_RANKS = 0.01
_EVENTS_AT_ONCE = 3
_WAITED = 0.25  # seconds
_SLOWEST = 0.95
_quantile = re.compile(r"histogram_quantile\(\s*([\d.]+)\s*,.*?\b(yardstick_\w+_seconds)_bucket\b", re.DOTALL).search


def latency(expression: str) -> tuple[float, str]:
    """The quantile and the histogram of a latency that the client can measure, too; (0.0, "") for anything else."""
    found = _quantile(expression)
    if found is None or found[2] not in MEASURES:
        return 0.0, ""
    return float(found[1]), found[2]


def length(tokens: int) -> str:
    """The label of a prompt with so many tokens."""
    return next((str(most) for most in _LENGTHS if tokens <= most), "more")


def agrees(
    shown: float,
    quantile: float,
    metric: str,
    bounds: Sequence[float],
    labels: Mapping[str, str],
    measured: Sequence[Measured],
) -> str:
    """ "" if so; else what is shown, and what it should be. ``bounds``: of the buckets, in order."""
    mine = sorted(
        value
        for each in measured
        if labels.get("model", each.model) == each.model
        and labels.get("length", length(each.prompt_tokens)) == length(each.prompt_tokens)
        and (value := MEASURES[metric](each)) is not None
    )
    if not mine:
        return f"{dict(labels)} is shown, and nothing was measured"
    lowest, highest = (mine[_rank(quantile + by, len(mine))] for by in (-_RANKS, _RANKS))
    upper = next(number for number, bound in enumerate(bounds) if shown <= bound)
    above = bounds[min(upper + 1, len(bounds) - 1)]
    below = bounds[upper - 1] if upper else 0.0
    if metric == _PER_CHUNK:
        below /= _EVENTS_AT_ONCE
    if quantile >= _SLOWEST:
        above += _WAITED
    if below <= highest and lowest <= above:
        return ""
    return f"{dict(labels)}: {shown:.4g} s is shown; measured: {lowest:.4g} to {highest:.4g} s of {len(mine)}"


def _rank(quantile: float, of: int) -> int:
    return max(0, min(of, math.ceil(quantile * of)) - 1)
