"""What a model is made of, as far as memory (`gateway.engines.plan`) and speed follow from it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Architecture:
    """Sizes as the model's config.json has them. ``loops``: how often a token passes through the layers.

    A looped model keeps the whole cache of its first pass. Each later pass has a cache of its own that reaches back
    ``loop_window`` tokens, and each head a gate between the two, which all later passes share.
    ``qkv_bias``: query, key and value projections have one.
    """

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocabulary: int
    loops: int = 1
    loop_window: int = 64
    qkv_bias: bool = False

    @property
    def layer_weights(self) -> int:
        """Query, key, value and output projections, and the three matrices of a gated MLP, in all layers."""
        attention = 2 * self.hidden * self.head_dim * (self.heads + self.kv_heads)
        return self.layers * (attention + 3 * self.hidden * self.intermediate)

    @property
    def flops_per_token(self) -> float:
        """A multiplication and an addition for each weight. The output matrix is left out: only last tokens need it."""
        return 2.0 * self.layer_weights * self.loops

    @property
    def flops_per_pair(self) -> float:
        """Scores and weighted sum of one token that attends to another one, in all layers."""
        return 4.0 * self.heads * self.head_dim * self.layers * self.loops
