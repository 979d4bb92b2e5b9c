"""Three worlds of the threshold, through the live path: canaries at many lengths, the longer the less often solved.

Of each task the long family solves the same share at every length, and the short family that share times a factor which
hangs on the length alone; so all tasks cross at the same one.

A crossover needs many pairs to be shown: after 488 of the stream in result.md the answer was "by quality alone T = 0",
with 0 to 2,896 as its interval. Of 20 streams that were simulated without HTTP, 15 of 488 pairs named it within an
octave, and all 20 of 1,500.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import fsum
from pathlib import Path
from random import Random
from typing import Any

from gateway.engines.simulated.tasks import TaskSettings
from gateway.shadow.threshold.recommendation import Limit, Status
from tests.fakes.gateway import LONG, SHORT
from tests.gateway.shadow.planted.run import drawn_and_scored
from tests.gateway.shadow.planted.system import FIVE, Planted, canaries, command, system

CROSSING = 2_896
TOLERANCE = 2.0
"""A crossover is found if it is named within an octave."""

_SHORTEST, _LONGEST = 1_100, 8_192
TARGETS = (1_440, 2_040, 2_890, 4_090, 5_790, 8_190)
"""One just below each half octave: long enough for every task, so that all lengths have the same tasks."""
_EDGES = (1_448, 2_048, 2_896, 4_096, 5_793, _LONGEST)
_EASY = ("--ttft", "1000", "--itl", "100")
"""Waits limit nothing here."""


@dataclass(frozen=True)
class World:
    """`factors`: by length, what the short family solves of what the long one does. `hardest` and `easiest` task, of
    the long family. `delta`: what may be lost. `pairs`: at least so many. `options`: of the command.
    """

    name: str
    factors: Mapping[int, float]
    hardest: float
    easiest: float
    delta: float
    pairs: int
    options: tuple[str, ...]

    @property
    def mean(self) -> float:
        return (self.hardest + self.easiest) / 2

    def planted(self, seed: int) -> dict[str, Planted]:
        random, most = Random(f"{self.name} {seed}"), max(self.factors.values())
        long = {task: random.uniform(self.hardest, self.easiest) for task in FIVE.tasks}
        short = {task: most * rate for task, rate in long.items()}
        assert max(short.values()) <= 1
        factors = {tokens: factor / most for tokens, factor in self.factors.items()}
        return {SHORT: Planted(seed, by_task=short, length_factors=factors), LONG: Planted(seed, by_task=long)}

    def difference(self, tokens: int) -> float:
        """Short minus long in pass@1, as planted (mean over the tasks' distribution)."""
        most = max(self.factors.values())
        relative = TaskSettings(
            file=Path("unread"), length_factors={at: factor / most for at, factor in self.factors.items()}
        )
        return self.mean * (most * relative.length_factor(tokens) - 1)

    def true_loss(self, threshold: int) -> float:
        """On the traffic's prompts up to there."""
        sent = [tokens for tokens in live_lengths() if tokens <= threshold]
        return fsum(-self.difference(tokens) for tokens in sent) / len(sent) if sent else 0.0


CROSSOVER = World("crossover", {1_024: 5 / 3, _LONGEST: 1 / 3}, 0.3, 0.6, 0.05, 1_000, ("--rate", "0.5", *_EASY))
"""The factor is 1 at the geometric mean of both lengths, 2,896: there the families cross."""
_LITTLE = {2_048: 0.95, _LONGEST: 0.3}
DOMINANCE = World("dominance with cost", _LITTLE, 0.5, 0.9, 0.15, 480, ("--rate", "0.5", "--delta", "0.15", *_EASY))
"""The long family is better everywhere; by little, compared with what is allowed, up to 2,048 tokens."""
INFEASIBLE = World("infeasible", {1: 0.3}, 0.5, 0.9, 0.05, 480, ("--rate", "4", *_EASY))
"""The short family is far too bad at every length, and the long pool too small for all."""
WORLDS = (CROSSOVER, DOMINANCE, INFEASIBLE)


def live_lengths() -> list[int]:
    """Of live prompts: around 2,900 tokens, all within what canaries reach."""
    random = Random("traffic")
    return [min(_LONGEST, max(_SHORTEST, round(2 ** random.gauss(11.5, 0.8)))) for _ in range(2_400)]


def write_traffic(path: Path, prompts: Sequence[int]) -> None:
    """Prompts of so many tokens, over the hours of a day."""
    rows = (
        {"prompt_tokens": tokens, "output_tokens": 200, "hour": f"2026-11-28T{place % 24:02}"}
        for place, tokens in enumerate(prompts)
    )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def fill(folder: Path, planted: Mapping[str, Planted], seed: int, pairs: int, lengths: Sequence[int] = TARGETS) -> None:
    """With what `shadow threshold` reads: shadow.db, yardstick.yaml, traffic.jsonl. `lengths`: of the prompts."""
    ups = [min(edge for edge in _EDGES if edge >= length) for length in lengths]
    buckets = [{"up_to": up_to, "weight": 1 / len(ups)} for up_to in ups]
    inflation = {"enabled": True, "targets": list(lengths)}
    settings = canaries(seed, forms=["instruct"], lengths=buckets, inflation=inflation)
    with system(folder, planted, settings) as running:
        drawn_and_scored(running, pairs)


def recommended(folder: Path, *options: str, traffic: Sequence[int] = ()) -> dict[str, Any]:
    """What `yardstick shadow threshold --json` says, with its exit code."""
    write_traffic(folder / "traffic.jsonl", traffic or live_lengths())
    files = ("--config", str(folder / "yardstick.yaml"), "--traffic", str(folder / "traffic.jsonl"))
    store = ("--store", f"sqlite:///{folder / 'shadow.db'}")
    done = command("shadow", "threshold", *files, *store, *options, "--json")
    assert done.returncode in (0, 1, 2), done.stderr + done.stdout
    return {**json.loads(done.stdout), "exit_code": done.returncode}


def recognised(world: World, told: Mapping[str, Any]) -> list[str]:
    """What is wrong with the answer; nothing if the world was recognised."""
    found = {
        CROSSOVER.name: lambda: {
            "a threshold is recommended": told["status"] == Status.RECOMMENDED,
            "the crossover is within an octave": CROSSING / TOLERANCE <= told["quality_alone"] <= CROSSING * TOLERANCE,
        },
        DOMINANCE.name: lambda: {
            "a threshold is recommended": told["status"] == Status.RECOMMENDED,
            "by quality alone the long family answers all": told["quality_alone"] == 0,
            "cost takes the threshold above 0": bool(told["threshold"]),
            "what it loses in truth is allowed": world.true_loss(told["threshold"] or 0) <= world.delta,
        },
        INFEASIBLE.name: lambda: {
            "no threshold is feasible": told["status"] == Status.INFEASIBLE and told["exit_code"] == 1,
            "quality and the long pool's size are named": told["conflict"] == [Limit.QUALITY, Limit.LONG_UTILISATION],
        },
    }[world.name]()
    return [what for what, holds in found.items() if not holds]
