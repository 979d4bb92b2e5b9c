"""What the served models are and what they run on, and from that the coefficients of their steps.

All of it is computed from public sizes, none of it measured: a preset is a plausible machine, not a known one. What is
assumed rather than looked up has a name of its own in `Assumptions`. README.md beside this file derives each formula.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from gateway.engines.gpus import KNOWN
from gateway.engines.plan import MemorySettings, kv_blocks, kv_bytes_per_token, kv_room, weight_bytes
from gateway.engines.simulated.kv import BLOCK_TOKENS
from gateway.engines.simulated.step_time import StepTime
from gateway.families import MODELS, Architecture

_MEMORY = MemorySettings(block_tokens=BLOCK_TOKENS)


@dataclass(frozen=True, slots=True)
class Machine:
    """``gpus`` of one kind, over which the model is spread by tensor parallelism. ``flops``: dense bfloat16."""

    name: str
    gpus: int
    flops: float
    bandwidth: float
    memory: int


@dataclass(frozen=True, slots=True)
class Assumptions:
    """Nothing here is measured on the machines of the presets.

    ``linear`` and ``attention``: the share of the peak FLOPS that matrix products and attention reach. ``bandwidth``:
    the share of the peak bandwidth at which weights and cache are read, waiting for other GPUs included. ``fixed``:
    seconds of a step that depend on nothing. ``tokenize``: seconds for a token of text.
    """

    linear: float = 0.51
    attention: float = 0.495
    bandwidth: float = 0.70
    fixed: float = 0.0005
    tokenize: float = 1e-6


@dataclass(frozen=True, slots=True)
class Preset:
    """One model on one machine. Bytes are those of all its GPUs together."""

    name: str
    architecture: Architecture
    machine: Machine
    assumptions: Assumptions = Assumptions()
    memory: MemorySettings = _MEMORY

    @property
    def weight_bytes(self) -> int:
        return self.machine.gpus * weight_bytes(self.architecture, self.machine.gpus, self.memory)

    @property
    def kv_bytes_per_token(self) -> int:
        return self.machine.gpus * kv_bytes_per_token(self.architecture, self.machine.gpus, self.memory)

    @property
    def step_time(self) -> StepTime:
        size, machine, assumed = self.architecture, self.machine, self.assumptions
        flops, bandwidth = machine.gpus * machine.flops, machine.gpus * machine.bandwidth * assumed.bandwidth
        return StepTime(
            weight_read=self.weight_bytes * size.loops / bandwidth,
            fixed=assumed.fixed,
            per_token=size.flops_per_token / (flops * assumed.linear),
            per_pair=size.flops_per_pair / 2 / (flops * assumed.attention),
            per_context=self.kv_bytes_per_token * size.loops / bandwidth,
            tokenize=assumed.tokenize,
        )

    @property
    def kv_bytes(self) -> int:
        """What the weights leave for the cache. Negative if they do not fit."""
        return self.machine.gpus * kv_room(self.architecture, self.machine.memory, self.machine.gpus, self.memory)

    @property
    def num_gpu_blocks(self) -> int:
        return kv_blocks(self.architecture, self.machine.memory, self.machine.gpus, self.memory)


def _h100(gpus: int) -> Machine:
    """NVIDIA's data sheet for the H100 SXM: 989 TFLOPS, 3.35 TB/s."""
    return Machine("H100 80 GB" if gpus == 1 else f"{gpus} x H100 80 GB", gpus, 989e12, 3.35e12, KNOWN["h100"].memory)


def _preset(name: str, model: str, gpus: int) -> Preset:
    architecture = MODELS[model].architecture
    assert architecture is not None, f"the family does not say what {model} is made of"
    return Preset(name, architecture, _h100(gpus))


_ALL = (
    _preset("codegeex4-9b-h100", "codegeex4-all-9b", 1),
    _preset("codegeex2-6b-h100", "codegeex2-6b", 1),
    _preset("iquest-7b-h100", "iquest-coder-v1-7b-instruct", 1),
    _preset("iquest-14b-h100", "iquest-coder-v1-14b-instruct", 1),
    _preset("iquest-40b-tp4-h100", "iquest-coder-v1-40b-instruct", 4),
    _preset("iquest-40b-loop-tp2-h100", "iquest-coder-v1-40b-loop-instruct", 2),
    _preset("iquest-40b-loop-tp4-h100", "iquest-coder-v1-40b-loop-instruct", 4),
    _preset("iquest-40b-loop-tp8-h100", "iquest-coder-v1-40b-loop-instruct", 8),
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
