"""What a vLLM server has to be told about a model, whatever machine it runs on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """``tensor_parallel``: GPUs a server takes unless told otherwise; ``tensor_parallel_sizes``: what the model allows.

    ``trust_remote_code``: its repository brings Python of its own (configuration or tokenizer) that has to be run.
    ``tool_parser``: vLLM's name of the parser for its function calls, None if it makes none; with
    ``tool_parser_plugin`` the parser is ours (`gateway/engines/vllm/plugins/`) and vLLM loads it from its file.
    ``reasoning_parser``: vLLM's name, for models that think aloud first.
    """

    tensor_parallel: int = 1
    tensor_parallel_sizes: tuple[int, ...] = (1, 2, 4, 8)
    trust_remote_code: bool = True
    tool_parser: str | None = None
    tool_parser_plugin: bool = False
    reasoning_parser: str | None = None
