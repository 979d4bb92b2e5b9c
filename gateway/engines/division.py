"""How GPUs of one kind are divided between the model for long prompts and the one for short prompts."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.engines.plan import DEFAULTS, Fit, MemorySettings, fits
from gateway.families import Model


@dataclass(frozen=True, slots=True)
class Division:
    """One server of the long prompts' model, and ``servers`` of the short ones' on the GPUs that it leaves."""

    long: Fit
    short: Fit
    servers: int


def smallest(
    model: Model, memory: int, gpus: int, window: int | None = None, settings: MemorySettings = DEFAULTS
) -> Fit | None:
    """The plan with the fewest GPUs that holds a whole window."""
    fitting = (fit for fit in plans(model, memory, gpus, window, settings) if fit.fits)
    return next(fitting, None)


def plans(
    model: Model, memory: int, gpus: int, window: int | None = None, settings: MemorySettings = DEFAULTS
) -> tuple[Fit, ...]:
    """One for each number of GPUs that the model can be spread over and that there are, ascending."""
    counts = sorted(count for count in model.serving.tensor_parallel_sizes if count <= gpus)
    return tuple(fits(model, memory, count, window, settings) for count in counts)


def divide(
    long: Model,
    short: Model,
    memory: int,
    gpus: int,
    window: int | None = None,
    settings: MemorySettings = DEFAULTS,
) -> Division | None:
    """None if not both fit. ``window`` is that of the long prompts' model; the other one has its pool's.

    Long prompts get half of the GPUs: their cache is what memory is for, and a larger server holds more of it than two
    small ones, each with all of the weights. Short prompts get servers as small as they can be: that is the least
    communication between GPUs, and an endpoint that is lost is the smallest part of the pool.
    """
    small = smallest(short, memory, gpus, None, settings)
    if small is None:
        return None
    left_for_long = gpus - small.tensor_parallel
    fitting = [fit for fit in plans(long, memory, left_for_long, window, settings) if fit.fits]
    within_half = [fit for fit in fitting if fit.tensor_parallel <= gpus // 2]
    if not fitting:
        return None
    chosen = within_half[-1] if within_half else fitting[0]
    return Division(chosen, small, (gpus - chosen.tensor_parallel) // small.tensor_parallel)
