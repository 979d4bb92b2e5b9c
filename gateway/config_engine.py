"""How the vLLM servers of a pool are started: the part of the configuration that `yardstick engine vllm` reads.

What a model needs on any machine is in its family (`gateway.families.Serving`), what is the gateway's business in its
pool (`window`). Each default that is not vLLM's own says why.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from gateway.config_base import Count, Settings

Port = Annotated[int, Field(ge=1, le=65_535)]
WholeSeconds = Annotated[int, Field(ge=0, le=86_400)]

# By these flags a server would be another one than the one that is waited for, planned for and sent requests; and a key
# among the arguments could be read by every user of the machine.
_SAID_ELSEWHERE = {
    "--api-key": "--api-key-env (in the file: the endpoint's api_key_env)",
    "--hf-token": "the environment variable HF_TOKEN",
    "--host": "--host (in the file: host)",
    "--port": "--port (in the file: port)",
    "--uds": "--host and --port (in the file: host, port)",
    "--model": "--weights (in the file: weights)",
    "--served-model-name": "--model",
    "--max-model-len": "--window (in the file: the pool's window)",
    "--tensor-parallel-size": "--tensor-parallel (in the file: tensor_parallel_size)",
    "-tp": "--tensor-parallel (in the file: tensor_parallel_size)",
}
_SHORTEST = 3  # characters of a flag that can be an abbreviation: --a


class EngineSettings(Settings):
    """The names of vLLM's own flags, wherever a setting is one flag."""

    weights: str | None = Field(
        default=None,
        min_length=1,
        description="a folder with the model's weights, or another hub id; default: the hub id of its makers",
        examples=["/models/codegeex4-all-9b"],
    )
    revision: str | None = Field(
        default=None,
        min_length=1,
        description="branch, tag or commit of the hub's repository. A commit also fixes the Python code that comes with"
        " the model, which vLLM runs",
        examples=["main"],
    )
    tensor_parallel_size: Count | None = Field(
        default=None, description="GPUs that one server is spread over; default: the model's", examples=[4]
    )
    gpus: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        default=(),
        description="the GPUs to use, numbered as nvidia-smi does: one server for each tensor_parallel_size of them;"
        " default: one server on what CUDA_VISIBLE_DEVICES leaves",
    )
    # vLLM listens on all interfaces; its API key guards /v1 only, and /metrics, /tokenize and /invocations not at all.
    host: str = Field(default="127.0.0.1", min_length=1, description="address its servers listen on")
    port: Port | None = Field(
        default=None,
        description="of the first server; further ones count on from it. Default: the pool's first endpoint's",
        examples=[8000],
    )
    # vLLM takes float16 for a checkpoint that says float32 or nothing; both families were trained in bfloat16.
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = Field(
        default="bfloat16", description="of weights and activations"
    )
    kv_cache_dtype: str = Field(
        default="auto", min_length=1, description="fp8 halves the KV cache; auto is the weights' type"
    )
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.92, description="share of each GPU's memory that a server may take"
    )
    # vLLM's own choice for both goes by the GPU (2,048 to 16,384 tokens, 256 to 1,024 sequences): the same line would
    # behave differently elsewhere. These are its numbers for an 80 GB H100, and for a GPU that it does not know.
    max_num_batched_tokens: Count = Field(default=8192, description="tokens in one step")
    max_num_seqs: Count = Field(default=256, description="sequences that run at once")
    # vLLM has no cap. One 128K prompt would take whole steps for itself, 16 in a row, and each running answer would
    # wait a full step for its next token. A prompt that is alone is not capped (vLLM lifts it then).
    long_prefill_token_threshold: Annotated[int, Field(ge=0)] = Field(
        default=2048, description="most tokens of one prompt in a step while other requests wait; 0: no limit"
    )
    enable_prefix_caching: bool = Field(
        default=True,
        description="keep what prompts have in common; the gateway sends prompts that begin alike together",
    )
    # vLLM's is fcfs. Without priorities the order is the same; with them, copies for evaluation can wait behind
    # live requests.
    scheduling_policy: Literal["fcfs", "priority"] = Field(
        default="priority", description="order of waiting requests: as they came, or by priority first"
    )
    # vLLM queues without limit. A 503 lets the gateway try another endpoint, while the client still waits for it.
    max_num_queued_reqs: Count = Field(
        default=512, description="requests running and waiting in one server, above which it answers 503"
    )
    # vLLM's 5 s leave one second to the gateway's 4: too few where one of the two is held up.
    keep_alive: Annotated[int, Field(ge=1, le=86_400)] = Field(
        default=30,
        description="seconds after which an idle connection is closed; the gateway has to be first:"
        " timeouts.upstream_idle must be less",
    )
    # vLLM's default too: the gateway sends comments of its own to clients.
    sse_keep_alive_interval: WholeSeconds = Field(
        default=0, description="seconds of silence in a stream after which a comment is sent; 0: never"
    )
    # vLLM breaks off every answer at SIGTERM. As long as the gateway's own drain.grace.
    shutdown_timeout: WholeSeconds = Field(
        default=600, description="seconds that answers under way may take after SIGTERM"
    )
    otlp_traces_endpoint: str | None = Field(
        default=None,
        min_length=1,
        description="where OpenTelemetry spans are sent, by gRPC; default: nowhere",
        examples=["http://127.0.0.1:4317"],
    )
    flags: tuple[str, ...] = Field(
        default=(), description="more arguments of `vllm serve`, after all others, so that they win"
    )

    @field_validator("gpus")
    @classmethod
    def _each_gpu_once(cls, gpus: tuple[int, ...]) -> tuple[int, ...]:
        twice = sorted({gpu for gpu in gpus if gpus.count(gpu) > 1})
        if twice:
            raise ValueError(f"GPU {twice[0]} is listed twice")
        return gpus

    @field_validator("flags")
    @classmethod
    def _no_flags_that_are_said_elsewhere(cls, flags: tuple[str, ...]) -> tuple[str, ...]:
        for flag in flags:
            name = flag.partition("=")[0].replace("_", "-")
            if name in _SAID_ELSEWHERE:
                raise ValueError(f"use {_SAID_ELSEWHERE[name]} instead of {name}")
            # vLLM takes abbreviations: these would get past the line above, and some would show a secret.
            if len(name) > _SHORTEST and any(known.startswith(name) for known in _SAID_ELSEWHERE):
                raise ValueError(f"write {name} in full")
        return flags
