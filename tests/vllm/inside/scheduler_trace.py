"""Drives vLLM's own Scheduler with given arrivals and prints what each of its steps did. Runs in vLLM's Python.

In: a JSON list of workloads on stdin, each ``{"settings": {...}, "steps": [{"arrivals": [...], "aborts": [...]}]}`` as
tests/vllm/workloads.py builds them. Out: one JSON line a workload, a list with one object a step:

- ``tokens``: [name, tokens] in the order of scheduling; ``hits``: by name, the cached tokens of those admitted
- ``counted_hits``: by vLLM's own counter
- ``preempted``: names, sorted; ``preemptions`` and ``computed`` (tokens): by name, so far
- ``running``, ``waiting``: names in their order; ``blocks``: by name, see `block_digest`; ``usage`` of the KV cache
- ``ended``: names that got the last token of their answer

No weights, no tokenizer and no GPU: of the model only a config is needed, written to a temporary folder.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import zlib
from array import array
from pathlib import Path
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", VLLM_NO_USAGE_STATS="1", VLLM_LOGGING_LEVEL="ERROR")

import torch
from vllm.config import CacheConfig, ModelConfig, SchedulerConfig, VllmConfig
from vllm.sampling_params import SamplingParams
from vllm.utils.hashing import sha256
from vllm.v1.core.kv_cache_utils import get_request_block_hasher, init_none_hash
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheConfig, KVCacheGroupSpec
from vllm.v1.outputs import ModelRunnerOutput
from vllm.v1.request import Request, RequestStatus
from vllm.v1.structured_output import StructuredOutputManager

BLOCK_TOKENS = 16
_MODEL = {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "vocab_size": 2048,
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 131_072,
}


def block_digest(blocks: list[int]) -> list[int]:
    """How many, the last one and a checksum of all numbers in order: 128K tokens have 8,192 of them."""
    return [len(blocks), blocks[-1] if blocks else 0, zlib.crc32(array("q", blocks).tobytes())]


def model_config(folder: Path) -> ModelConfig:
    (folder / "config.json").write_text(json.dumps(_MODEL))
    return ModelConfig(model=str(folder), skip_tokenizer_init=True, seed=0, dtype="float16")


def build_scheduler(settings: dict[str, Any], model: ModelConfig) -> Scheduler:
    model.max_model_len = settings["max_model_len"]
    cache = CacheConfig(block_size=BLOCK_TOKENS, enable_prefix_caching=settings["prefix_caching"])
    cache.num_gpu_blocks = settings["num_blocks"]
    config = VllmConfig(
        scheduler_config=SchedulerConfig(
            max_num_seqs=settings["max_num_seqs"],
            max_num_batched_tokens=settings["max_num_batched_tokens"],
            max_model_len=settings["max_model_len"],
            long_prefill_token_threshold=settings["long_prefill_token_threshold"],
            policy=settings["policy"],
            scheduler_reserve_full_isl=settings["reserve_full_prompt"],
            watermark=settings["watermark"],
            enable_chunked_prefill=True,
            is_encoder_decoder=False,
            async_scheduling=False,
        ),
        model_config=model,
        cache_config=cache,
    )
    layers = FullAttentionSpec(block_size=BLOCK_TOKENS, num_kv_heads=1, head_size=1, dtype=torch.float32)
    return Scheduler(
        vllm_config=config,
        kv_cache_config=KVCacheConfig(settings["num_blocks"], [], [KVCacheGroupSpec(["layer"], layers)]),
        structured_output_manager=StructuredOutputManager(config),
        block_size=BLOCK_TOKENS,
        hash_block_size=BLOCK_TOKENS,
        log_stats=True,
    )


class Driver:
    """One scheduler with its requests. ``answers``: the tokens that the model, which there is not, will generate."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._hasher = get_request_block_hasher(BLOCK_TOKENS, sha256)
        self._live: dict[str, Request] = {}
        self._answers: dict[str, list[int]] = {}

    def add(self, arrival: dict[str, Any]) -> None:
        request = Request(
            request_id=arrival["name"],
            prompt_token_ids=arrival["prompt"],
            sampling_params=SamplingParams(max_tokens=len(arrival["answer"]), ignore_eos=True),
            pooling_params=None,
            arrival_time=arrival["arrived"],
            priority=arrival["priority"],
            block_hasher=self._hasher,
        )
        self._live[request.request_id] = request
        self._answers[request.request_id] = arrival["answer"]
        self._scheduler.add_request(request)

    def abort(self, name: str) -> None:
        """Harmless for one that has ended."""
        if self._live.pop(name, None) is not None:
            self._scheduler.finish_requests(name, RequestStatus.FINISHED_ABORTED)

    def step(self) -> dict[str, Any]:
        before = {name: request.num_preemptions for name, request in self._live.items()}
        output = self._scheduler.schedule()
        seen = self._seen(output, before)
        names = list(output.num_scheduled_tokens)
        sampled = [self._sampled(self._live[name]) for name in names]
        if names:
            places = {name: place for place, name in enumerate(names)}
            made = ModelRunnerOutput(req_ids=names, req_id_to_index=places, sampled_token_ids=sampled)
            self._scheduler.update_from_output(output, made)
        ended = sorted(name for name, request in self._live.items() if request.is_finished())
        for name in ended:
            del self._live[name]
        return {**seen, "ended": ended}

    def _sampled(self, request: Request) -> list[int]:
        """The next token of the answer if all tokens so far are computed."""
        done = request.num_computed_tokens == request.num_tokens
        return [self._answers[request.request_id][request.num_output_tokens]] if done else []

    def _seen(self, output: Any, before: dict[str, int]) -> dict[str, Any]:
        scheduler, cached = self._scheduler, output.scheduled_cached_reqs
        hits = {new.req_id: new.num_computed_tokens for new in output.scheduled_new_reqs}
        resumed = zip(cached.req_ids, cached.num_computed_tokens, strict=True)
        hits |= {name: computed for name, computed in resumed if name in cached.resumed_req_ids}
        counted = scheduler.kv_cache_manager.make_prefix_cache_stats()
        blocks = scheduler.kv_cache_manager.get_block_ids
        return {
            "tokens": list(output.num_scheduled_tokens.items()),
            "hits": hits,
            "counted_hits": counted.hits + counted.preempted_hits,
            "preempted": sorted(n for n, request in self._live.items() if request.num_preemptions > before[n]),
            "preemptions": {name: request.num_preemptions for name, request in self._live.items()},
            "computed": {name: request.num_computed_tokens for name, request in self._live.items()},
            "running": [request.request_id for request in scheduler.running],
            "waiting": [request.request_id for request in scheduler.waiting],
            "blocks": {name: block_digest(blocks(name)[0]) for name in self._live},
            "usage": scheduler.kv_cache_manager.usage,
        }


def trace(workload: dict[str, Any], model: ModelConfig) -> list[dict[str, Any]]:
    driver = Driver(build_scheduler(workload["settings"], model))
    steps = []
    for given in workload["steps"]:
        for arrival in given["arrivals"]:
            driver.add(arrival)
        for name in given["aborts"]:
            driver.abort(name)
        steps.append(driver.step())
    return steps


def main() -> None:
    init_none_hash(sha256)
    with tempfile.TemporaryDirectory() as folder:
        model = model_config(Path(folder))
        for workload in json.load(sys.stdin):
            json.dump(trace(workload, model), sys.stdout)
            sys.stdout.write("\n")


if __name__ == "__main__":
    main()
