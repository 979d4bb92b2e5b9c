"""The closest monotone sequence."""

from __future__ import annotations

from collections.abc import Sequence


def antitone(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The never rising sequence with the least weighted sum of squares to `values`; weights are above 0.

    Pools adjacent violators: neighbours that rise are replaced by their weighted mean, until none rises. The weighted
    mean of the whole stays what it was.
    """
    blocks: list[tuple[float, float, int]] = []
    for value, weight in zip(values, weights, strict=True):
        mean, total, count = value, weight, 1
        while blocks and blocks[-1][0] <= mean:
            before, heft, members = blocks.pop()
            mean = (before * heft + mean * total) / (heft + total)
            total, count = total + heft, count + members
        blocks.append((mean, total, count))
    return [mean for mean, _, count in blocks for _ in range(count)]
