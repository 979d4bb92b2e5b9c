"""Whether a quantile that a panel shows is what the client measured.

A histogram knows of each value no more than its bucket, so the two agree if the client's quantile lies in the bucket of
the panel's. Three things make this wider:

- The client's clock also has what lies between it and the gateway: the connection, and both sides' waiting for a CPU.
  So the client's time may be in the next higher bucket. It is never less than the gateway's.
- Of chunks the gateway may see fewer than the client sees events, as it counts what it reads from the model server at
  once, so that its time per chunk may also be in the next higher bucket than the client's.
- Prometheus extrapolates what a counter grew by to the whole window, except below 0, so buckets may be scaled a little
  differently. That may move a rank by a twentieth.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence

from tests.deploy.observed import Measured

MEASURES: Mapping[str, Callable[[Measured], float | None]] = {
    "yardstick_time_to_first_chunk_seconds": lambda each: each.first_chunk,
    "yardstick_time_per_output_chunk_seconds": lambda each: each.per_chunk,
    "yardstick_request_seconds": lambda each: each.whole,
}
_LENGTHS = (1_024, 4_096, 8_192, 16_384, 32_768, 65_536, 131_072)
_RANKS = 0.05
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
        and labels.get("length", length(each.tokens)) == length(each.tokens)
        and (value := MEASURES[metric](each)) is not None
    )
    if not mine:
        return f"{dict(labels)} is shown, and nothing was measured"
    lowest, highest = (mine[_rank(quantile + by, len(mine))] for by in (-_RANKS, _RANKS))
    upper = next(number for number, bound in enumerate(bounds) if shown <= bound)
    above = bounds[min(upper + 1, len(bounds) - 1)]
    fewer = 2 if metric == "yardstick_time_per_output_chunk_seconds" else 1
    below = bounds[upper - fewer] if upper >= fewer else 0.0
    if below <= highest and lowest <= above:
        return ""
    return f"{dict(labels)}: {shown:.4g} s is shown; measured: {lowest:.4g} to {highest:.4g} s of {len(mine)}"


def _rank(quantile: float, of: int) -> int:
    return max(0, min(of, math.ceil(quantile * of)) - 1)
