"""How long an engine's step takes, from what is computed in it.

    max(weight_read, fixed + per_token * tokens)
        + 2 * per_pair * sum(q * (context + q / 2)) + per_context * sum(context)

The first sum is over prefill chunks of ``q`` tokens, the second over sequences that decode one token. A decoding step
waits for the weights to be read, a prefill step for the arithmetic; attention comes on top: for a prompt of n tokens
it adds ``per_pair * n**2``, however the prompt is cut into chunks.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class StepTime:
    """Coefficients in seconds: of a step, of a token in it, of two tokens of which one attends to the other, and of a
    token that is read from the cache.

    ``tokenize`` is what the server needs for a token of text before the prompt is queued; it does not occupy the GPU.
    """

    weight_read: float
    fixed: float
    per_token: float
    per_pair: float
    per_context: float
    tokenize: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            if not 0 <= getattr(self, field.name) < float("inf"):
                raise ValueError(f"{field.name} must be a number of seconds, not {getattr(self, field.name)}")

    def seconds(self, shares: Iterable[tuple[int, int]]) -> float:
        """``shares``: of each sequence in the step, how many tokens after how many that are already computed."""
        total, pairs, read = 0, 0.0, 0
        for tokens, context in shares:
            total += tokens
            if tokens == 1:
                read += context
            else:
                pairs += tokens * (context + tokens / 2)
        batch = max(self.weight_read, self.fixed + self.per_token * total)
        return batch + 2 * self.per_pair * pairs + self.per_context * read

    def prefill(self, prompt: int, budget: int) -> float:
        """A prompt alone, in chunks of ``budget`` tokens."""
        starts = range(0, prompt, budget)
        return sum(self.seconds([(min(budget, prompt - start), start)]) for start in starts)

    def decode(self, context: int, sequences: int = 1) -> float:
        """One token each for so many sequences."""
        return self.seconds([(1, context)] * sequences)
