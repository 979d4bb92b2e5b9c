"""Seeded arrivals for a scheduler: equal seeds are equal workloads, for vLLM's own and for the simulated one.

A step's arrivals come, and its aborts are made, before it is scheduled. Prompts and answers are given as token ids.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from random import Random
from typing import Any

from gateway.engines.simulated.scheduler import SchedulerSettings

SMALL_SEEDS = range(40)
CONTENDED_SEEDS = range(200, 206)
LARGE_SEEDS = range(100, 108)
_BLOCK_TOKENS = 16
_VOCABULARY = 100  # few, so that equal blocks come about


@dataclass(frozen=True, slots=True)
class Arrival:
    """``answer``: what it will generate, at least one token. ``arrived`` need not be unique: names break ties."""

    name: str
    prompt: list[int]
    answer: list[int]
    priority: int
    arrived: float


@dataclass(frozen=True, slots=True)
class Step:
    """``aborts``: names of sequences that came before. Those that have ended by then are none."""

    arrivals: list[Arrival]
    aborts: list[str]


@dataclass(frozen=True, slots=True)
class Workload:
    name: str
    settings: SchedulerSettings
    steps: list[Step]

    @property
    def prompt_lengths(self) -> dict[str, int]:
        """In tokens, by the arrivals' names."""
        return {arrival.name: len(arrival.prompt) for step in self.steps for arrival in step.arrivals}

    def as_json(self) -> dict[str, Any]:
        steps = [
            {"arrivals": [_fields(arrival) for arrival in step.arrivals], "aborts": step.aborts} for step in self.steps
        ]
        return {"settings": _fields(self.settings), "steps": steps}


def _fields(record: Any) -> dict[str, Any]:
    """Without copies of what they hold, which `asdict` makes of every number of a prompt."""
    return {field.name: getattr(record, field.name) for field in fields(record)}


def workloads() -> list[Workload]:
    made = [small(seed) for seed in SMALL_SEEDS] + [contended(seed) for seed in CONTENDED_SEEDS]
    return made + [large(seed) for seed in LARGE_SEEDS]


def small(seed: int) -> Workload:
    """Many short sequences in a KV cache that is too small for them."""
    random = Random(seed)
    window = random.choice([64, 200, 600])
    settings = SchedulerSettings(
        num_blocks=-(-window // _BLOCK_TOKENS) + 1 + random.choice([0, 1, 3, 10, 40]),
        max_model_len=window,
        max_num_batched_tokens=random.choice([16, 33, 64, 256]),
        max_num_seqs=random.choice([1, 2, 4, 16]),
        long_prefill_token_threshold=random.choice([0, 0, 5, 16, 40]),
        **_switches(random),
    )
    return _workload(f"small {seed}", random, settings, steps=200, every=random.choice([1, 2, 6]))


def contended(seed: int) -> Workload:
    """Several prompts in parts at once, of unequal priority, until no block is free."""
    random = Random(seed)
    settings = SchedulerSettings(
        num_blocks=random.choice([39, 42, 50]),
        max_model_len=600,
        max_num_batched_tokens=random.choice([40, 64, 100]),
        max_num_seqs=16,
        long_prefill_token_threshold=random.choice([16, 24]),
        policy="priority",
        reserve_full_prompt=False,
    )
    return _workload(f"contended {seed}", random, settings, steps=200, every=4)


def large(seed: int) -> Workload:
    """Prompts of up to 128K tokens among short ones."""
    random = Random(seed)
    settings = SchedulerSettings(
        num_blocks=random.choice([8_200, 10_000, 12_000]),
        max_model_len=131_072,
        max_num_batched_tokens=random.choice([2_048, 8_192]),
        max_num_seqs=random.choice([8, 256]),
        long_prefill_token_threshold=random.choice([0, 2_048, 4_096]),
        **_switches(random),
    )
    return _workload(f"large {seed}", random, settings, steps=160, every=4)


def _switches(random: Random) -> dict[str, Any]:
    return {
        "policy": random.choice(["fcfs", "priority"]),
        "prefix_caching": random.random() < 0.8,
        "reserve_full_prompt": random.random() < 0.6,
        "watermark": random.choice([0.0, 0.0, 0.1, 0.3]),
    }


def _workload(name: str, random: Random, settings: SchedulerSettings, *, steps: int, every: int) -> Workload:
    """Now and then up to three arrivals at once, in the first two thirds of the steps; aborts in all of them.

    ``every``: steps from one chance of an arrival to the next.
    """
    prefixes = [random.choices(range(_VOCABULARY), k=settings.max_model_len) for _ in range(3)]
    names: list[str] = []
    made: list[Step] = []
    for number in range(steps):
        chance = number % every == 0 and number < steps * 2 // 3
        count = random.choice([0, 1, 1, 3]) if chance else 0
        arrivals = [_arrival(random, settings, prefixes, len(names) + each) for each in range(count)]
        names += [arrival.name for arrival in arrivals]
        aborts = [random.choice(names[-20:])] if names and random.random() < 0.1 else []
        made.append(Step(arrivals, aborts))
    return Workload(name, settings, made)


def _arrival(random: Random, settings: SchedulerSettings, prefixes: list[list[int]], number: int) -> Arrival:
    """Its beginning is shared with others'; with priorities, some arrive at equal times."""
    window = settings.max_model_len
    length = min(_length(random, window), window - 1)
    if random.random() < 0.3:  # whole blocks, perhaps all of them another's
        length = max(1, length // _BLOCK_TOKENS) * _BLOCK_TOKENS
    shared = random.choice([random.randrange(length), length])
    prompt = random.choice(prefixes)[:shared] + random.choices(range(_VOCABULARY), k=length - shared)
    together = random.random() < 0.3
    return Arrival(
        name=f"{random.randrange(1000):03}-{number}",
        prompt=prompt,
        answer=random.choices(range(_VOCABULARY), k=random.randint(1, min(window - length, 80))),
        priority=random.randrange(3) if settings.policy == "priority" else 0,
        arrived=float(random.randrange(4) if together else number),
    )


def _length(random: Random, window: int) -> int:
    if window < 10_000:
        return random.randrange(1, window - 2)
    return int(
        random.choice([random.uniform(50, 4_000), random.uniform(5_000, 30_000), random.uniform(30_000, 130_000)])
    )
