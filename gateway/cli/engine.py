"""`yardstick engine`: model servers that the gateway's own code can be tried against."""

from __future__ import annotations

from pathlib import Path

import click
from pydantic import SecretStr, ValidationError

from gateway.cli.options import EXISTING_FILE
from gateway.cli.serving import ensure_port
from gateway.config import environment

POSITIVE = click.FloatRange(min=0, min_open=True)
COUNT = click.IntRange(min=1)


@click.group()
def engine() -> None:
    """Start model servers."""


@engine.command(
    epilog="\b\nExample:\n  yardstick engine simulate --model codegeex4-all-9b --port 9001 --time-scale 0.1"
)
@click.option("--model", required=True, help="The name that it serves.")
@click.option("--port", type=click.IntRange(0, 65535), required=True, help="Port to listen on; 0 picks a free one.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--tokenizer", type=EXISTING_FILE, help="A tokenizer.json; default: demo-bpe, trained on first use.")
@click.option("--window", type=COUNT, help="Tokens of prompt and output together.")
@click.option("--prefill-tokens-per-second", type=POSITIVE, help="Simulated speed of reading the prompt.")
@click.option("--decode-tokens-per-second", type=POSITIVE, help="Simulated speed of writing the answer.")
@click.option("--time-scale", type=POSITIVE, help="Real seconds for a simulated one: 0.1 is ten times faster.")
@click.option("--max-queued", type=COUNT, help="Requests in flight above which it answers 503.")
@click.option("--api-key-env", help="Environment variable that holds the key it asks for.")
@click.option("--tools/--no-tools", default=None, help="With a tool parser, or without one.")
def simulate(
    model: str,
    port: int,
    host: str,
    tokenizer: Path | None,
    window: int | None,
    prefill_tokens_per_second: float | None,
    decode_tokens_per_second: float | None,
    time_scale: float | None,
    max_queued: int | None,
    api_key_env: str | None,
    tools: bool | None,
) -> None:
    """Run a model server with vLLM's protocol and no model: its speeds are simulated, its answers are canned code."""
    api_key = _key_from(api_key_env) if api_key_env else None
    if tokenizer is not None:
        _require_tokenizer(tokenizer)
    ensure_port(host, port)
    given = {
        "window": window,
        "prefill_tokens_per_second": prefill_tokens_per_second,
        "decode_tokens_per_second": decode_tokens_per_second,
        "time_scale": time_scale,
        "max_num_queued_reqs": max_queued,
        "api_key": api_key,
        "tool_parser": tools,
    }
    from gateway.engines.simulated import run
    from gateway.engines.simulated.settings import SimulatedSettings

    settings = {"model": model, "host": host, "port": port, "tokenizer": tokenizer or demo_tokenizer()}
    # Options that are not given keep the defaults of SimulatedSettings: they stand in one place only.
    settings |= {name: value for name, value in given.items() if value is not None}
    try:
        checked = SimulatedSettings.model_validate(settings)
    except ValidationError as error:
        reasons = (f"{'.'.join(map(str, d['loc']))}: {d['msg'].removeprefix('Value error, ')}" for d in error.errors())
        raise click.UsageError("; ".join(reasons)) from None
    run(checked)


def demo_tokenizer() -> Path:
    """The demo's tokenizer.json in the cache folder, trained on first use."""
    from gateway.demo.tokenizer import cached_tokenizer

    try:
        return cached_tokenizer()
    except OSError as error:
        hint = "set XDG_CACHE_HOME to a folder that can be written, or name a file with --tokenizer"
        raise click.ClickException(f"{error.filename} cannot be written: {error.strerror}; {hint}") from None


def _require_tokenizer(path: Path) -> None:
    from tokenizers import Tokenizer

    try:
        Tokenizer.from_file(str(path))
    except Exception as error:  # what tokenizers raises has no class of its own
        raise click.ClickException(f"{path} is no tokenizer.json: {error}") from None


def _key_from(variable: str) -> SecretStr:
    key = environment(variable)
    if key is None:
        raise click.ClickException("--api-key-env names a variable that is not set: export it with the key")
    return SecretStr(key)
