"""A proof, made at load, that greedy merging by rank (tiktoken) counts exactly as a tokenizer.json's merge list does.

tiktoken merges the neighbours whose concatenation has the lowest rank, the leftmost first; a merge list merges the pair
that stands first in the list, the leftmost first.

Lemma: as long as no merge crosses the ends of a stretch of bytes, the merges within it are those of the stretch
alone, in the same order. So just before a token is built, its bytes stand in the one state of two parts through which
its bytes alone pass: a token is only ever built from one pair, wherever it stands.

Hence, if the list is in the order of the ranks and holds that one pair of each token, both take the same steps: the
token of lowest rank that can be built is the same, all places where it can be built hold the same pair, which is the
first in the list that applies, and both take the leftmost. A list with every split of every token holds the one pair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

Ranks = Mapping[bytes, int]
Pair = tuple[bytes, bytes]


def equal_ranks(ranks: Ranks, merges: Sequence[Pair], *, whole_words_first: bool) -> Ranks | None:
    """The ranks with which tiktoken counts as the merge list does, or None if that isn't proven.

    ``whole_words_first``: words that are tokens aren't merged at all (`ignore_merges`), which tiktoken always does.
    Without it, tokens that merging never builds are left out of the ranks: only looking up a whole word could find
    them.
    """
    listed = set(merges)
    if len(listed) != len(merges) or not _in_rank_order(ranks, merges):
        return None
    if whole_words_first and len(listed) == _count_splits(ranks):
        return ranks
    never_built = set()
    for token in ranks:
        if len(token) > 1:
            pair = _last_pair(token, ranks)
            if pair is None:
                never_built.add(token)
            elif pair not in listed:
                return None
    if whole_words_first or not never_built:
        return ranks
    return {token: rank for token, rank in ranks.items() if token not in never_built}


def _in_rank_order(ranks: Ranks, merges: Sequence[Pair]) -> bool:
    last = -1
    for left, right in merges:
        rank = ranks.get(left + right, -1)
        if rank < last or rank < 0 or left not in ranks or right not in ranks:
            return False
        last = rank
    return True


def _count_splits(ranks: Ranks) -> int:
    """How many ways there are to make a token of two tokens."""
    return sum(token[:at] in ranks and token[at:] in ranks for token in ranks for at in range(1, len(token)))


_NO_RANK = 1 << 62  # above all ranks, which may have gaps between them


def _last_pair(token: bytes, ranks: Ranks) -> Pair | None:
    """The two parts from which merging by rank builds the token, or None if it never does."""
    parts = [token[at : at + 1] for at in range(len(token))]
    nothing = _NO_RANK
    joined = [ranks.get(parts[at] + parts[at + 1], nothing) for at in range(len(parts) - 1)]
    while len(parts) > 2:
        lowest = min(joined)
        if lowest == nothing:
            return None
        at = joined.index(lowest)
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
        del joined[at]
        if at > 0:
            joined[at - 1] = ranks.get(parts[at - 1] + parts[at], nothing)
        if at < len(joined):
            joined[at] = ranks.get(parts[at] + parts[at + 1], nothing)
    return parts[0], parts[1]
