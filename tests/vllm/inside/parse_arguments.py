"""Reads `vllm serve` lines as vLLM does, and renders chats with the template that they name. Runs in vLLM's Python.

Standard input: a list of ``{"arguments": [...], "chats": [body, ...]}``. Standard output: for each, one line of JSON:
``parsed`` (all its values after parsing, as far as JSON has them), ``tool_parsers``, ``reasoning_parsers`` and, if the
model is a folder, ``config`` (what the engine would be started with) and ``prompts`` of the chats (null where vLLM
refuses one).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from vllm.config import VllmConfig
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.entrypoints.cli.serve import ServeSubcommand
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.exceptions import VLLMValidationError
from vllm.reasoning import ReasoningParserManager
from vllm.renderers.chat_utils import load_chat_template
from vllm.renderers.registry import renderer_from_config
from vllm.tool_parsers import ToolParserManager
from vllm.usage.usage_lib import UsageContext
from vllm.utils.argparse_utils import FlexibleArgumentParser


def main() -> None:
    for line in json.load(sys.stdin):
        print(json.dumps(described(line["arguments"], line["chats"])), flush=True)


def described(arguments: list[str], chats: list[dict[str, Any]]) -> dict[str, Any]:
    args = parsed(arguments)
    if args.tool_parser_plugin:
        ToolParserManager.import_tool_parser(args.tool_parser_plugin)
    found = {
        "parsed": {name: value for name, value in vars(args).items() if _is_json(value)},
        "tool_parsers": sorted(ToolParserManager.list_registered()),
        "reasoning_parsers": sorted(ReasoningParserManager.list_registered()),
    }
    if Path(args.model_tag).is_dir():
        config = engine_config(args)
        found |= {"config": _facts(config), "prompts": prompts(config, args, chats)}
    return found


def parsed(arguments: list[str]) -> argparse.Namespace:
    parser = FlexibleArgumentParser()
    serve = ServeSubcommand()
    serve.subparser_init(parser.add_subparsers(dest="subparser"))
    args = parser.parse_args(arguments)
    serve.validate(args)
    return args


def engine_config(args: argparse.Namespace) -> VllmConfig:
    args.model = args.model_tag  # as `vllm serve` does
    engine = AsyncEngineArgs.from_cli_args(args)
    return engine.create_engine_config(usage_context=UsageContext.OPENAI_API_SERVER)


def prompts(config: VllmConfig, args: argparse.Namespace, chats: list[dict[str, Any]]) -> list[str | None]:
    renderer = renderer_from_config(config)
    template = load_chat_template(args.chat_template)
    return [_prompt(renderer, template, args.chat_template_content_format, chat) for chat in chats]


def _prompt(renderer: Any, template: str | None, content_format: Any, chat: dict[str, Any]) -> str | None:
    """By the steps of vLLM's OnlineRenderer, without its tokenizing."""
    try:
        request = ChatCompletionRequest.model_validate({"model": "any", **chat})
        tools = [tool.model_dump() for tool in request.tools] if request.tools is not None else None
        defaults = {"tools": tools, "tokenize": False}
        params = request.build_chat_params(template, content_format).with_defaults(defaults)
        _, prompt = renderer.render_messages(request.messages, params)
    except (ValueError, VLLMValidationError):
        return None
    return str(prompt["prompt"])


def _facts(config: VllmConfig) -> dict[str, Any]:
    model, scheduler, cache = config.model_config, config.scheduler_config, config.cache_config
    return {
        "architecture": model.architectures[0],
        "dtype": str(model.dtype),
        "max_model_len": model.max_model_len,
        "tensor_parallel_size": config.parallel_config.tensor_parallel_size,
        "heads": model.get_num_attention_heads(config.parallel_config),
        "kv_heads": model.get_num_kv_heads(config.parallel_config),
        "head_size": model.get_head_size(),
        "max_num_batched_tokens": scheduler.max_num_batched_tokens,
        "max_num_seqs": scheduler.max_num_seqs,
        "enable_chunked_prefill": scheduler.enable_chunked_prefill,
        "long_prefill_token_threshold": scheduler.long_prefill_token_threshold,
        "policy": scheduler.policy,
        "max_num_queued_reqs": scheduler.max_num_queued_reqs,
        "hybrid_kv_cache": not scheduler.disable_hybrid_kv_cache_manager,
        "enable_prefix_caching": cache.enable_prefix_caching,
        "cache_dtype": cache.cache_dtype,
        "gpu_memory_utilization": cache.gpu_memory_utilization,
        "shutdown_timeout": config.shutdown_timeout,
        "otlp_traces_endpoint": config.observability_config.otlp_traces_endpoint,
    }


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        return False
    return True


if __name__ == "__main__":
    main()
