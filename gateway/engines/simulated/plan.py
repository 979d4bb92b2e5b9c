"""From an answer's text to the tokens that are generated, each with the text that it adds.

A token that ends inside a character adds nothing; the token that completes the character adds all of it. A sequence
that ends by itself ends with an end-of-sequence token, which counts and adds nothing, as in vLLM.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import count

from tokenizers import Tokenizer

from gateway.engines.simulated.answers import Library

_END_TOKENS = ("<|im_end|>", "<|endoftext|>", "<|user|>", "</s>")
_UNFINISHED = "\ufffd"


@dataclass(frozen=True)
class Plan:
    """What one sequence generates: ``pieces[i]`` is the text that token ``ids[i]`` adds."""

    ids: list[int]
    pieces: list[str]
    finish_reason: str
    stop_reason: str | int | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Limits:
    """What ends a sequence, and what it may not hold. ``max_tokens`` is at least 1.

    ``banned`` are words that do not occur; ``allowed``, if any, are the only tokens that do.
    """

    max_tokens: int
    min_tokens: int = 0
    ignore_end: bool = False
    stop: tuple[str, ...] = ()
    stop_ids: frozenset[int] = frozenset()
    keep_stop: bool = False
    banned: tuple[str, ...] = ()
    allowed: tuple[int, ...] = ()
    keep_special: bool = False


class Planner:
    """Turns answers into plans, with one tokenizer."""

    def __init__(self, tokenizer: Tokenizer, library: Library) -> None:
        self._tokenizer = tokenizer
        self._library = library
        self.end_id = next((number for token in _END_TOKENS if (number := tokenizer.token_to_id(token)) is not None), 0)
        added = tokenizer.get_added_tokens_decoder().items()
        self._special = frozenset(number for number, token in added if token.special)
        self._pieces_of = lru_cache(maxsize=256)(self._tokenize)

    def plan(self, text: str, limits: Limits) -> Plan:
        if limits.allowed:
            return _stop_at_text(_stop_at_id(self._of_allowed(limits), limits), limits)
        wanted = limits.max_tokens if limits.ignore_end else min(limits.min_tokens, limits.max_tokens)
        ids, pieces = self._extended(_without(text, limits.banned), wanted, limits.banned)
        if not limits.ignore_end:
            ids, pieces = [*ids, self.end_id], [*pieces, ""]
        ended = len(ids) <= limits.max_tokens and not limits.ignore_end
        ids, pieces = ids[: limits.max_tokens], pieces[: limits.max_tokens]
        plan = Plan(ids, pieces, "stop" if ended else "length")
        return _stop_at_text(_stop_at_id(plan, limits), limits)

    def _of_allowed(self, limits: Limits) -> Plan:
        """The allowed tokens in turn, without those that spell a banned word."""
        texts = {number: self._tokenizer.decode([number], skip_special_tokens=False) for number in limits.allowed}
        turn = [number for number in limits.allowed if texts[number] not in limits.banned] or limits.allowed
        ids = [turn[place % len(turn)] for place in range(limits.max_tokens)]
        hidden = set() if limits.keep_special else self._special
        pieces = ["" if number in hidden else texts[number] for number in ids]
        if self.end_id not in turn or limits.ignore_end:
            return Plan(ids, pieces, "length")
        last = ids.index(self.end_id) if self.end_id in ids else len(ids) - 1
        return Plan(ids[: last + 1], [*pieces[:last], ""], "stop" if ids[last] == self.end_id else "length")

    def _extended(self, text: str, wanted: int, banned: tuple[str, ...]) -> tuple[list[int], list[str]]:
        """The tokens of ``text``, and of further texts until there are at least ``wanted``."""
        first_ids, first_pieces = self._pieces_of(text)
        ids, pieces = list(first_ids), list(first_pieces)
        for number in count():
            if len(ids) >= wanted:
                break
            more_ids, more_pieces = self._pieces_of(_without("\n" + self._library.after(number), banned))
            ids += more_ids
            pieces += more_pieces
        return ids, pieces

    def _tokenize(self, text: str) -> tuple[tuple[int, ...], tuple[str, ...]]:
        ids = self._tokenizer.encode(text, add_special_tokens=False).ids
        return tuple(ids), tuple(self.pieces(ids))

    def pieces(self, ids: list[int]) -> list[str]:
        """The text each token adds. Decodes a few tokens at a time, because a token alone may decode differently."""
        pieces: list[str] = []
        start, shown = 0, ""
        for end in range(1, len(ids) + 1):
            text = self._tokenizer.decode(ids[start:end], skip_special_tokens=False)
            if text.endswith(_UNFINISHED):
                pieces.append("")
                continue
            pieces.append(text[len(shown) :])
            start = end - 1
            shown = self._tokenizer.decode(ids[start:end], skip_special_tokens=False)
            if _UNFINISHED in shown:
                start, shown = end, ""
        return pieces


def _without(text: str, words: tuple[str, ...]) -> str:
    """Until none is left: what remains may spell a word anew."""
    while any(word in text for word in words):
        for word in words:
            text = text.replace(word, "")
    return text


def _stop_at_id(plan: Plan, limits: Limits) -> Plan:
    for place, token in enumerate(plan.ids):
        if token in limits.stop_ids and place + 1 >= limits.min_tokens:
            text = plan.pieces[place] if limits.keep_stop else ""
            return Plan(plan.ids[: place + 1], [*plan.pieces[:place], text], "stop", token)
    return plan


def _stop_at_text(plan: Plan, limits: Limits) -> Plan:
    """Cut at the first stop string. The tokens that spell it out stay counted, their text is dropped."""
    if not limits.stop:
        return plan
    text, lengths = "", []
    for piece in plan.pieces:
        text += piece
        lengths.append(len(text))
    skipped = lengths[limits.min_tokens - 1] if 0 < limits.min_tokens <= len(lengths) else 0
    found = [(place + len(stop), place, stop) for stop in limits.stop if (place := text.find(stop, skipped)) >= 0]
    if not found:
        return plan
    end, start, stop = min(found)
    cut = end if limits.keep_stop else start
    last = next(number for number, length in enumerate(lengths) if length >= end)
    pieces, before = [], 0
    for piece, length in zip(plan.pieces[: last + 1], lengths, strict=False):
        pieces.append(piece[: max(0, cut - before)])
        before = length
    return replace(plan, ids=plan.ids[: last + 1], pieces=pieces, finish_reason="stop", stop_reason=stop)
