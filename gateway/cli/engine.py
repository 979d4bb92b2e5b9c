"""`yardstick engine`: model servers that the gateway's own code can be tried against."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from pydantic import SecretStr, ValidationError

from gateway.cli.options import EXISTING_FILE
from gateway.cli.plan import plan
from gateway.cli.serving import ensure_port
from gateway.cli.simulated_options import answers_and_faults, planted
from gateway.cli.vllm import vllm
from gateway.config import environment

POSITIVE = click.FloatRange(min=0, min_open=True)
COUNT = click.IntRange(min=1)
NUMBER = click.IntRange(min=0)


@click.group()
def engine() -> None:
    """Start model servers."""


engine.add_command(plan)
engine.add_command(vllm)


@engine.command(
    epilog="\b\nExamples:\n  yardstick engine simulate --model codegeex4-all-9b --port 9001 --time-scale 0.1"
    "\n  yardstick engine simulate --model codegeex4-all-9b --explain"
)
@click.option("--model", required=True, help="The name that it serves.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on; 0 picks a free one.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--tokenizer", type=EXISTING_FILE, help="A tokenizer.json; default: demo-bpe, trained on first use.")
@click.option("--preset", help="Model and machine for which speed and memory are computed; default: the model's own.")
@click.option("--explain", is_flag=True, help="Print how the preset's numbers come about, and serve nothing.")
@click.option("--time-scale", type=POSITIVE, help="Real seconds for a simulated one: 0.1 is ten times faster.")
@click.option("--max-model-len", "--window", "window", type=COUNT, help="Tokens of prompt and output together.")
@click.option("--max-num-batched-tokens", type=COUNT, help="Tokens in one step.")
@click.option("--max-num-seqs", type=COUNT, help="Sequences that run at once.")
@click.option("--long-prefill-token-threshold", type=NUMBER, help="Most tokens of one prompt in a step; 0: no limit.")
@click.option("--scheduling-policy", type=click.Choice(["fcfs", "priority"]))
@click.option("--enable-prefix-caching/--no-enable-prefix-caching", default=None)
@click.option("--scheduler-reserve-full-isl/--no-scheduler-reserve-full-isl", default=None)
@click.option("--watermark", type=click.FloatRange(0, 1, max_open=True), help="Share of the KV cache kept free.")
@click.option("--num-gpu-blocks-override", type=click.IntRange(min=2), help="Blocks of 16 tokens in the KV cache.")
@click.option(
    "--max-num-queued-reqs",
    "--max-queued",
    "max_num_queued_reqs",
    type=COUNT,
    help="Sequences in flight above which it answers 503.",
)
@click.option("--enable-prompt-tokens-details", is_flag=True, default=None, help="Cached tokens in usage.")
@click.option("--api-key-env", help="Environment variable that holds the key it asks for.")
@click.option("--tools/--no-tools", "tool_parser", default=None, help="With a tool parser, or without one.")
@answers_and_faults
def simulate(
    model: str,
    port: int | None,
    host: str,
    tokenizer: Path | None,
    preset: str | None,
    explain: bool,
    api_key_env: str | None,
    **given: Any,
) -> None:
    """Run a model server with vLLM's protocol and scheduler and no model: its step times are computed."""
    if explain:
        _explain(model, preset)
        return
    if port is None:
        raise click.UsageError("Missing option '--port'. (Port 0 picks a free one.)")
    api_key = _key_from(api_key_env) if api_key_env else None
    if tokenizer is not None:
        _require_tokenizer(tokenizer)
    ensure_port(host, port)
    from gateway.engines.simulated.app import run
    from gateway.engines.simulated.settings import SimulatedSettings
    from gateway.engines.simulated.tasks import TaskFileError

    settings = {"model": model, "host": host, "port": port, "tokenizer": tokenizer or demo_tokenizer()}
    # Options that are not given keep the defaults of SimulatedSettings: they stand in one place only.
    given |= {"preset": preset, "api_key": api_key, **planted(given)}
    settings |= {name: value for name, value in given.items() if value is not None}
    try:
        checked = SimulatedSettings.model_validate(settings)
    except ValidationError as error:
        reasons = (_reason(detail["loc"], detail["msg"]) for detail in error.errors())
        raise click.UsageError("; ".join(reasons)) from None
    try:
        run(checked)
    except TaskFileError as error:
        raise click.ClickException(str(error)) from None


def _reason(place: tuple[int | str, ...], message: str) -> str:
    """``place`` is empty for what concerns several options together."""
    message = message.removeprefix("Value error, ")
    return f"{'.'.join(map(str, place))}: {message}" if place else message


def _explain(model: str, preset: str | None) -> None:
    from gateway.engines.simulated.explain import explanation
    from gateway.engines.simulated.presets import preset_for

    try:
        chosen = preset_for(model, preset)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    click.echo(explanation(chosen))


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
