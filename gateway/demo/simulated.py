"""The demo on two simulated model servers."""

from __future__ import annotations

import re
from pathlib import Path

from gateway.config import RoutingSettings
from gateway.demo.engine import HOST, LONG, SHORT, Engine, Lengths, ModelServer, Words
from gateway.demo.scoreboard import planted
from gateway.demo.tokenizer import cached_tokenizer
from gateway.engines.simulated.presets import PRESETS
from gateway.families import MODELS

_TIME_SCALE = 0.25
_PRESETS = {SHORT: "codegeex4-9b-h100", LONG: "iquest-40b-loop-tp4-h100"}  # models and machines they are computed for
LENGTHS = Lengths(
    threshold=RoutingSettings().threshold,
    window=MODELS[LONG].pool_window,
    max_tokens=512,
    several=(20_000, 40_000, 65_000, 100_000),
)


def engine() -> Engine:
    """Trains the tokenizer if it is not there yet. Raises OSError."""
    tokenizer = cached_tokenizer()
    return Engine(
        servers=tuple(
            ModelServer(
                model=model,
                log_name=name,
                arguments=arguments(model, tokenizer, _TIME_SCALE),
                ready=rf"http://{re.escape(HOST)}:",
            )
            for model, name in ((SHORT, "codegeex"), (LONG, "loop"))
        ),
        tokenizers=dict.fromkeys(_PRESETS, tokenizer),
        lengths=LENGTHS,
        writes_code=True,
        knows_tasks=True,
        start_seconds=60.0,
        limit_seconds=120.0,
        words=Words(
            introduction=_introduction(),
            servers="two simulated model servers",
            first_token="TTFT, simulated",
            note="TTFT: real seconds to the first token, most of which is simulated model time; only streams have one",
            success="every row reached its model; content and usage checked",
        ),
    )


def arguments(model: str, tokenizer: Path, time_scale: float) -> tuple[str, ...]:
    """Of a server that knows the suite's tasks, on a free port."""
    options = {
        "--model": model,
        "--port": "0",
        "--tokenizer": str(tokenizer),
        "--preset": _PRESETS[model],
        "--max-model-len": str(MODELS[model].pool_window),
        "--time-scale": str(time_scale),
    }
    return ("engine", "simulate", *(word for pair in options.items() for word in pair), *planted()[model])


def _introduction() -> str:
    machines = "; ".join(f"{model} on {PRESETS[preset].machine.name}" for model, preset in _PRESETS.items())
    return (
        "Simulated: both model servers. No model runs and no GPU is needed. They speak vLLM's protocol, schedule as it"
        " does and answer with canned code;\nhow long their steps take is computed from public sizes, not measured"
        f" ({machines}),\nat time scale {_TIME_SCALE:g}: {1 / _TIME_SCALE:g} simulated seconds pass in a real one."
        " Real: the gateway, HTTP, the prompts, and every token count (tokenizer: demo-bpe)."
    )
