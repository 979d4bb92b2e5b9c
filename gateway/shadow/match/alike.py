"""Tasks whose prompts are nearly the same: a match with one of them may mean another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from gateway.shadow.match.tfidf import Vector, similarity


def pairs_alike(documents: Sequence[Vector], threshold: float) -> Iterator[tuple[int, int]]:
    """All pairs (by place, the smaller first) with a cosine of at least `threshold`, which the vectors were made for.

    Of such a pair each has one of the other's first terms, so only those are looked up.
    """
    having = defaultdict[int, list[int]](list)
    for place, document in enumerate(documents):
        first = document.terms[: document.prefix]
        candidates = {other for term in first for other in having[term]}
        query = dict(zip(document.terms, document.weights, strict=True))
        for other in sorted(candidates):
            if similarity(query, documents[other]) >= threshold:
                yield other, place
        for term in first:
            having[term].append(place)


def groups_of(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, ...], ...]:
    """The tasks that pairs connect; groups and their members in order of first mention."""
    group = dict[str, dict[str, None]]()
    for one, other in pairs:
        joined = group.get(one, {one: None}) | group.get(other, {other: None})
        group.update(dict.fromkeys(joined, joined))
    distinct = {id(members): members for members in group.values()}
    return tuple(map(tuple, distinct.values()))
