"""The memory plan against vLLM's own code: its layers at their real sizes, its planner of KV caches, its allocator."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from gateway.engines.gpus import DEFAULT as H100
from gateway.engines.plan import Fit, MemorySettings, fits, sizes
from gateway.families import MODELS, Architecture, Model

from .servers import vllm_python

_INSIDE = Path(__file__).parent / "inside" / "kv_cache.py"
_LOOP, _DENSE = "iquest-coder-v1-40b-loop-instruct", "iquest-coder-v1-40b-instruct"
_PLAIN = MemorySettings()


@dataclass(frozen=True)
class Case:
    model: str
    tensor_parallel: int
    window: int = 131_072
    settings: MemorySettings = _PLAIN
    hold: bool = False
    room: int | None = None  # in place of what an H100 has

    @property
    def fit(self) -> Fit:
        return fits(MODELS[self.model], H100.memory, self.tensor_parallel, self.window, self.settings)

    def question(self) -> dict[str, Any]:
        return {
            "config": _config(MODELS[self.model]),
            "tensor_parallel": self.tensor_parallel,
            "window": self.window,
            "room": self.fit.room if self.room is None else self.room,
            "max_num_batched_tokens": self.settings.max_num_batched_tokens,
            "kv_cache_dtype": self.settings.kv_cache_dtype,
            "async_scheduling": self.settings.steps_in_flight == 2,
            "hybrid": self.settings.hybrid,
            "hold": self.hold,
        }


_CASES = {
    **{f"codegeex4-tp{n}": Case("codegeex4-all-9b", n) for n in (1, 2, 4, 8)},
    "codegeex4-fp8": Case("codegeex4-all-9b", 1, settings=MemorySettings(kv_cache_dtype="fp8")),
    "codegeex2": Case("codegeex2-6b", 1, 8_192),
    "iquest-7b": Case("iquest-coder-v1-7b-instruct", 1),
    "dense-tp4": Case(_DENSE, 4, hold=True),
    **{f"loop-tp{n}": Case(_LOOP, n, hold=n > 1) for n in (1, 2, 4, 8)},
    "loop-small-window": Case(_LOOP, 4, 10_000),
    "loop-small-steps": Case(_LOOP, 4, settings=MemorySettings(max_num_batched_tokens=2_048), hold=True),
    "loop-synchronous": Case(_LOOP, 4, settings=MemorySettings(steps_in_flight=1)),
    "loop-fp8": Case(_LOOP, 2, settings=MemorySettings(kv_cache_dtype="fp8")),
    "loop-not-hybrid": Case(_LOOP, 4, settings=MemorySettings(hybrid=False), hold=True),
    "loop-not-hybrid-tp2": Case(_LOOP, 2, settings=MemorySettings(hybrid=False)),
}
_SHORT = Case(_LOOP, 1)  # too little for a window: `Fit.missing` says by how much
_EDGES = {
    "enough": replace(_SHORT, room=_SHORT.fit.room + _SHORT.fit.missing),
    "a byte less": replace(_SHORT, room=_SHORT.fit.room + _SHORT.fit.missing - 1),
}


def _config(model: Model) -> dict[str, Any]:
    """A config.json as the model's repository has it, of the plan's own sizes."""
    size = sizes(model)
    config = _chatglm(size, model.native_window) if model.family == "codegeex" else _iquest(size, model.native_window)
    return {**config, "torch_dtype": "bfloat16", "tie_word_embeddings": False}


def _chatglm(size: Architecture, window: int) -> dict[str, Any]:
    return {
        "architectures": ["ChatGLMModel"],
        "model_type": "chatglm",
        "num_layers": size.layers,
        "hidden_size": size.hidden,
        "ffn_hidden_size": size.intermediate,
        "kv_channels": size.head_dim,
        "num_attention_heads": size.heads,
        "multi_query_attention": True,
        "multi_query_group_num": size.kv_heads,
        "padded_vocab_size": size.vocabulary,
        "seq_length": window,
        "rmsnorm": True,
        "post_layer_norm": True,
        "add_bias_linear": False,
        "add_qkv_bias": True,
        "original_rope": True,
    }


def _iquest(size: Architecture, window: int) -> dict[str, Any]:
    looped = {"loop_num": size.loops, "loop_window_size": size.loop_window} if size.loops > 1 else {}
    return {
        "architectures": ["IQuestLoopCoderForCausalLM" if looped else "IQuestCoderForCausalLM"],
        "model_type": "llama",  # whose configuration it extends; its own type needs its repository's Python
        "num_hidden_layers": size.layers,
        "hidden_size": size.hidden,
        "intermediate_size": size.intermediate,
        "num_attention_heads": size.heads,
        "num_key_value_heads": size.kv_heads,
        "head_dim": size.head_dim,
        "vocab_size": size.vocabulary,
        "max_position_embeddings": window,
        "rope_parameters": {"rope_type": "default", "rope_theta": 500_000.0},
        **looped,
    }


@pytest.fixture(scope="module")
def answers() -> dict[str, dict[str, Any]]:
    """vLLM's answers by the cases' names: one process for all."""
    cases = {**_CASES, **_EDGES}
    given = json.dumps([case.question() for case in cases.values()])
    ran = subprocess.run([vllm_python(), _INSIDE], input=given, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-4000:]
    return dict(zip(cases, json.loads(ran.stdout.splitlines()[-1]), strict=True))


@pytest.mark.parametrize("name", _CASES)
def test_weights_are_those_of_vllms_layers(name: str, answers: dict[str, dict[str, Any]]) -> None:
    assert _CASES[name].fit.weights == answers[name]["weights"]


@pytest.mark.parametrize("name", _CASES)
def test_vllm_starts_where_it_fits_and_makes_as_many_blocks(name: str, answers: dict[str, dict[str, Any]]) -> None:
    fit, said = _CASES[name].fit, answers[name]
    assert ("refused" not in said) == fit.fits, said
    if fit.fits:
        assert (said["blocks"], said["concurrency"]) == (fit.blocks, pytest.approx(fit.sequences, rel=1e-12))


def test_the_cases_that_do_not_fit(answers: dict[str, dict[str, Any]]) -> None:
    refused = {name for name, said in answers.items() if "refused" in said}
    assert refused == {"loop-tp1", "loop-not-hybrid-tp2", "a byte less"}


def test_loop_has_a_whole_cache_and_a_windowed_one(answers: dict[str, dict[str, Any]]) -> None:
    assert answers["loop-tp4"]["groups"] == [[80, "FullAttentionSpec"], [80, "SlidingWindowSpec"]]
    assert answers["loop-not-hybrid"]["groups"] == [[160, "FullAttentionSpec"]]
    assert answers["dense-tp4"]["groups"] == [[80, "FullAttentionSpec"]]


@pytest.mark.parametrize("name", [name for name, case in _CASES.items() if case.hold])
def test_vllms_allocator_holds_no_less_than_planned(name: str, answers: dict[str, dict[str, Any]]) -> None:
    """It may hold more: of what is reserved for a looped model's window, little is kept once a prompt is computed."""
    fit, held = _CASES[name].fit, answers[name]["held"]
    assert held["sequences"] >= int(fit.sequences)
    assert held["most"] <= fit.blocks_per_sequence
    assert held["last"] - fit.window // 16 <= (5 if fit.blocks_per_sequence > fit.window // 16 else 0)
