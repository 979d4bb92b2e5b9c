"""Whether a model fits: bytes of weights and KV cache on each GPU of a vLLM server, and what the rest holds.

Pure arithmetic over a model's sizes, as vLLM 0.32 shards them and hands out its cache; README.md beside this file has
the formulas, the sources of their constants, and how they were checked against vLLM's own code. "A GPU" is always one
of the ``tensor_parallel`` that a server runs on; all of them hold equally much.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from gateway.engines.gpus import GIB
from gateway.families import Architecture, Model

_VOCABULARY_PADDING = 64  # vLLM pads the vocabulary to a multiple of it before it is cut up
_NARROW = ("fp8", "fp8_e4m3", "fp8_e5m2")  # cache types of one byte a number, and no scales beside the numbers
_WIDE = ("bfloat16", "float16")


class PlanError(Exception):
    """No plan can be made: the model's sizes are not known, or cannot be spread over so many GPUs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySettings:
    """What a vLLM server is started with, as far as memory follows from it. The defaults are vLLM's on an H100.

    ``overhead`` is assumed, not looked up: bytes of each GPU that go neither to weights nor to the cache (activations
    of a full step, CUDA graphs, communication buffers, the CUDA context and what the driver keeps to itself).
    ``steps_in_flight``: asynchronous scheduling plans one step while another runs. ``hybrid``: vLLM's hybrid KV cache
    manager, without which a looped model's windows are kept as if each were the whole context.
    """

    gpu_memory_utilization: float = 0.92
    weight_type_bytes: int = 2
    kv_cache_dtype: str = "auto"
    max_num_batched_tokens: int = 8_192
    block_tokens: int = 16
    steps_in_flight: int = 2
    hybrid: bool = True
    overhead: int = 5 * GIB

    @property
    def cached_bytes(self) -> int:
        """Of one number in the cache. Raises PlanError for types that pack several, or keep scales beside them."""
        if self.kv_cache_dtype == "auto":
            return self.weight_type_bytes
        if self.kv_cache_dtype not in (*_NARROW, *_WIDE):
            raise PlanError(f"a KV cache of {self.kv_cache_dtype} cannot be planned, only one of auto, fp8 or bfloat16")
        return 1 if self.kv_cache_dtype in _NARROW else 2


DEFAULTS = MemorySettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fit:
    """What one server of a model holds. Bytes are those of one GPU; ``room`` is negative if the weights do not fit.

    ``blocks`` is the size of the cache, ``blocks_per_sequence`` what one of ``window`` tokens needs. ``sequences`` is
    what vLLM logs as "Maximum concurrency for ... tokens per request". ``missing``: bytes that vLLM would want to start
    with this window; ``impossible`` if they are more than the assumed overhead, so that nothing assumed decides it.
    ``reason``: in words, with what to do where it does not fit.
    """

    model: str
    tensor_parallel: int
    window: int
    memory: int
    weights: int
    kv_per_token: int
    room: int
    blocks: int
    blocks_per_sequence: int
    missing: int
    impossible: bool
    reason: str = ""

    @property
    def fits(self) -> bool:
        return self.missing == 0

    @property
    def sequences(self) -> float:
        return self.blocks / self.blocks_per_sequence

    @property
    def tokens(self) -> int:
        """What vLLM logs as "KV cache size": the sequences' tokens. With a looped model, windows have their share."""
        return int(self.sequences * self.window)


def sizes(model: Model) -> Architecture:
    """Raises PlanError if the family does not know them."""
    if model.architecture is None:
        raise PlanError(f"{model.name}: its family does not say what it is made of, so its memory cannot be planned")
    return model.architecture


def check_divisible(size: Architecture, tensor_parallel: int) -> None:
    """Raises PlanError where vLLM could not spread the model over so many GPUs."""
    for what, count in (("attention heads", size.heads), ("numbers of the MLP", size.intermediate)):
        if count % tensor_parallel:
            raise PlanError(f"{count} {what} cannot be spread evenly over {tensor_parallel} GPUs")
    if size.kv_heads % tensor_parallel and tensor_parallel % size.kv_heads:
        raise PlanError(f"{size.kv_heads} KV heads can be neither divided among {tensor_parallel} GPUs nor repeated")


def weight_bytes(size: Architecture, tensor_parallel: int = 1, settings: MemorySettings = DEFAULTS) -> int:
    """Of one GPU. Heads, MLP and vocabulary are divided; norms, and a last KV head, repeated."""
    check_divisible(size, tensor_parallel)
    heads, kv_heads = size.heads // tensor_parallel, _kv_heads(size, tensor_parallel)
    attention = 2 * size.hidden * size.head_dim * (heads + kv_heads)
    bias = size.head_dim * (heads + 2 * kv_heads) if size.qkv_bias else 0
    gates = heads * (size.head_dim + 1) if size.loops > 1 else 0
    mlp = 3 * size.hidden * size.intermediate // tensor_parallel
    norms = 2 * size.hidden
    padded = -(-size.vocabulary // _VOCABULARY_PADDING) * _VOCABULARY_PADDING
    embedding_and_output = 2 * size.hidden * padded // tensor_parallel
    layers = size.layers * (attention + bias + gates + mlp + norms)
    return settings.weight_type_bytes * (layers + embedding_and_output + size.hidden)


def kv_bytes_per_token(size: Architecture, tensor_parallel: int = 1, settings: MemorySettings = DEFAULTS) -> int:
    """Of one GPU: keys and values of a token in all layers, the windows of a looped model's later passes left out."""
    passes = 1 if settings.hybrid else size.loops
    return 2 * size.layers * passes * _kv_heads(size, tensor_parallel) * size.head_dim * settings.cached_bytes


def _kv_heads(size: Architecture, tensor_parallel: int) -> int:
    """Of one GPU: at least one, which is then repeated on several."""
    return max(1, size.kv_heads // tensor_parallel)


def block_bytes(size: Architecture, tensor_parallel: int = 1, settings: MemorySettings = DEFAULTS) -> int:
    """Of one GPU. A block holds ``block_tokens`` tokens of one pass, in all layers; the passes share one pool.

    Without the hybrid manager it holds those of every pass.
    """
    return settings.block_tokens * kv_bytes_per_token(size, tensor_parallel, settings)


def blocks_per_sequence(size: Architecture, window: int, settings: MemorySettings = DEFAULTS) -> int:
    """That vLLM reserves for a sequence of ``window`` tokens.

    For each later pass of a looped model that is the window and all tokens that may be computed and not yet settled,
    plus a block, as the window need not begin where a block does.
    """
    whole = _blocks(window, settings)
    if size.loops == 1 or not settings.hybrid:
        return whole
    in_flight = settings.steps_in_flight * settings.max_num_batched_tokens
    return whole + (size.loops - 1) * (_blocks(min(size.loop_window - 1 + in_flight, window), settings) + 1)


def _blocks(tokens: int, settings: MemorySettings) -> int:
    return -(-tokens // settings.block_tokens)


def kv_room(size: Architecture, memory: int, tensor_parallel: int, settings: MemorySettings = DEFAULTS) -> int:
    """Bytes that are left for the cache on a GPU with ``memory`` bytes; negative if the weights do not fit."""
    usable = int(memory * settings.gpu_memory_utilization) - settings.overhead
    return usable - weight_bytes(size, tensor_parallel, settings)


def kv_blocks(size: Architecture, memory: int, tensor_parallel: int, settings: MemorySettings = DEFAULTS) -> int:
    room = kv_room(size, memory, tensor_parallel, settings)
    return max(0, room // block_bytes(size, tensor_parallel, settings))


def fits(
    model: Model, memory: int, tensor_parallel: int, window: int | None = None, settings: MemorySettings = DEFAULTS
) -> Fit:
    """Whether a server on ``tensor_parallel`` GPUs, each with ``memory`` bytes, starts with a window of so many tokens.

    ``window``: None is the pool's default. The weights are taken to be the family's own, not quantized ones. Raises
    PlanError if no plan can be made.
    """
    fit = _fit(model, memory, tensor_parallel, window or model.pool_window, settings)
    return replace(fit, reason=_reason(fit, model, settings))


def _fit(model: Model, memory: int, tensor_parallel: int, window: int, settings: MemorySettings) -> Fit:
    size = sizes(model)
    room, block = kv_room(size, memory, tensor_parallel, settings), block_bytes(size, tensor_parallel, settings)
    needed = blocks_per_sequence(size, window, settings)
    missing = max(0, (needed + 1) * block - room)  # vLLM keeps one block for itself
    return Fit(
        model=model.name,
        tensor_parallel=tensor_parallel,
        window=window,
        memory=memory,
        weights=weight_bytes(size, tensor_parallel, settings),
        kv_per_token=kv_bytes_per_token(size, tensor_parallel, settings),
        room=room,
        blocks=kv_blocks(size, memory, tensor_parallel, settings),
        blocks_per_sequence=needed,
        missing=missing,
        impossible=missing > settings.overhead,
    )


def _reason(fit: Fit, model: Model, settings: MemorySettings) -> str:
    gpus = f"{fit.tensor_parallel} GPU{'s' if fit.tensor_parallel > 1 else ''} of {fit.memory / GIB:.1f} GiB"
    if fit.fits:
        return (
            f"{model.name} on {gpus}: {fit.sequences:.1f} sequences of {fit.window:,} tokens at once "
            f"({fit.weights / GIB:.1f} GiB of weights and {fit.room / GIB:.1f} GiB of KV cache on each)"
        )
    usable = (fit.weights + fit.room) / GIB
    holds = "they do not even hold the weights"
    if fit.room > 0:
        holds = f"the rest holds {fit.sequences:.2f} sequences of {fit.window:,} tokens, and one is needed"
    ways = list(_ways_out(fit, model, settings)) or ["GPUs with more memory"]
    return (
        f"{model.name} {'does' if fit.impossible else 'may'} not fit on {gpus}: of {usable:.1f} GiB that can be used on"
        f" each ({settings.gpu_memory_utilization:.0%} less {settings.overhead / GIB:g} GiB for activations and"
        f" buffers) the weights take {fit.weights / GIB:.1f}; {holds}. {fit.missing / GIB:.1f} GiB are missing on"
        f" each. What helps: {', or '.join(ways)}"
    )


def _ways_out(fit: Fit, model: Model, settings: MemorySettings) -> Iterator[str]:
    """Each single change of the start that makes it fit."""
    larger = [size for size in model.serving.tensor_parallel_sizes if size > fit.tensor_parallel]
    for tensor_parallel in larger:
        if _fit(model, fit.memory, tensor_parallel, fit.window, settings).fits:
            yield f"--tensor-parallel {tensor_parallel}"
            break
    window = largest_window(model, fit.memory, fit.tensor_parallel, settings)
    if window:
        yield f"--window {min(window, fit.window)}"
    if settings.cached_bytes > 1:
        halved = replace(settings, kv_cache_dtype="fp8")
        if _fit(model, fit.memory, fit.tensor_parallel, fit.window, halved).fits:
            yield "kv_cache_dtype fp8"


_WINDOW_STEP = 1_024


def largest_window(model: Model, memory: int, tensor_parallel: int, settings: MemorySettings = DEFAULTS) -> int:
    """The most tokens, in multiples of 1,024, that one sequence can have; 0 if not even the smallest fits."""
    low, high = 0, model.native_window // _WINDOW_STEP
    while low < high:
        middle = (low + high + 1) // 2
        if _fit(model, memory, tensor_parallel, middle * _WINDOW_STEP, settings).fits:
            low = middle
        else:
            high = middle - 1
    return low * _WINDOW_STEP


def host_bytes(model: Model, tensor_parallel: int) -> int:
    """Memory of the host to ask for: the weights, which are read through its page cache, and the processes.

    6 GiB for each GPU's worker and 4 for API server and engine are assumed. With less, nothing fails before the
    processes' part is short: page cache is given back, and a restart then reads the weights from the disk again.
    """
    return weight_bytes(sizes(model)) + (6 * tensor_parallel + 4) * GIB
