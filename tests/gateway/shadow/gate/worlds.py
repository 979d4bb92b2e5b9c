"""Planted worlds for the gate: suites of tasks with Beta rates, drawn with declared weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import fsum
from random import Random

from gateway.shadow.gate.draws import Control, Event, Outcome, Pair, Rerun, Served, StreamKey
from gateway.shadow.gate.policy import Policy
from tests.gateway.shadow.coverage import chances

FIRST = Served("codegeex", "codegeex4-all-9b", "r1", "vllm 0.32.0", "bfloat16", "t1", "temperature 0.2")
SECOND = Served("iquest", "iquest-coder-v1-40b-loop-instruct", "r1", "vllm 0.32.0", "bfloat16", "t1", "temperature 0.2")
KEY = StreamKey(FIRST, SECOND, suite="five:1", sandbox="image:1", form="complete")

POLICY = """
first: {family: codegeex, model: codegeex4-all-9b}
second: {family: iquest, model: iquest-coder-v1-40b-loop-instruct}
delta: 0.05
buckets:
  - {up_to: 2048, weight: 0.6}
  - {up_to: 8192, weight: 0.4}
"""
TWO_BUCKETS = Policy.from_yaml(POLICY)
LENGTHS = (1000, 5000)
"""A prompt of each bucket."""

TASKS = 40


def outcome(passed: bool) -> Outcome:
    return Outcome.PASS if passed else Outcome.FAIL


def pair(difference: int, prompt_tokens: int = LENGTHS[0], key: StreamKey = KEY) -> Pair:
    return Pair(key, prompt_tokens, outcome(difference > 0), outcome(difference < 0))


def controls(key: StreamKey = KEY) -> list[Event]:
    return [Control(key, True, Outcome.PASS), Control(key, False, Outcome.FAIL)]


def reruns(count: int = 20, flips: int = 0, key: StreamKey = KEY) -> list[Event]:
    return [Rerun(key, Outcome.PASS, outcome(place >= flips)) for place in range(count)]


@dataclass(frozen=True)
class Suite:
    """Tasks of one bucket: declared weights, and both families' chances."""

    weights: list[float]
    first: list[float]
    second: list[float]

    def draw(self, random: Random, prompt_tokens: int) -> Pair:
        (task,) = random.choices(range(len(self.weights)), self.weights)
        first, second = random.random() < self.first[task], random.random() < self.second[task]
        return Pair(KEY, prompt_tokens, outcome(first), outcome(second))


def suite(random: Random, deficit: float, icc: float, mean: float = 0.6) -> Suite:
    """Half of the tasks are as hard for one family as for the other; the weighted deficit is exactly that."""
    weights = [random.gammavariate(2, 1) for _ in range(TASKS)]
    weights = [weight / fsum(weights) for weight in weights]
    second = chances(random, TASKS, mean, icc)
    other = chances(random, TASKS, mean, icc)
    first = [a if random.random() < 0.5 else b for a, b in zip(second, other, strict=True)]
    target = _mean(weights, second) - deficit
    assert 0 < target < 1
    now = _mean(weights, first)
    if target <= now:
        first = [rate * target / now for rate in first]
    else:
        first = [1 - (1 - rate) * (1 - target) / (1 - now) for rate in first]
    assert abs(_mean(weights, second) - _mean(weights, first) - deficit) < 1e-9
    return Suite(weights, first, second)


def stream(random: Random, deficits: tuple[float, ...], icc: float, length: int) -> Iterator[Event]:
    """`length` pairs over the policy's buckets by its weights, with controls among them."""
    suites = [suite(random, deficit, icc) for deficit in deficits]
    yield from controls()
    yield from reruns()
    for place in range(length):
        if place and place % TWO_BUCKETS.pairs_per_control == 0:
            yield from controls()
        (bucket,) = random.choices(range(2), [settings.weight for settings in TWO_BUCKETS.buckets])
        yield suites[bucket].draw(random, LENGTHS[bucket])


def _mean(weights: list[float], rates: list[float]) -> float:
    return fsum(weight * rate for weight, rate in zip(weights, rates, strict=True))
