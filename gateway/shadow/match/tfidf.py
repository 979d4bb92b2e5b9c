"""TF-IDF over words and pairs of words, with the cosine as similarity.

Counts times ln((1 + N) / (1 + documents with it)) + 1, scaled to unit length, as in scikit-learn's TfidfVectorizer;
terms that no document has count nothing.
"""

from __future__ import annotations

import math
import re
from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise, repeat
from operator import mul
from typing import NamedTuple

Gram = str | tuple[str, str]

_ROUNDING = 1e-9
_WORD = re.compile(r"\w+")


class Vector(NamedTuple):
    """Of unit length: terms by number, rarest first, and what they weigh.

    A query that has none of the first `prefix` terms is less alike than the index's threshold: what is left is shorter
    than that (prefix filtering: Bayardo, Ma and Srikant, WWW 2007).
    """

    terms: Sequence[int]
    weights: Sequence[float]
    prefix: int

    def may_reach(self, query: Mapping[int, float]) -> bool:
        """Whether the cosine with `query` can be as high as the threshold; false tells, and is cheap."""
        return any(map(query.__contains__, self.terms[: self.prefix]))


class Weights:
    """What each term of these documents weighs. Read-only once made."""

    def __init__(self, documents: Sequence[Mapping[Gram, int]]) -> None:
        found: Counter[Gram] = Counter()
        for document in documents:
            found.update(document.keys())
        self._numbers = {gram: number for number, gram in enumerate(found)}
        count = 1 + len(documents)
        self._weights = array("d", (math.log(count / (1 + times)) + 1 for times in found.values()))

    def vector(self, grams: Mapping[Gram, int]) -> dict[int, float]:
        """By number of term, of unit length; empty if no term is known."""
        numbers, weights = self._numbers, self._weights
        known = {numbers[gram]: times * weights[numbers[gram]] for gram, times in grams.items() if gram in numbers}
        length = math.hypot(*known.values()) or 1.0
        return {number: weight / length for number, weight in known.items()}

    def document(self, grams: Mapping[Gram, int], threshold: float) -> Vector:
        vector = self.vector(grams)
        terms = sorted(vector, key=lambda number: (-self._weights[number], number))
        weights = [vector[number] for number in terms]
        left = accumulate((-weight * weight for weight in weights), initial=1.0)
        enough = threshold * threshold - _ROUNDING
        prefix = next((place for place, squares in enumerate(left) if squares < enough), len(terms))
        return Vector(array("l", terms), array("d", weights), prefix)


def grams(text: str) -> Counter[Gram]:
    words = _WORD.findall(text.lower())
    found: Counter[Gram] = Counter(words)
    found.update(pairwise(words))
    return found


def similarity(query: Mapping[int, float], document: Vector) -> float:
    """The cosine, 0 to 1."""
    shared: float = sum(map(mul, map(query.get, document.terms, repeat(0.0)), document.weights))
    return min(1.0, shared)
