"""The demo on two real vLLM servers without a GPU: tiny checkpoints of both architectures, with random weights."""

from __future__ import annotations

import re
import socket
from pathlib import Path

from gateway.config import cache_dir
from gateway.demo.engine import HOST, LONG, SHORT, Engine, Lengths, ModelServer, Words
from gateway.demo.tokenizer import cached_tokenizer
from gateway.engines.vllm.executable import find_vllm, installed
from gateway.engines.vllm.tiny import make
from gateway.families import MODELS

# What two cores read in seconds, not minutes: a prompt of 100,000 tokens takes them one to three.
LENGTHS = Lengths(threshold=2_048, window=20_480, max_tokens=64, several=(3_000, 5_000, 8_000, 12_000))


def engine() -> Engine:
    """Makes the checkpoints if they are not there yet. Raises OSError, and NotFound where vLLM is not installed."""
    vllm = find_vllm()
    source = cached_tokenizer()
    checkpoints = {model: make(MODELS[model], cache_dir() / "tiny", source) for model in (SHORT, LONG)}
    windows = {SHORT: MODELS[SHORT].pool_window, LONG: LENGTHS.window}
    return Engine(
        servers=tuple(
            ModelServer(
                model=model,
                log_name=name,
                arguments=_arguments(model, windows[model], vllm),
                ready=rf"is ready on http://{re.escape(HOST)}:",
            )
            for model, name in ((SHORT, "codegeex"), (LONG, "loop"))
        ),
        tokenizers={model: folder / "tokenizer.json" for model, folder in checkpoints.items()},
        lengths=LENGTHS,
        writes_code=False,
        start_seconds=600.0,
        limit_seconds=900.0,
        words=Words(
            introduction=_introduction(vllm),
            servers="two vLLM servers, which takes 20 to 100 s",
            first_token="TTFT, on a CPU",
            note="TTFT: seconds to the first token; only streams have one. No figure for real models",
            success="every row reached its model; usage, counts and finish reasons checked, not what was answered",
        ),
    )


def _arguments(model: str, window: int, vllm: Path) -> tuple[str, ...]:
    options = {"--model": model, "--window": str(window), "--port": str(_free_port()), "--vllm": str(vllm)}
    # An answer that is under way when the demo is ended is not waited for.
    ending = ("--", "--shutdown-timeout", "1")
    return ("engine", "vllm", "--tiny", *(word for pair in options.items() for word in pair), *ending)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _introduction(vllm: Path) -> str:
    version = installed(vllm).version or "of unknown version"
    return (
        f"Real: vLLM {version} on this machine's CPU, twice, with both served architectures; the gateway, HTTP, the"
        " prompts, and every token count.\nNot real: the models. Their weights are tiny and random, and so is what they"
        f" answer: nonsense, quickly.\nPrompts are cut to what a CPU bears: threshold {LENGTHS.threshold:,} tokens,"
        f" {LONG} with a window of {LENGTHS.window:,}."
    )
