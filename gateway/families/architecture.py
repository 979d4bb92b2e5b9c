"""What a model is made of, as far as memory and speed follow from it."""

from __future__ import annotations

from dataclasses import dataclass

_BYTES = 2  # of a weight and of a cached number: bfloat16


@dataclass(frozen=True, slots=True)
class Architecture:
    """Sizes as the model's config.json has them. ``loops``: how often a token passes through the layers.

    A looped model keeps the cache of its first pass; what later passes add is a window of 64 tokens for each sequence,
    which is not counted.
    """

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    loops: int = 1

    @property
    def layer_weights(self) -> int:
        """Query, key, value and output projections, and the three matrices of a gated MLP, in all layers."""
        attention = 2 * self.hidden * self.head_dim * (self.heads + self.kv_heads)
        return self.layers * (attention + 3 * self.hidden * self.intermediate)

    @property
    def weight_bytes(self) -> int:
        """With the embedding and the output matrix, which are not tied."""
        return _BYTES * (self.layer_weights + 2 * self.vocabulary * self.hidden)

    @property
    def flops_per_token(self) -> float:
        """A multiplication and an addition for each weight. The output matrix is left out: only last tokens need it."""
        return 2.0 * self.layer_weights * self.loops

    @property
    def flops_per_pair(self) -> float:
        """Scores and weighted sum of one token that attends to another one, in all layers."""
        return 4.0 * self.heads * self.head_dim * self.layers * self.loops

    @property
    def kv_bytes_per_token(self) -> int:
        return 2 * self.layers * self.kv_heads * self.head_dim * _BYTES
