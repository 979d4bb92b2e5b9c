"""Planted worlds for the threshold: tasks with Beta rates whose mean difference is known at every length."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import fsum, log2
from random import Random

from gateway.engines.simulated.presets import PRESETS, Preset
from gateway.shadow.threshold.inputs import (
    HALF_OCTAVES,
    Constraints,
    Costs,
    LivePrompt,
    Load,
    PoolLoad,
    TaskDifference,
)
from gateway.shadow.threshold.recommend import recommend
from gateway.shadow.threshold.recommendation import Recommendation
from tests.gateway.shadow.coverage import chances

MEAN = 0.6
RUNS_A_TASK = 4
BIGCODEBENCH = 1_140
"""Tasks of the full suite."""

CANDIDATES = tuple(edge for edge in HALF_OCTAVES if edge <= 32_768)
IDLE = PoolLoad(ttft_p99=0.5, itl_p99=0.05, utilisation=0.4)
_BATCH = 16


@dataclass(frozen=True)
class World:
    """`difference`: short minus long in pass@1 at a length. `load`: of both pools at a threshold."""

    name: str
    difference: Callable[[int], float]
    load: Callable[[int], Load] = lambda threshold: Load(IDLE, IDLE)
    most_tail_loss: float | None = None


def _busy_below(enough: int) -> Callable[[int], Load]:
    """The long pool is too small unless prompts of up to `enough` tokens go elsewhere."""
    busy = PoolLoad(ttft_p99=0.5, itl_p99=0.05, utilisation=1.2)
    return lambda threshold: Load(IDLE, IDLE if threshold >= enough else busy)


CROSSING = 2_048
CROSSOVER = World("crossover", lambda length: 0.06 * (log2(CROSSING) - log2(length)))
TAIL_LIMITED = World("crossover, tail limited", CROSSOVER.difference, most_tail_loss=0.05)
"""The difference is -.05 at 3,649 tokens."""

DOMINANCE = World("dominance with cost", lambda length: -0.01 - 0.06 * max(0.0, log2(length) - log2(4_096)))
"""The long family is better everywhere, by little up to 4,096 tokens."""
INFEASIBLE = World("infeasible", lambda length: -0.2, _busy_below(4_096))
FLAT = World("just not allowed", lambda length: -0.05)


def _gpu_seconds(preset: Preset) -> Callable[[int, int], float]:
    """Of a prompt alone, and of its tokens in a batch of 16."""

    @cache
    def seconds(prompt: int, output: int) -> float:
        decoding = output * preset.step_time.decode(prompt + output // 2, _BATCH) / _BATCH
        return preset.machine.gpus * (preset.step_time.prefill(prompt, 8_192) + decoding)

    return seconds


COSTS = Costs(_gpu_seconds(PRESETS["codegeex4-9b-h100"]), _gpu_seconds(PRESETS["iquest-40b-loop-tp4-h100"]))


def constraints(world: World, replicates: int) -> Constraints:
    return Constraints(
        candidates=CANDIDATES,
        delta=0.05,
        load=world.load,
        most_ttft_p99=2.0,
        most_itl_p99=0.2,
        most_utilisation=0.8,
        short_window=131_072,
        reserved_output=2_048,
        most_tail_loss=world.most_tail_loss,
        replicates=replicates,
    )


def length(random: Random, shift: float = 0.0) -> int:
    return min(60_000, max(32, round(2 ** random.gauss(10.5 + shift, 1.8))))


def traffic(random: Random, hours: int = 72, prompts: int = 40) -> list[LivePrompt]:
    """Hours differ in how long their prompts are."""
    found = []
    for hour in range(hours):
        shift = random.gauss(0, 0.4)
        for _ in range(prompts):
            output = round(2 ** random.uniform(6, 10) / 16) * 16
            found.append(LivePrompt(length(random, shift), output, f"hour {hour}"))
    return found


def tasks(random: Random, world: World, count: int, icc: float = 0.3) -> list[TaskDifference]:
    """Lengths spread evenly over octaves; the mean difference of both chances is the planted one at every length."""
    found = []
    for number, long in enumerate(chances(random, count, MEAN, icc)):
        tokens = round(2 ** random.uniform(6.5, 15))
        planted = world.difference(tokens)
        short = long * (1 + planted / MEAN) if planted < 0 else 1 - (1 - long) * (1 - planted / (1 - MEAN))
        passed = [sum(random.random() < rate for _ in range(RUNS_A_TASK)) for rate in (short, long)]
        found.append(TaskDifference(f"task {number}", tokens, (passed[0] - passed[1]) / RUNS_A_TASK))
    return found


@cache
def _population() -> list[int]:
    return [prompt.prompt_tokens for prompt in traffic(Random(0), hours=2_000, prompts=20)]


def true_loss(world: World, threshold: int) -> float:
    """Mean loss on the prompts up to the threshold, over 40,000 prompts."""
    sent = [tokens for tokens in _population() if tokens <= threshold]
    return fsum(-world.difference(tokens) for tokens in sent) / len(sent) if sent else 0.0


def recommended(
    world: World, seed: int, count: int = BIGCODEBENCH, replicates: int = 200, icc: float = 0.3
) -> Recommendation:
    random = Random(seed)
    return recommend(tasks(random, world, count, icc), traffic(random), COSTS, constraints(world, replicates), random)
