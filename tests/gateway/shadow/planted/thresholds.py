"""Three worlds of the threshold, through the live path: canaries at many lengths, the longer the less often solved.

Of each task the long family solves the same share at every length, and the short family that share times a factor which
hangs on the length alone; so all tasks cross at the same one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
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

CROSSING = 2_048
TOLERANCE = 2.0
"""A crossover is found if it is named within an octave."""

_LONGEST = 8_192
_LENGTHS = [{"up_to": up_to, "weight": 0.2} for up_to in (512, 1_024, 2_048, 4_096, _LONGEST)]
_EASY = ("--ttft", "1000", "--itl", "100")


@dataclass(frozen=True)
class World:
    """`factors`: by length, what the short family solves of what the long one does. `hardest` and `easiest` task, of
    the long family. `delta`: what may be lost. `options`: of the command.
    """

    name: str
    factors: Mapping[int, float]
    hardest: float
    easiest: float
    delta: float
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
        sent = [tokens for tokens in lengths() if tokens <= threshold]
        return fsum(-self.difference(tokens) for tokens in sent) / len(sent) if sent else 0.0


_FALLS = {512: 5 / 3, _LONGEST: 1 / 3}
"""1 at their geometric mean, which is 2,048."""

CROSSOVER = World("crossover", _FALLS, 0.3, 0.6, 0.05, ("--rate", "0.5", *_EASY))
DOMINANCE = World(
    "dominance with cost", {2_048: 0.85, _LONGEST: 0.4}, 0.5, 0.9, 0.2, ("--rate", "0.5", "--delta", "0.2", *_EASY)
)
"""The long family is better everywhere; by little, compared with what is allowed, up to 2,048 tokens."""
INFEASIBLE = World("infeasible", {1: 0.3}, 0.5, 0.9, 0.05, ("--rate", "4", *_EASY))
"""The short family is far too bad at every length, and the long pool too small for all."""
WORLDS = (CROSSOVER, DOMINANCE, INFEASIBLE)


def lengths() -> list[int]:
    """Of live prompts: around 1,450 tokens, all within what canaries reach."""
    random = Random("traffic")
    return [min(_LONGEST, max(64, round(2 ** random.gauss(10.5, 1.3)))) for _ in range(2_400)]


def write_traffic(path: Path) -> None:
    rows = (
        {"prompt_tokens": tokens, "output_tokens": 200, "hour": f"2026-11-28T{place % 24:02}"}
        for place, tokens in enumerate(lengths())
    )
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


def fill(folder: Path, world: World, seed: int, pairs: int) -> None:
    """With what `shadow threshold` reads: shadow.db, yardstick.yaml, traffic.jsonl."""
    inflation = {"enabled": True}
    settings = canaries(seed, forms=["instruct"], lengths=_LENGTHS, inflation=inflation)
    with system(folder, world.planted(seed), settings) as running:
        drawn_and_scored(running, pairs)
    write_traffic(folder / "traffic.jsonl")


def recommended(folder: Path, world: World) -> dict[str, Any]:
    """What `yardstick shadow threshold --json` says, with its exit code."""
    files = ("--config", str(folder / "yardstick.yaml"), "--traffic", str(folder / "traffic.jsonl"))
    store = ("--store", f"sqlite:///{folder / 'shadow.db'}")
    done = command("shadow", "threshold", *files, *store, *world.options, "--json")
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
