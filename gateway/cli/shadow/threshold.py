"""`yardstick shadow threshold`: up to which prompt length the short model should answer. It changes nothing."""

from __future__ import annotations

import json
import sys
from functools import cache
from pathlib import Path
from random import Random

import click

from gateway.cli.options import EXISTING_FILE, loaded_config
from gateway.cli.shadow.answering import AnsweringCommand, no_answer
from gateway.cli.shadow.stores import opened, store_option
from gateway.cli.shadow.threshold_pools import BATCH, Loads, Pool, costs_of, pool_of
from gateway.cli.shadow.threshold_table import Answer, document, shown
from gateway.cli.shadow.threshold_traffic import Traffic, read_traffic
from gateway.config import Config
from gateway.config_file import Flags
from gateway.engines.simulated.presets import PRESETS, preset_for
from gateway.families import MODELS
from gateway.shadow.gate.draws import Kind
from gateway.shadow.live.mix_file import mix_file
from gateway.shadow.report.differences import Differences, Unclear, differences
from gateway.shadow.store import StoreUnavailable
from gateway.shadow.threshold.inputs import HALF_OCTAVES, Constraints
from gateway.shadow.threshold.recommend import recommend
from gateway.shadow.threshold.recommendation import Recommendation, Status

_CODES = {Status.RECOMMENDED: 0, Status.INFEASIBLE: 1, Status.REFUSED: 2}
_SHARE = click.FloatRange(0, 1, min_open=True, max_open=True)
_ABOVE_0 = click.FloatRange(0, min_open=True)
_KINDS = [str(kind) for kind in Kind if kind is not Kind.MIRROR]  # a mirror's pair is of its sample's kind


@click.command(
    cls=AnsweringCommand,
    epilog="\b\nExample:\n  yardstick shadow threshold --config yardstick.yaml --traffic trace.jsonl --rate 4\n"
    'A line of a trace: {"prompt_tokens": 1200, "output_tokens": 200, "hour": "2026-11-29T14"}.',
)
@click.option("--config", "config_path", required=True, type=EXISTING_FILE, help="For both models and their pools.")
@store_option
@click.option("--kind", type=click.Choice(_KINDS), default="canary", show_default=True, help="Of evidence.")
@click.option("--suite", metavar="NAME", help="Of the pairs. Needed if the store has more than one.")
@click.option("--form", metavar="NAME", help="Of their prompts: complete, instruct, chat. Needed if there are several.")
@click.option(
    "--traffic",
    type=EXISTING_FILE,
    help="JSONL trace, or a live mix (as `report` takes it). Default: what the gateway here has seen (live-mix.json in"
    " $XDG_DATA_HOME/yardstick).",
)
@click.option("--output-tokens", type=click.IntRange(min=1), help="Of an answer, for a mix. Default: the evidence's.")
@click.option("--rate", required=True, type=_ABOVE_0, help="Requests a second, to both pools together.")
@click.option("--delta", type=_SHARE, default=0.05, show_default=True, help="Most that pass@1 may lose.")
@click.option("--tail-loss", type=_SHARE, help="Most that it may lose just below the threshold. Default: no limit.")
@click.option("--ttft", type=_ABOVE_0, default=10.0, show_default=True, help="Most seconds to the first token, p99.")
@click.option("--itl", type=_ABOVE_0, default=0.5, show_default=True, help="Most seconds between two tokens, p99.")
@click.option("--utilisation", type=_ABOVE_0, default=0.8, show_default=True, help="Most of a pool's GPU time.")
@click.option("--replicas-short", type=click.IntRange(min=1), help="Default: the pool's endpoints.")
@click.option("--replicas-long", type=click.IntRange(min=1), help="Default: the pool's endpoints.")
@click.option("--preset-short", type=click.Choice(list(PRESETS)), metavar="NAME", help="Default: the model's own.")
@click.option("--preset-long", type=click.Choice(list(PRESETS)), metavar="NAME", help="Default: the model's own.")
@click.option(
    "--candidate", "candidates", type=click.IntRange(min=1), multiple=True, help="Repeat it. Default: half octaves."
)
@click.option("--requests", type=click.IntRange(min=100), default=1000, show_default=True, help="To replay.")
@click.option("--json", "as_json", is_flag=True, help="All of it as JSON.")
def threshold(
    config_path: Path,
    store_url: str | None,
    kind: str,
    suite: str | None,
    form: str | None,
    traffic: Path | None,
    output_tokens: int | None,
    rate: float,
    delta: float,
    tail_loss: float | None,
    ttft: float,
    itl: float,
    utilisation: float,
    replicas_short: int | None,
    replicas_long: int | None,
    preset_short: str | None,
    preset_long: str | None,
    candidates: tuple[int, ...],
    requests: int,
    as_json: bool,
) -> int:
    """Recommend up to which prompt length the short model should answer. Nothing is changed.

    \b
    Ends with 0  a threshold is recommended (0 tokens: the long model answers all)
              1  none is feasible
              2  not enough evidence, or none that can be trusted
              3  no answer: a wrong command line or file, no store, or a bug

    Costs, waits and utilisation are those of a model of the engines, not measured.
    """
    config = loaded_config(config_path, Flags(), to_serve=False)
    short = _pool(config, config.routing.short, replicas_short, preset_short, "short")
    long = _pool(config, config.routing.long, replicas_long, preset_long, "long")
    found = _evidence(store_url, short.model, long.model, Kind(kind), suite, form)
    if useless := _useless(found, kind, short, long):
        click.echo(useless)
        return _CODES[Status.REFUSED]
    live = _traffic(traffic, output_tokens or round(found.output_tokens or 0) or 1)
    loads = Loads(live.prompts, rate, requests, short, long)
    constraints = Constraints(
        candidates=candidates or tuple(edge for edge in HALF_OCTAVES if edge <= short.window),
        delta=delta,
        load=cache(loads.at),
        most_tail_loss=tail_loss,
        most_ttft_p99=ttft,
        most_itl_p99=itl,
        most_utilisation=utilisation,
        short_window=short.window,
        reserved_output=config.routing.reserve_output,
    )
    recommendation = _recommendation(found, live, short, long, constraints)
    assumed = (*_assumed(short, long, rate, requests, loads.beyond), *live.assumed)
    answer = Answer(recommendation, constraints, found, kind, config.routing.threshold, assumed)
    click.echo(json.dumps(document(answer), indent=2)) if as_json else shown(answer)
    sys.stdout.flush()  # a reader that went away is noticed here, not after the answer
    return _CODES[recommendation.status]


def _useless(found: Differences, kind: str, short: Pool, long: Pool) -> str:
    """Why nothing can be told from it; empty if something can."""
    if found.failing_controls:
        return f"{found.failing_controls:,} controls got a wrong verdict: this evidence can't be trusted"
    if not found.tasks:
        return f"there are no {kind} pairs of {short.model} and {long.model} with both verdicts"
    return ""


def _pool(config: Config, model: str, replicas: int | None, preset: str | None, which: str) -> Pool:
    settings = next((pool for pool in config.pools if pool.model == model), None)
    if settings is None or model not in MODELS:
        no_answer(f"routing.{which} is {model}, which {'has no pool' if settings is None else 'is of no known family'}")
    try:
        machine = preset_for(model, preset)
    except ValueError as error:
        no_answer(f"--preset-{which}: {error}")
    gpus = settings.engine.tensor_parallel_size if settings.engine else None
    if preset is None and gpus not in (None, machine.machine.gpus):
        no_answer(f"{model} runs on {gpus} GPUs, and {machine.name} is of others: name one with --preset-{which}")
    return pool_of(settings, machine, replicas or len(settings.endpoints), MODELS[model].pool_window)


def _evidence(url: str | None, short: str, long: str, kind: Kind, suite: str | None, form: str | None) -> Differences:
    try:
        with opened(url) as store:
            return differences(store.evidence, short, long, kind, suite, form)
    except (StoreUnavailable, Unclear) as error:
        no_answer(str(error))


def _traffic(path: Path | None, output_tokens: int) -> Traffic:
    if path is None and not mix_file().exists():
        no_answer(
            f"no traffic is known: there is no {mix_file()}, which `yardstick serve` keeps where `shadow:` samples"
            " requests. Give a trace with --traffic FILE."
        )
    path = path or mix_file()
    try:
        return read_traffic(path, output_tokens)
    except (OSError, ValueError) as error:
        no_answer(f"--traffic {path}: {error}")


def _recommendation(
    found: Differences, live: Traffic, short: Pool, long: Pool, constraints: Constraints
) -> Recommendation:
    try:
        return recommend(found.tasks, live.prompts, costs_of(short, long), constraints, Random(0))
    except ValueError as error:
        no_answer(str(error))


def _assumed(short: Pool, long: Pool, rate: float, requests: int, beyond: int) -> tuple[str, ...]:
    sizes = " and ".join(f"{pool.replicas} x {pool.preset.machine.name} for {pool.model}" for pool in (short, long))
    return (
        f"TTFT, ITL and utilisation are a model's, not measured: {sizes}; {requests:,} requests replayed through the"
        f" simulated servers' scheduler at {rate:g} a second (Poisson, no peaks), without a prefix cache",
        f"GPU-seconds of a request: its prompt alone, its answer in a batch of {BATCH}; utilisation is their sum, and"
        " too high where batches are larger",
        f"{beyond:,} of the replayed requests fit no window and are left out",
        "each task counts the same at each length, whatever the chance with which it was drawn",
    )
