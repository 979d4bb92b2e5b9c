"""vLLM's own argument parser, engine configuration and chat renderer take what `gateway.engines.vllm.command` makes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.config_engine import EngineSettings
from gateway.engines.vllm.command import Launch, launch
from gateway.engines.vllm.tiny import make
from gateway.families import MODELS, Model, TemplateError, render
from tests.fakes.odd_prompts import CHATS

from .servers import vllm_python

_PARSE = Path(__file__).parent / "inside" / "parse_arguments.py"
_LOOP, _CODEGEEX4 = MODELS["iquest-coder-v1-40b-loop-instruct"], MODELS["codegeex4-all-9b"]
_OTHER = EngineSettings(
    tensor_parallel_size=2,
    dtype="float16",
    kv_cache_dtype="fp8",
    gpu_memory_utilization=0.8,
    max_num_batched_tokens=4096,
    max_num_seqs=64,
    long_prefill_token_threshold=0,
    enable_prefix_caching=False,
    scheduling_policy="fcfs",
    max_num_queued_reqs=100,
    sse_keep_alive_interval=15,
    shutdown_timeout=60,
    otlp_traces_endpoint="http://127.0.0.1:4317",
    revision="0123456789abcdef0123456789abcdef01234567",
)
Found = Mapping[str, Any]


@dataclass(frozen=True)
class Line:
    """How a server would be started, and the same with a folder for the hub's model: the real sizes, no weights."""

    model: Model
    settings: EngineSettings
    window: int
    real: Launch
    local: Launch


def _line(model: Model, folder: Path, settings: EngineSettings, window: int | None = None) -> Line:
    def made(weights: str | None) -> Launch:
        return launch(model, settings, host="127.0.0.1", port=8001, weights=weights, window=window, folder=folder)

    return Line(model, settings, window or model.pool_window, made(None), made(str(_described_model(model, folder))))


def _described_model(model: Model, folder: Path) -> Path:
    """The tiny checkpoint's folder without its weights, and with the real model's sizes in its config.json."""
    described = folder / model.name
    if described.exists():
        return described
    shutil.copytree(make(model, folder / "tiny"), described, ignore=shutil.ignore_patterns("*.safetensors"))
    size = model.architecture
    assert size is not None
    iquest = {"num_hidden_layers": size.layers, "intermediate_size": size.intermediate, "head_dim": size.head_dim}
    iquest |= {"num_key_value_heads": size.kv_heads}
    glm = {"num_layers": size.layers, "ffn_hidden_size": size.intermediate, "kv_channels": size.head_dim}
    glm |= {"multi_query_group_num": size.kv_heads}
    sizes = {"hidden_size": size.hidden, "num_attention_heads": size.heads, "vocab_size": size.vocabulary}
    config = json.loads((described / "config.json").read_text())
    config |= sizes | (glm if model.family == "codegeex" else iquest)
    (described / "config.json").write_text(json.dumps(config))
    return described


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Line, Found, Found]]:
    """Each line with what vLLM makes of it, and of it with a local folder: one process for all, it takes its time."""
    python = vllm_python()
    folder = tmp_path_factory.mktemp("vllm-arguments")
    every = [_line(model, folder, EngineSettings()) for model in MODELS.values()]
    every += [_line(_LOOP, folder, EngineSettings(tensor_parallel_size=8)), _line(_CODEGEEX4, folder, _OTHER)]
    every += [_line(_CODEGEEX4, folder, EngineSettings(), window=1000)]
    for line in every:
        for path, text in line.real.files.items():
            path.write_text(text, "utf-8")
    given = [{"arguments": one.arguments, "chats": chats} for line in every for one, chats in _asked(line)]
    ran = subprocess.run(
        [python, _PARSE],
        input=json.dumps(given),
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "VLLM_LOGGING_STREAM": "ext://sys.stderr"},
    )
    assert ran.returncode == 0, ran.stderr[-6000:]
    found = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
    assert len(found) == len(given)
    return list(zip(every, found[::2], found[1::2], strict=True))


def _asked(line: Line) -> list[tuple[Launch, list[dict[str, Any]]]]:
    chats = [] if line.model.chat_template is None else list(CHATS.values())
    return [(line.real, []), (line.local, chats)]


def test_every_line_means_what_the_settings_say(lines):
    for line, found, _ in lines:
        parsed, settings, serving = found["parsed"], line.settings, line.model.serving
        wanted = settings.model_dump(
            include={
                *("dtype", "kv_cache_dtype", "gpu_memory_utilization", "max_num_batched_tokens", "max_num_seqs"),
                *("enable_prefix_caching", "scheduling_policy", "max_num_queued_reqs", "sse_keep_alive_interval"),
                *("shutdown_timeout", "otlp_traces_endpoint", "revision"),
            }
        )
        wanted |= {
            "model_tag": line.model.hub_id,
            "served_model_name": [line.model.name],
            "host": "127.0.0.1",
            "port": 8001,
            "tensor_parallel_size": settings.tensor_parallel_size or serving.tensor_parallel,
            "max_model_len": line.window,
            "long_prefill_token_threshold": min(settings.long_prefill_token_threshold, line.window),
            "enable_chunked_prefill": True,
            "disable_hybrid_kv_cache_manager": False if "loop" in line.model.name else None,
            "trust_remote_code": serving.trust_remote_code,
            "code_revision": settings.revision,
            "tokenizer_revision": settings.revision,
            "generation_config": "auto",
            "enable_auto_tool_choice": serving.tool_parser is not None,
            "tool_call_parser": serving.tool_parser,
            "reasoning_parser": serving.reasoning_parser or "",
            "enable_request_id_headers": True,
            "enable_prompt_tokens_details": True,
            "disable_uvicorn_access_log": True,
            "enforce_eager": False,
            "api_key": None,
        }
        assert {name: parsed[name] for name in wanted} == wanted


def test_the_parsers_are_ones_that_vllm_has(lines):
    for line, found, _ in lines:
        serving = line.model.serving
        assert serving.tool_parser is None or serving.tool_parser in found["tool_parsers"]
        assert serving.reasoning_parser is None or serving.reasoning_parser in found["reasoning_parsers"]


def test_vllm_would_start_an_engine_of_these_sizes(lines):
    for line, _, found in lines:
        config, size, settings = found["config"], line.model.architecture, line.settings
        gpus = settings.tensor_parallel_size or line.model.serving.tensor_parallel
        assert size is not None
        wanted = {
            "dtype": f"torch.{settings.dtype}",
            "max_model_len": line.window,
            "tensor_parallel_size": gpus,
            "heads": size.heads // gpus,
            "kv_heads": max(1, size.kv_heads // gpus),
            "head_size": size.head_dim,
            "max_num_batched_tokens": settings.max_num_batched_tokens,
            "max_num_seqs": settings.max_num_seqs,
            "enable_chunked_prefill": True,
            "long_prefill_token_threshold": min(settings.long_prefill_token_threshold, line.window),
            "policy": settings.scheduling_policy,
            "max_num_queued_reqs": settings.max_num_queued_reqs,
            "hybrid_kv_cache": True,
            "enable_prefix_caching": settings.enable_prefix_caching,
            "cache_dtype": settings.kv_cache_dtype,
            "gpu_memory_utilization": settings.gpu_memory_utilization,
            "shutdown_timeout": settings.shutdown_timeout,
            "otlp_traces_endpoint": settings.otlp_traces_endpoint,
        }
        assert {name: config[name] for name in wanted} == wanted
        assert config["architecture"] == _ARCHITECTURES[line.model.family, size.loops]


_ARCHITECTURES = {
    ("codegeex", 1): "ChatGLMModel",
    ("iquest", 1): "IQuestCoderForCausalLM",
    ("iquest", 2): "IQuestLoopCoderForCausalLM",
}


def test_vllm_renders_our_template_as_the_gateway_does(lines):
    for line, _, found in lines:
        if line.model.chat_template is None:
            continue
        rendered = [prompt for prompt in found["prompts"] if prompt is not None]
        assert len(rendered) > len(CHATS) // 2
        for (name, chat), prompt in zip(CHATS.items(), found["prompts"], strict=True):
            if prompt is not None:
                assert _rendered(line.model, chat) == prompt, f"{line.model.name}: {name}"


def _rendered(model: Model, chat: Mapping[str, Any]) -> str:
    try:
        return render(model, chat)
    except TemplateError as error:
        return f"refused: {error}"
