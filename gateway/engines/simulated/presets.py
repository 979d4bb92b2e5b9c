"""What the served models are and what they run on, and from that the coefficients of their steps.

All of it is computed from public sizes, none of it measured: a preset is a plausible machine, not a known one. What is
assumed rather than looked up has a name of its own in `Assumptions`. README.md beside this file derives each formula.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gateway.engines.simulated.kv import BLOCK_TOKENS
from gateway.engines.simulated.step_time import StepTime

GIB = 1 << 30
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


@dataclass(frozen=True, slots=True)
class Machine:
    """``gpus`` of one kind, over which the model is spread by tensor parallelism. ``flops``: dense bfloat16."""

    name: str
    gpus: int
    flops: float
    bandwidth: float
    memory: float


@dataclass(frozen=True, slots=True)
class Assumptions:
    """Nothing here is measured on the machines of the presets.

    ``linear`` and ``attention``: the share of the peak FLOPS that matrix products and attention reach. ``bandwidth``:
    the share of the peak bandwidth at which weights and cache are read, waiting for other GPUs included. ``fixed``:
    seconds of a step that depend on nothing. ``tokenize``: seconds for a token of text. ``utilization`` is vLLM's
    --gpu-memory-utilization (its default); ``overhead``: bytes of each GPU for activations, graphs and buffers.
    """

    linear: float = 0.51
    attention: float = 0.495
    bandwidth: float = 0.70
    fixed: float = 0.0005
    tokenize: float = 1e-6
    utilization: float = 0.92
    overhead: float = 5 * GIB


@dataclass(frozen=True, slots=True)
class Preset:
    """One model on one machine."""

    name: str
    architecture: Architecture
    machine: Machine
    assumptions: Assumptions = Assumptions()

    @property
    def step_time(self) -> StepTime:
        size, machine, assumed = self.architecture, self.machine, self.assumptions
        flops, bandwidth = machine.gpus * machine.flops, machine.gpus * machine.bandwidth * assumed.bandwidth
        return StepTime(
            weight_read=size.weight_bytes * size.loops / bandwidth,
            fixed=assumed.fixed,
            per_token=size.flops_per_token / (flops * assumed.linear),
            per_pair=size.flops_per_pair / 2 / (flops * assumed.attention),
            per_context=size.kv_bytes_per_token * size.loops / bandwidth,
            tokenize=assumed.tokenize,
        )

    @property
    def kv_bytes(self) -> float:
        """What the weights leave for the cache, on all GPUs together. Negative if they do not fit."""
        machine, assumed = self.machine, self.assumptions
        each = machine.memory * assumed.utilization - assumed.overhead
        return each * machine.gpus - self.architecture.weight_bytes

    @property
    def num_gpu_blocks(self) -> int:
        return max(0, int(self.kv_bytes / (self.architecture.kv_bytes_per_token * BLOCK_TOKENS)))


def _h100(gpus: int) -> Machine:
    """NVIDIA's data sheet for the H100 SXM: 989 TFLOPS, 3.35 TB/s; 81,559 MiB as its driver reports."""
    return Machine("H100 80 GB" if gpus == 1 else f"{gpus} x H100 80 GB", gpus, 989e12, 3.35e12, 81_559 * 2**20)


# CodeGeeX's, GLM-4-9B's (which CodeGeeX4 is made from) and Loop's sizes are in their public config.json; of the smaller
# IQuest models the model card gives all but the MLP's, which is taken to be that of the 40B: it makes 7.6 and 14.4
# thousand million weights, as many as their names say.
CODEGEEX4_9B = Architecture(40, 4096, 32, 2, 128, 13_696, 151_552)
CODEGEEX2_6B = Architecture(28, 4096, 32, 2, 128, 13_696, 65_024)
IQUEST_7B = Architecture(14, 5120, 40, 8, 128, 27_648, 76_800)
IQUEST_14B = Architecture(28, 5120, 40, 8, 128, 27_648, 76_800)
IQUEST_40B = Architecture(80, 5120, 40, 8, 128, 27_648, 76_800)
IQUEST_40B_LOOP = Architecture(80, 5120, 40, 8, 128, 27_648, 76_800, loops=2)

_ALL = (
    Preset("codegeex4-9b-h100", CODEGEEX4_9B, _h100(1)),
    Preset("codegeex2-6b-h100", CODEGEEX2_6B, _h100(1)),
    Preset("iquest-7b-h100", IQUEST_7B, _h100(1)),
    Preset("iquest-14b-h100", IQUEST_14B, _h100(1)),
    Preset("iquest-40b-tp4-h100", IQUEST_40B, _h100(4)),
    Preset("iquest-40b-loop-tp2-h100", IQUEST_40B_LOOP, _h100(2)),
    Preset("iquest-40b-loop-tp4-h100", IQUEST_40B_LOOP, _h100(4)),
    Preset("iquest-40b-loop-tp8-h100", IQUEST_40B_LOOP, _h100(8)),
)
PRESETS: Mapping[str, Preset] = MappingProxyType({preset.name: preset for preset in _ALL})

# From the beginning of a model's name to its preset; the longest that fits counts.
_OF_MODELS = {
    "codegeex4-all-9b": "codegeex4-9b-h100",
    "codegeex2-6b": "codegeex2-6b-h100",
    "iquest-coder-v1-7b": "iquest-7b-h100",
    "iquest-coder-v1-14b": "iquest-14b-h100",
    "iquest-coder-v1-40b": "iquest-40b-tp4-h100",
    "iquest-coder-v1-40b-loop": "iquest-40b-loop-tp4-h100",
}


def preset_for(model: str, name: str | None = None) -> Preset:
    """The preset of that name, or the model's own. Raises ValueError, which says what there is."""
    if name is None:
        fitting = [start for start in _OF_MODELS if model.startswith(start)]
        if not fitting:
            raise ValueError(f"{model} has no preset of its own: choose one of {', '.join(PRESETS)}")
        name = _OF_MODELS[max(fitting, key=len)]
    if name not in PRESETS:
        raise ValueError(f"unknown preset {name!r}; known: {', '.join(PRESETS)}")
    return PRESETS[name]
