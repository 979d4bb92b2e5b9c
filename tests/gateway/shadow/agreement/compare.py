"""Where two harnesses differ, and whether that lasts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.gateway.shadow.agreement.samples import Judged
from tests.gateway.shadow.agreement.verdicts import Said

KNOWN = Path(__file__).with_name("known.json")
LARGEST_SHARE = 0.005
Judge = Callable[[Sequence[Judged]], Mapping[str, Said]]


@dataclass(frozen=True, slots=True)
class Difference:
    """``official`` and ``ours``: what each said at first and in the runs alone that followed.

    ``cause``: from the file of known differences, by sample or by task; empty if it isn't explained.
    """

    id: str
    official: tuple[Said, ...]
    ours: tuple[Said, ...]
    cause: str = ""

    @property
    def flake(self) -> bool:
        """The official harness differs from itself, so it can't be agreed with."""
        return len({said.verdict for said in self.official}) > 1

    @property
    def lasting(self) -> bool:
        """No verdict was given by both, and the official one is always the same."""
        return not self.flake and not {said.verdict for said in self.official} & {
            said.verdict for said in self.ours[1:]
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """``passing``: a pair disagreed at first and agreed whenever it was run alone: the machine was busy."""

    samples: int
    lasting: tuple[Difference, ...]
    flakes: tuple[Difference, ...]
    passing: tuple[Difference, ...]

    @property
    def share(self) -> float:
        return len(self.lasting) / self.samples

    @property
    def unexplained(self) -> tuple[Difference, ...]:
        return tuple(difference for difference in self.lasting if not difference.cause)

    @property
    def agrees(self) -> bool:
        """A small sample may hold one difference that is explained: half a per cent of it is less than one."""
        return not self.unexplained and len(self.lasting) <= max(1, int(self.samples * LARGEST_SHARE))


def compare(
    samples: Sequence[Judged],
    official: Mapping[str, Said],
    ours: Mapping[str, Said],
    again: tuple[Judge, Judge],
    *,
    repeats: int,
    known: Mapping[str, str],
) -> Comparison:
    """``again``: the official harness and ours once more, on samples that differed, one at a time."""
    differing = [sample for sample in samples if official[sample.id].verdict != ours[sample.id].verdict]
    runs = [(official, ours)]
    if differing:
        runs += [(again[0](differing), again[1](differing)) for _ in range(repeats)]
    differences = [
        Difference(
            sample.id,
            tuple(run[0][sample.id] for run in runs),
            tuple(run[1][sample.id] for run in runs),
            known.get(sample.id) or known.get(sample.task.task_id, ""),
        )
        for sample in differing
    ]
    flakes = tuple(difference for difference in differences if difference.flake)
    lasting = tuple(difference for difference in differences if difference.lasting)
    passing = tuple(each for each in differences if not each.flake and not each.lasting)
    return Comparison(len(samples), lasting, flakes, passing)


def read_known(path: Path = KNOWN) -> dict[str, str]:
    known: dict[str, str] = json.loads(path.read_text(encoding="utf-8"))
    return known
