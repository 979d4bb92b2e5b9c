"""`yardstick engine plan`: whether models fit into GPUs, and how many sequences they then hold."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import click

from gateway.engines.division import divide, plans, smallest
from gateway.engines.gpus import DEFAULT, GIB, KNOWN, Gpu, GpuError, installed_gpus, named_gpu
from gateway.engines.plan import DEFAULTS, Fit, MemorySettings, PlanError, fits, host_bytes
from gateway.families import MODELS, Model

_LONG, _SHORT = "iquest-coder-v1-40b-loop-instruct", "codegeex4-all-9b"  # the two that prompts are divided between
_GPUS = 8
_LONG_WINDOW = 131_072
_COLUMNS = ("TP", "weights", "KV a token", "KV cache", "tokens in it", "of the window", "of 128K")
_WIDTHS = (4, 11, 12, 11, 14, 15, 9)


@dataclass(frozen=True, slots=True)
class _Host:
    """``origin``: why it is these GPUs. ``gpu`` stands for all ``count``: the one with the least memory."""

    gpu: Gpu
    count: int
    origin: str
    installed: tuple[Gpu, ...] = ()


@click.command(
    epilog="\b\nExamples:\n  yardstick engine plan\n  yardstick engine plan --gpu a100 --gpus 4"
    "\n  yardstick engine plan --model codegeex4-all-9b --gpu 24 --tensor-parallel 2 --window 65536"
)
@click.option(
    "--model",
    "names",
    multiple=True,
    type=click.Choice(list(MODELS)),
    metavar="NAME",
    help=f"Model to plan for; may be repeated. Default: {_LONG} and {_SHORT}.",
)
@click.option(
    "--gpu", metavar="NAME|GIB", help=f"{', '.join(KNOWN)}, or memory in GiB. Default: this machine's GPUs, else h100."
)
@click.option("--gpus", type=click.IntRange(min=1), help=f"How many there are. Default: this machine's, else {_GPUS}.")
@click.option("--window", type=click.IntRange(min=1), help="Tokens of prompt and output. Default: that of each pool.")
@click.option("--tensor-parallel", type=click.IntRange(min=1), help="Only servers on so many GPUs.")
@click.option("--kv-cache-dtype", default="auto", show_default=True, type=click.Choice(["auto", "fp8"]))
@click.option(
    "--gpu-memory-utilization",
    type=click.FloatRange(0, 1, min_open=True),
    default=DEFAULTS.gpu_memory_utilization,
    show_default=True,
)
@click.option(
    "--max-num-batched-tokens",
    type=click.IntRange(min=1),
    default=DEFAULTS.max_num_batched_tokens,
    show_default=True,
    help="Tokens in one step; matters to Loop only.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as JSON, sizes in bytes.")
@click.pass_context
def plan(
    context: click.Context,
    /,
    names: tuple[str, ...],
    gpu: str | None,
    gpus: int | None,
    window: int | None,
    tensor_parallel: int | None,
    as_json: bool,
    **memory: Any,
) -> None:
    """Say whether models fit into GPUs, and how many sequences they then hold. Computed, not measured.

    Ends with 0 if each model fits on one of the numbers of GPUs shown, else with 1.
    """
    settings = MemorySettings(**memory)
    chosen = [MODELS[name] for name in dict.fromkeys(names or (_LONG, _SHORT))]
    _check_window(chosen, window)
    try:
        host = _host(gpu, gpus)
        tables = [(model, _rows(model, host, tensor_parallel, window, settings)) for model in chosen]
        divided = None if tensor_parallel else _division(chosen, host, window, settings)
    except (GpuError, PlanError) as error:
        raise click.UsageError(str(error)) from None
    if as_json:
        click.echo(json.dumps(_document(host, tables, settings), indent=2))
    else:
        click.echo("\n".join(_text(host, tables, settings)))
        if divided:
            click.echo(f"\n{divided}")
    unfit = [rows for _, rows in tables if not any(fit.fits for fit in rows)]
    for rows in unfit:
        click.echo(f"\n{rows[-1].reason}", err=True)
    context.exit(1 if unfit else 0)


def _check_window(models: Sequence[Model], window: int | None) -> None:
    for model in models:
        if window and window > model.native_window:
            raise click.UsageError(
                f"{model.name} was made for {model.native_window:,} tokens: --window cannot be {window:,}"
            )


def _host(named: str | None, count: int | None) -> _Host:
    if named is not None:
        return _Host(named_gpu(named), count or _GPUS, "given with --gpu")
    found = installed_gpus()
    if not found:
        return _Host(DEFAULT, count or _GPUS, "assumed, as this machine has no GPU; --gpu names another")
    least = min(found, key=lambda gpu: gpu.memory)
    return _Host(least, count or len(found), "of this machine", found)


def _rows(
    model: Model, host: _Host, tensor_parallel: int | None, window: int | None, settings: MemorySettings
) -> tuple[Fit, ...]:
    """At least one. Raises PlanError for a number of GPUs that there are not, or that the model cannot use."""
    if tensor_parallel is None:
        return plans(model, host.gpu.memory, host.count, window, settings)
    if tensor_parallel > host.count:
        raise PlanError(f"--tensor-parallel {tensor_parallel} needs as many GPUs, and there are {host.count}")
    if tensor_parallel not in model.serving.tensor_parallel_sizes:
        allowed = ", ".join(map(str, model.serving.tensor_parallel_sizes))
        raise PlanError(f"{model.name} runs on {allowed} GPUs, not on {tensor_parallel}")
    return (fits(model, host.gpu.memory, tensor_parallel, window, settings),)


def _document(host: _Host, tables: Sequence[tuple[Model, tuple[Fit, ...]]], settings: MemorySettings) -> dict[str, Any]:
    return {
        "gpu": {"name": host.gpu.name, "memory": host.gpu.memory, "origin": host.origin},
        "gpus": host.count,
        "settings": asdict(settings),
        "plans": [
            {
                **asdict(fit),
                "fits": fit.fits,
                "tokens": fit.tokens,
                "sequences": fit.sequences,
                "sequences_of_128k": _of_128k(model, fit, settings),
                "host_memory": host_bytes(model, fit.tensor_parallel),
            }
            for model, rows in tables
            for fit in rows
        ],
    }


def _text(host: _Host, tables: Sequence[tuple[Model, tuple[Fit, ...]]], settings: MemorySettings) -> Iterator[str]:
    gpu = host.gpu
    yield f"{host.count} x {gpu.name}, {gpu.memory / GIB:.1f} GiB each ({host.origin})."
    yield (
        f"vLLM takes {settings.gpu_memory_utilization:.0%} of each; {settings.overhead / GIB:g} GiB of that are assumed"
        " to go to activations, graphs and buffers. Sizes are those of one GPU."
    )
    for busy in host.installed:
        if busy.free is not None and busy.free < busy.memory * settings.gpu_memory_utilization:
            yield (
                f"GPU {busy.index} has {busy.free / GIB:.1f} GiB free now, too little for vLLM to start:"
                " end what uses it, or lower --gpu-memory-utilization"
            )
    for model, rows in tables:
        yield ""
        yield f"{model.name}, window of {rows[0].window:,} tokens"
        yield _line(_COLUMNS)
        for fit in rows:
            yield f"{_line(_cells(model, fit, settings))}{_verdict(fit)}"
        least = next((fit for fit in rows if fit.fits), None)
        if least:
            gpus, host_gib = least.tensor_parallel, host_bytes(model, least.tensor_parallel) / GIB
            yield f"  The fewest GPUs: --tensor-parallel {gpus}, with about {host_gib:.0f} GiB of the host's memory."


def _line(cells: Sequence[str]) -> str:
    return "".join(f"{cell:>{width}}" for cell, width in zip(cells, _WIDTHS, strict=True))


def _cells(model: Model, fit: Fit, settings: MemorySettings) -> tuple[str, ...]:
    long = _of_128k(model, fit, settings)
    return (
        str(fit.tensor_parallel),
        f"{fit.weights / GIB:.1f} GiB",
        f"{fit.kv_per_token / 1024:g} KiB",
        f"{max(0, fit.room) / GIB:.1f} GiB",
        f"{fit.tokens:,}",
        f"{fit.sequences:.1f}",
        "-" if long is None else f"{long:.1f}",
    )


def _verdict(fit: Fit) -> str:
    if fit.fits:
        return "  fits"
    return f"  {'does' if fit.impossible else 'may'} not fit: {fit.missing / GIB:.1f} GiB more needed"


def _of_128k(model: Model, fit: Fit, settings: MemorySettings) -> float | None:
    if model.native_window < _LONG_WINDOW:
        return None
    return fits(model, fit.memory, fit.tensor_parallel, _LONG_WINDOW, settings).sequences


def _division(models: Sequence[Model], host: _Host, window: int | None, settings: MemorySettings) -> str | None:
    """What to do with all GPUs, if it is two models that they are planned for: one with long prompts, one without."""
    if len(models) != 2:
        return None
    short, long = sorted(models, key=lambda model: model.pool_window)
    if short.family == long.family:
        return None
    found = divide(long, short, host.gpu.memory, host.count, window, settings)
    if found is None:
        needed = [
            smallest(long, host.gpu.memory, host.count, window, settings),
            smallest(short, host.gpu.memory, host.count, None, settings),
        ]
        total = " and ".join(str(fit.tensor_parallel) if fit else f"more than {host.count}" for fit in needed)
        return f"Both families do not fit on {host.count} GPUs: they need {total}."
    return (
        f"To begin with, of {host.count} GPUs: {found.long.tensor_parallel} for one server of {_holds(found.long)},"
        f" and {found.servers} x {found.short.tensor_parallel} for servers of {_holds(found.short)}."
    )


def _holds(fit: Fit) -> str:
    return f"{fit.model} ({fit.sequences:.1f} sequences of {fit.window:,} tokens)"
