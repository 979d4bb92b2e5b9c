"""Log probabilities in the shapes of both APIs. The numbers are made up, and the same for the same token and place."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tokenizers import Tokenizer

Alternatives = list[tuple[str, float]]


class Logprobs:
    """The generated token is always the likeliest one; alternatives follow in falling order."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._vocabulary = tokenizer.get_vocab_size()

    def token(self, number: int) -> str:
        return self._tokenizer.decode([number], skip_special_tokens=False)

    def at(self, number: int, place: int, top: int) -> Alternatives:
        """The token itself, and after it ``top`` - 1 others."""
        return [(text, value) for _, text, value in self._ranked(number, place, top)]

    def _ranked(self, number: int, place: int, top: int) -> list[tuple[int, str, float]]:
        own = -0.001 - (number * 2_654_435_761 + place * 40_503) % 1_000 / 2_500
        found = [(number, self.token(number), own)]
        seen = {found[0][1]}
        for step in range(1, 4 * top):
            if len(found) >= top:
                break
            other = (number + step * 7_919) % self._vocabulary
            text = self.token(other)
            if text not in seen:
                seen.add(text)
                found.append((other, text, own - 1.5 - 0.25 * step))
        return found

    def chat(self, ids: Sequence[int], first: int, top: int) -> dict[str, Any]:
        """``first`` is the place of ``ids[0]`` in the answer."""
        content = []
        for place, number in enumerate(ids, first):
            found = self.at(number, place, max(top, 1))
            content.append({**_entry(found[0]), "top_logprobs": [_entry(item) for item in found[:top]]})
        return {"content": content}

    def completion(self, ids: Sequence[int], first: int, top: int, offset: int, unknown: int = 0) -> dict[str, Any]:
        """``offset`` is in characters. The first ``unknown`` tokens have no value (an echoed prompt's first token)."""
        offsets, values, tokens, tops = [], [], [], []
        for place, number in enumerate(ids, first):
            found = self.at(number, place, max(top, 1))
            offsets.append(offset)
            tokens.append(found[0][0])
            known = place - first >= unknown
            values.append(found[0][1] if known else None)
            tops.append(dict(found) if known else None)
            offset += len(found[0][0])
        return {"text_offset": offsets, "token_logprobs": values, "tokens": tokens, "top_logprobs": tops}

    def prompt(self, ids: Sequence[int], top: int | None) -> list[dict[str, Any] | None] | None:
        """By token id, for each token of a prompt; of the first one nothing is known."""
        if top is None:
            return None
        known: list[dict[str, Any] | None] = [None]
        for place, number in enumerate(ids[1:], 1):
            ranked = enumerate(self._ranked(number, place, max(top, 1)), 1)
            known.append({str(i): {"logprob": p, "rank": r, "decoded_token": text} for r, (i, text, p) in ranked})
        return known


def _entry(item: tuple[str, float]) -> dict[str, Any]:
    token, value = item
    return {"token": token, "logprob": value, "bytes": list(token.encode("utf-8", "replace"))}
