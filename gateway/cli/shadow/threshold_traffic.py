"""`--traffic`: live prompts, from a trace or from a live mix."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from typing import Any

from gateway.shadow.canary.mix import EDGES, LiveMix
from gateway.shadow.threshold.inputs import LivePrompt

_MIX_HOURS = ("any", "any other")


@dataclass(frozen=True, slots=True)
class Traffic:
    """`assumed`: what the file does not say, in words."""

    prompts: tuple[LivePrompt, ...]
    assumed: tuple[str, ...] = ()


def read_traffic(path: Path, output_tokens: int) -> Traffic:
    """A JSONL trace of {"prompt_tokens", "output_tokens", "hour"}, or a live mix as `shadow report` takes it.

    `output_tokens`: of each answer, which a mix does not know. Raises ValueError and OSError.
    """
    text = path.read_text(encoding="utf-8")
    try:
        whole = json.loads(text)
    except ValueError:
        whole = None  # several lines
    if isinstance(whole, dict) and "lengths" in whole:
        return _of_mix(LiveMix.from_json(whole), output_tokens)
    prompts = tuple(_traced(text))
    if not prompts:
        raise ValueError("there are no prompts in it")
    return Traffic(prompts)


def _of_mix(mix: LiveMix, output_tokens: int) -> Traffic:
    if not mix.requests:
        raise ValueError("the mix of live traffic is empty: no request was seen yet")
    prompts = tuple(
        LivePrompt(_middle(place), output_tokens, hour, count)
        for hour in _MIX_HOURS
        for place, count in enumerate(mix.lengths)
        if count
    )
    return Traffic(
        prompts,
        (
            "traffic is a mix of lengths by half octaves: each prompt counts as its bin's middle",
            f"every answer has {output_tokens:,} tokens, as a mix doesn't say",
            "every hour is like every other, as a mix doesn't say: intervals leave out how hours differ",
        ),
    )


def _middle(place: int) -> int:
    """Geometric; above the last edge, and below the first, as if the bin were a half octave too."""
    low = EDGES[place - 1] if place else EDGES[0] / sqrt(2)
    high = EDGES[place] if place < len(EDGES) else EDGES[-1] * sqrt(2)
    return round(sqrt(low * high))


def _traced(text: str) -> Iterator[LivePrompt]:
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            yield _prompt(json.loads(line))
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ValueError(
                f'line {number}: expected {{"prompt_tokens": 1200, "output_tokens": 200, "hour": "2026-11-29T14"}}'
            ) from None


def _prompt(row: Any) -> LivePrompt:
    tokens = row["prompt_tokens"], row["output_tokens"]
    if not all(type(count) is int for count in tokens):
        raise TypeError
    return LivePrompt(*tokens, str(row["hour"]))
