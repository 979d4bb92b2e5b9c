"""What a recommendation rests on. Lengths are in tokens of the routing tokenizer, times in seconds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TaskDifference:
    """Pass rate of the short family minus that of the long one on one task at one length, run as pairs.

    A task may come at several lengths (inflated prompts): it still counts as one task.
    """

    task: str
    prompt_tokens: int
    difference: float

    def __post_init__(self) -> None:
        if not -1 <= self.difference <= 1 or self.prompt_tokens < 1:
            raise ValueError(f"a difference of pass rates is within [-1, 1], a prompt has tokens: {self}")


@dataclass(frozen=True, slots=True)
class LivePrompt:
    """`hour`: of the trace, whatever names it. `weight`: one over the chance with which it was sampled."""

    prompt_tokens: int
    output_tokens: int
    hour: str
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.prompt_tokens < 1 or self.output_tokens < 0 or self.weight <= 0:
            raise ValueError(f"a live prompt has tokens and a weight: {self}")


@dataclass(frozen=True, slots=True)
class Costs:
    """GPU-seconds of a request of so many prompt and output tokens, at the batch sizes that the pools run at."""

    short: Callable[[int, int], float]
    long: Callable[[int, int], float]


@dataclass(frozen=True, slots=True)
class PoolLoad:
    """What a pool of the given size does. Without requests: all zero."""

    ttft_p99: float
    itl_p99: float
    utilisation: float


@dataclass(frozen=True, slots=True)
class Load:
    short: PoolLoad
    long: PoolLoad


@dataclass(frozen=True, slots=True, kw_only=True)
class Constraints:
    """`candidates`: the thresholds to choose from; also the bins of length within which tasks stand for live prompts.

    `delta`: most that pass@1 may lose on the prompts that go to the short family, with `confidence`. `most_tail_loss`:
    most that the monotone fit may lose just below the threshold, where gains at shorter lengths do not make up for it;
    None: no limit. `load` gives both pools' at a threshold (a table's `__getitem__` will do). `short_window` holds
    prompt and `reserved_output` together. `regret`: of the cost, as a share. `least_effective`: tasks, after weighting
    by traffic (Kish). `most_uncovered`: share of the prompts that may lie in bins without tasks.
    """

    candidates: tuple[int, ...]
    delta: float
    load: Callable[[int], Load]
    most_ttft_p99: float
    most_itl_p99: float
    most_utilisation: float
    short_window: int
    reserved_output: int
    most_tail_loss: float | None = None
    confidence: float = 0.95
    regret: float = 0.02
    least_effective: float = 30.0
    most_uncovered: float = 0.05
    replicates: int = 400

    def __post_init__(self) -> None:
        ordered = tuple(sorted({0, *self.candidates}))
        if len(ordered) < 2 or ordered[0] < 0:
            raise ValueError(f"a threshold is a number of tokens, and there have to be some: {self.candidates}")
        if not 0 < self.delta < 1 or not 0.5 < self.confidence < 1 or self.regret < 0 or self.replicates < 100:
            raise ValueError("delta is in (0, 1), confidence in (.5, 1), regret not negative, replicates at least 100")
        object.__setattr__(self, "candidates", ordered)


HALF_OCTAVES = tuple(round(2 ** (step / 2)) for step in range(14, 35))
"""128 to 131,072 tokens."""
