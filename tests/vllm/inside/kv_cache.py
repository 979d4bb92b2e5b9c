"""Asks vLLM's own layers, cache planner and allocator what a model takes of a GPU. Runs in vLLM's Python.

In: a JSON list of questions on stdin, each ``{"config": {...}, "tensor_parallel": 4, "window": 131072, "room": bytes,
"max_num_batched_tokens": 8192, "kv_cache_dtype": "auto", "async_scheduling": true, "hybrid": true}``; ``config`` is a
config.json, ``room`` what is left of each GPU for the cache. Out: a JSON list with one object for each:

- ``weights``: bytes of all parameters on one GPU
- ``blocks``, ``concurrency``: of the KV cache that vLLM would make there, and how many windows it says that holds
- ``groups``: layers and kind of each group of layers that shares a table of blocks
- ``refused``: vLLM's error where it would not start; then only ``weights`` are there too
- ``held``: if asked with ``"hold": true``, what the real allocator gives whole windows, see `held`

Models are made at their real sizes, without memory (on torch's "meta" device) and as the first of several GPUs' parts.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", VLLM_NO_USAGE_STATS="1", VLLM_LOGGING_LEVEL="ERROR")

import torch
from vllm.config import CacheConfig, ModelConfig, SchedulerConfig, VllmConfig, set_current_vllm_config
from vllm.distributed import parallel_state
from vllm.model_executor.model_loader.utils import initialize_model
from vllm.sampling_params import SamplingParams
from vllm.utils.torch_utils import set_default_torch_dtype
from vllm.v1.attention.backends.flash_attn import FlashAttentionBackend
from vllm.v1.core.kv_cache_manager import KVCacheManager
from vllm.v1.core.kv_cache_utils import (
    generate_scheduler_kv_cache_config,
    get_kv_cache_configs,
    get_max_concurrency_for_kv_cache_config,
)
from vllm.v1.kv_cache_interface import KVCacheConfig
from vllm.v1.request import Request

BLOCK_TOKENS = 16  # vLLM's default on a GPU; its CPU build has another
_SETTLE = 3  # output tokens, in whose steps the blocks that the last chunks had taken are given back


@contextmanager
def first_of(tensor_parallel: int) -> Iterator[None]:
    """Layers made meanwhile are those of the first of so many GPUs, none of which there is."""
    before = parallel_state._TP, parallel_state._PP
    parallel_state._TP = SimpleNamespace(world_size=tensor_parallel, rank_in_group=0)
    parallel_state._PP = SimpleNamespace(world_size=1, rank_in_group=0, is_first_rank=True, is_last_rank=True)
    try:
        yield
    finally:
        parallel_state._TP, parallel_state._PP = before


def vllm_config(question: dict[str, Any], folder: Path) -> VllmConfig:
    (folder / "config.json").write_text(json.dumps(question["config"]))
    model = ModelConfig(
        model=str(folder),
        skip_tokenizer_init=True,
        dtype="bfloat16",
        max_model_len=question["window"],
        enforce_eager=True,
    )
    scheduler = SchedulerConfig(
        max_num_seqs=256,
        max_num_batched_tokens=question["max_num_batched_tokens"],
        max_model_len=question["window"],
        enable_chunked_prefill=True,
        is_encoder_decoder=False,
        disable_hybrid_kv_cache_manager=not question["hybrid"],
    )
    cache = CacheConfig(block_size=BLOCK_TOKENS, cache_dtype=question["kv_cache_dtype"])
    config = VllmConfig(model_config=model, scheduler_config=scheduler, cache_config=cache)
    config.cache_config.kv_cache_layout = "LBNHC"  # which the engine resolves later; it does not change any size
    config.scheduler_config.async_scheduling = question["async_scheduling"]  # which is never done on a CPU
    return config


def held(config: VllmConfig, made: KVCacheConfig) -> dict[str, Any]:
    """Prompts as long as the window, one after the other and in full steps, until the allocator takes no more.

    ``sequences``: how many it took; ``most`` and ``last``: blocks of the first one while it was computed, and after.
    """
    window, step = config.model_config.max_model_len, config.scheduler_config.max_num_batched_tokens
    manager = KVCacheManager(
        generate_scheduler_kv_cache_config([made]),
        max_model_len=window,
        scheduler_block_size=BLOCK_TOKENS,
        hash_block_size=BLOCK_TOKENS,
        max_in_flight_tokens=config.max_in_flight_tokens,
        enable_caching=False,
    )
    behind = config.max_concurrent_batches - 1  # steps under way while the next one is planned
    used: list[list[int]] = []
    while True:
        request = Request(str(len(used)), [0] * (window - _SETTLE), SamplingParams(max_tokens=_SETTLE), None)
        free = manager.block_pool.get_num_free_blocks()
        seen: list[int] = []
        steps: list[int] = []
        while request.num_computed_tokens < window:
            tokens = min(step, request.num_tokens - request.num_computed_tokens)
            request.num_in_flight_tokens = steps[-1] if behind and steps else 0
            if manager.allocate_slots(request, tokens, full_sequence_must_fit=not steps) is None:
                assert not steps, "a prompt was admitted and did not fit"
                return {"sequences": len(used), "most": max(used[0]), "last": used[0][-1]} if used else {"sequences": 0}
            steps.append(tokens)
            request.num_computed_tokens += tokens
            if request.num_computed_tokens == request.num_tokens < window:
                request.append_output_token_ids(0)
            seen.append(free - manager.block_pool.get_num_free_blocks())
        used.append(seen)


def answer(question: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        config = vllm_config(question, Path(folder))
    tensor_parallel = question["tensor_parallel"]
    with (
        set_current_vllm_config(config),
        first_of(tensor_parallel),
        set_default_torch_dtype(torch.bfloat16),
        torch.device("meta"),
    ):
        model = initialize_model(config)
        weights = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
        layers = config.compilation_config.static_forward_context
        for layer in layers.values():
            layer.attn_backend = FlashAttentionBackend  # a GPU's: the CPU's own allows other block sizes
        specs = {name: layer.get_kv_cache_spec(config) for name, layer in layers.items()}
        try:
            made = get_kv_cache_configs(config, [specs] * tensor_parallel, [question["room"]] * tensor_parallel)[0]
        except ValueError as error:
            return {"weights": weights, "refused": str(error)}
        return {
            "weights": weights,
            "blocks": made.num_blocks,
            "concurrency": get_max_concurrency_for_kv_cache_config(config, made),
            "groups": [[len(group.layer_names), type(group.kv_cache_spec).__name__] for group in made.kv_cache_groups],
            "held": held(config, made) if question.get("hold") else None,
        }


if __name__ == "__main__":
    json.dump([answer(question) for question in json.load(sys.stdin)], sys.stdout)
