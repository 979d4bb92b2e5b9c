"""A preset's numbers in words: where they come from, what follows, and how much depends on each assumption."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields, replace

from gateway.engines.gpus import GIB
from gateway.engines.simulated.kv import BLOCK_TOKENS
from gateway.engines.simulated.presets import Preset
from gateway.engines.simulated.step_time import StepTime

LENGTHS = (2_048, 8_192, 32_768, 131_072)
BUDGET = 8_192  # --max-num-batched-tokens' default
_OFF = 0.3  # by how much the sensitivity table has each coefficient wrong


def explanation(preset: Preset) -> str:
    return "\n".join([*_derivation(preset), "", *_times(preset), "", *_sensitivity(preset.step_time)])


def _derivation(preset: Preset) -> Iterator[str]:
    size, machine, assumed, time = preset.architecture, preset.machine, preset.assumptions, preset.step_time
    peak, reads = machine.gpus * machine.flops, machine.gpus * machine.bandwidth
    looped = f" x {size.loops} passes" if size.loops > 1 else ""
    kv = preset.kv_bytes_per_token
    usable = preset.num_gpu_blocks * BLOCK_TOKENS
    yield f"{preset.name}: computed from public sizes, not measured on any machine."
    yield (
        f"{machine.name}: {peak / 1e12:,.0f} TFLOPS and {reads / 1e12:.2f} TB/s at their peak, "
        f"{machine.memory / GIB:.2f} GiB each."
    )
    yield (
        f"Assumed: {assumed.linear:.1%} of the peak FLOPS in matrix products, {assumed.attention:.1%} in attention, "
        f"{assumed.bandwidth:.0%} of the bandwidth."
    )
    yield ""
    yield f"weight_read  {time.weight_read * 1e3:8.3f} ms  {preset.weight_bytes / GIB:.1f} GiB of weights{looped}"
    yield f"fixed        {time.fixed * 1e3:8.3f} ms  assumed"
    yield (
        f"per_token    {time.per_token * 1e6:8.3f} us  "
        f"{size.flops_per_token / 1e9:.1f} GFLOP: 2 x {size.layer_weights / 1e9:.2f}e9 weights in layers{looped}"
    )
    yield (
        f"per_pair     {time.per_pair * 1e9:8.3f} ns  {size.flops_per_pair / 2 / 1e6:.3f} MFLOP: half of "
        f"4 x {size.heads} heads x {size.head_dim} x {size.layers} layers{looped}, as attention is causal"
    )
    yield f"per_context  {time.per_context * 1e9:8.3f} ns  {kv / 1024:.0f} KiB of KV cache{looped}"
    yield f"tokenize     {time.tokenize * 1e6:8.3f} us  assumed"
    yield (
        f"KV cache: {preset.kv_bytes / GIB:.1f} GiB ({preset.memory.gpu_memory_utilization:.0%} of the memory, less "
        f"{preset.memory.overhead / GIB:.0f} GiB a GPU, less the weights) hold {usable:,} tokens, "
        f"{usable / LENGTHS[-1]:.1f} sequences of 128K."
    )


def _times(preset: Preset) -> Iterator[str]:
    time, room = preset.step_time, preset.num_gpu_blocks * BLOCK_TOKENS
    yield f"alone, {BUDGET:,} tokens a step  " + _row(f"{length // 1024}K" for length in LENGTHS)
    yield "prefill, seconds                " + _row(f"{time.prefill(length, BUDGET):.2f}" for length in LENGTHS)
    yield "decode, tokens a second         " + _row(f"{1 / time.decode(length):.1f}" for length in LENGTHS)
    yield "16 at once, tokens a second     " + _row(
        f"{16 / time.decode(length, 16):.0f}" if 16 * length <= room else "no room" for length in LENGTHS
    )


def _sensitivity(time: StepTime) -> Iterator[str]:
    """What each coefficient's error does to the figures that depend on it most."""
    yield f"If a coefficient is {_OFF:.0%} too low or too high, these change by"
    yield " " * 13 + _row(["prefill 2K", "8K", "32K", "128K", "decode 2K", "128K"])
    for field in fields(time):
        if field.name == "tokenize":
            continue
        changes = [_change(time, field.name, factor) for factor in (1 - _OFF, 1 + _OFF)]
        cells = (f"{low:+.0%} {high:+.0%}" for low, high in zip(*changes, strict=True))
        yield f"{field.name:<13}" + _row(cells)


def _change(time: StepTime, name: str, factor: float) -> list[float]:
    changed = replace(time, **{name: getattr(time, name) * factor})
    return [after / before - 1 for after, before in zip(_seconds(changed), _seconds(time), strict=True)]


def _seconds(time: StepTime) -> list[float]:
    prefills = [time.prefill(length, BUDGET) for length in LENGTHS]
    return [*prefills, time.decode(LENGTHS[0]), time.decode(LENGTHS[-1])]


def _row(cells: Iterable[str]) -> str:
    return "".join(f"{cell:>12}" for cell in cells)
