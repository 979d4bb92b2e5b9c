"""An estimate of a text's tokens from a few slices of it, with its own margin of error.

A text's bytes per token vary by a factor of three between prose, code and tables of numbers, but within one prompt the
slices tell. Where they leave it open on which side of a limit the text is, counting from the start replaces the
estimate piece by piece, until what is still estimated can't change the answer.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gateway.tokens.counter import Counter

_FIRST = 12  # slices; as many again between them, and once more, only while it is left open
ALL_ROUNDS = range(3)
FIRST_ROUND, LATER_ROUNDS = ALL_ROUNDS[:1], ALL_ROUNDS[1:]
_SLICE = 120  # characters
_WORTH_IT = 3  # times the characters of all slices that a text must have, or counting it is as cheap
_SIGMAS = 3.0
_LEAST_ERROR = 0.03  # however alike the slices are: what lies between them may differ
_LEAST_SLICES = 8  # fewer say too little about their own spread

Slices = Sequence[tuple[int, int, int]]
"""(place, characters, tokens) of slices evenly spread over a text, in order of their places."""


class Estimate(NamedTuple):
    """``low`` and ``high`` enclose the true number but for about one text in a thousand."""

    tokens: int
    low: int
    high: int


class Question:
    """Whether a text's tokens are below or above ``limit``.

    An estimate answers it if its margin is on one side, and the estimate itself below ``low`` or above ``high``
    (None: no estimate may say that the text is above).
    """

    def __init__(self, text: str, limit: int, low: int, high: int | None) -> None:
        self._length = len(text)
        self._text = text
        self._limit = limit
        self._low = low
        self._high = high
        self._slices: Slices = ()

    def sampled(self, counter: Counter, rounds: range = ALL_ROUNDS) -> Estimate | None:
        """The answer from slices alone, if they give one. ``rounds``: those that have not been made yet."""
        for turn in rounds:
            slices = _FIRST << turn
            if self._length < _WORTH_IT * slices * _SLICE:
                break
            fresh = counter.sample(self._text, self._places(turn), _SLICE)
            self._slices = sorted((*self._slices, *fresh))
            estimate = estimated(self._slices, self._length)
            if self._answered_by(estimate):
                return estimate
        return None

    def _places(self, turn: int) -> Iterator[int]:
        """The middles of twelve equal parts; then their ends; then the middles between all these."""
        parts = _FIRST << max(0, turn - 1)
        shift = 0.0 if turn == 1 else 0.5
        return (min(int((part + shift) * self._length / parts), self._length - _SLICE) for part in range(parts))

    def counted(self, read: int, tokens: int) -> Estimate | None:
        """The answer once the first ``read`` characters are known to be ``tokens``, if the rest's slices give one."""
        left = self._length - read
        behind = [found for found in self._slices if found[0] >= read]
        rest = estimated(behind, left)
        if rest is None:
            return None
        estimate = Estimate(tokens + rest.tokens, tokens + rest.low, tokens + rest.high)
        return estimate if self._answered_by(estimate) else None

    def _answered_by(self, estimate: Estimate | None) -> bool:
        if estimate is None:
            return False
        if estimate.tokens < self._low and estimate.high < self._limit:
            return True
        return self._high is not None and estimate.tokens > self._high and estimate.low > self._limit


def estimated(slices: Slices, length: int) -> Estimate | None:
    """The ratio estimate for ``length`` characters, from its standard error; None where there are too few slices."""
    count = len(slices)
    if count < _LEAST_SLICES:
        return None
    characters = tokens = squares = products = token_squares = 0
    for _, size, found in slices:
        characters += size
        tokens += found
        squares += size * size
        products += size * found
        token_squares += found * found
    ratio = tokens / max(1, characters)
    spread = max(0.0, token_squares - 2 * ratio * products + ratio * ratio * squares) / (count - 1)
    error = max(_LEAST_ERROR * ratio, _SIGMAS * math.sqrt(spread * count) / max(1, characters))
    return Estimate(round(ratio * length), int((ratio - error) * length), math.ceil((ratio + error) * length))
