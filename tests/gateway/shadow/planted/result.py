"""From the runs that were kept to result.md and result.json."""

from __future__ import annotations

import json
import platform
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from statistics import fmean
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from gateway.shadow.gate.decision import Answer
from tests.fakes.gateway import LONG, SHORT
from tests.gateway.shadow.planted.coverage import (
    DIFFERENCE,
    LIKE_THESE,
    THIS_SUITE,
    Cell,
    Coverage,
    Verdicts,
    cells,
    coverage,
    verdicts,
)
from tests.gateway.shadow.planted.looks import ALMOST_NOTHING, ORDERS, PIECE, alarms, answer_at_the_end
from tests.gateway.shadow.planted.run import DELTA, Run
from tests.gateway.shadow.planted.thresholds import CROSSING, DOMINANCE, WORLDS, recognised
from tests.gateway.shadow.planted.without_http import without_http
from tests.gateway.shadow.planted.worlds import as_claimed, without_difference

_EITHER = frozenset({Answer.HOLDS, Answer.VIOLATED})
_VIOLATED = frozenset({Answer.VIOLATED})
_NAMES = {SHORT: SHORT, LONG: LONG, DIFFERENCE: "difference of both"}


def runs_in(folder: Path, name: str) -> list[Run]:
    return [Run.from_json(json.loads(each.read_bytes())) for each in sorted(folder.glob(f"{name}-*.json"))]


def measured(folder: Path, seed: int) -> dict[str, Any]:
    """All that result.json has."""
    claimed, null = runs_in(folder, "claimed"), runs_in(folder, "null")
    worse = [run for run in claimed if run.difference < 0]
    gate = {
        "no difference, delta 0.05: violated": alarms(null, [DELTA] * len(null), _VIOLATED, seed),
        "no difference, delta 0.001: violated": alarms(null, [ALMOST_NOTHING] * len(null), _VIOLATED, seed),
        "delta is the planted deficit: either answer": alarms(worse, [-run.difference for run in worse], _EITHER, seed),
    }
    checked = [
        *(verdicts(run, as_claimed(run.seed, run.icc)) for run in claimed),
        *(verdicts(run, without_difference(run.seed, run.icc)) for run in null),
    ]
    return {
        "command": f"python -m tests.gateway.shadow.planted --runs {len(claimed)} --null-runs {len(null)}",
        "seed": seed,
        "versions": _versions(),
        "runs": {"claimed": _sizes(claimed), "null": _sizes(null)},
        "verdicts": asdict(Verdicts(*(sum(parts) for parts in zip(*map(_counts, checked), strict=True)))),
        "gate_says_the_same": all(answer_at_the_end(run, DELTA) == run.gate["exit_code"] for run in [*claimed, *null]),
        "checks": _checks([*claimed, *null]),
        "coverage": [row | asdict(found) | {"consistent": found.consistent} for row, found in _coverage(claimed)],
        "without_http": without_http(seed + 10_000, round(fmean(len(run.draws) for run in claimed))),
        "gate": {name: asdict(found) for name, found in gate.items()},
        "threshold": list(_thresholds(folder)),
    }


def _counts(found: Verdicts) -> tuple[int, int, int]:
    return found.answers, found.wrong, found.left_out


def _coverage(claimed: Sequence[Run]) -> Iterator[tuple[dict[str, str], Coverage]]:
    every = [cell for run in claimed for cell in cells(run)]

    def row(estimand: str, of: str, part: str, found: Iterable[Cell]) -> tuple[dict[str, str], Coverage]:
        return {"estimand": estimand, "of": of, "part": part}, coverage(found)

    by_category = [cell for cell in every if cell.part != "all" and cell.of != DIFFERENCE]
    yield row(THIS_SUITE, "both families", "categories, pooled", by_category)
    for estimand in (THIS_SUITE, LIKE_THESE):
        whole = [cell for cell in every if (cell.part, cell.estimand) == ("all", estimand)]
        yield row(estimand, "both families", "all", [cell for cell in whole if cell.of != DIFFERENCE])
    parts = sorted({(cell.estimand, cell.of, cell.part) for cell in every})
    for estimand, of, part in sorted(parts, key=lambda each: (each[0] == LIKE_THESE, each[1], each[2])):
        same = [cell for cell in every if (cell.estimand, cell.of, cell.part) == (estimand, of, part)]
        yield row(estimand, _NAMES[of], part, same)


def _thresholds(folder: Path) -> Iterator[dict[str, Any]]:
    for world in WORLDS:
        told_in = folder / f"threshold-{world.name.replace(' ', '-')}" / "told.json"
        if told_in.exists():
            told = json.loads(told_in.read_bytes())
            names = (
                "status",
                "threshold",
                "quality_alone",
                "crossover",
                "conflict",
                "binding",
                "evidence",
                "effective",
            )
            yield {
                "world": world.name,
                **{name: told[name] for name in names},
                "true_loss": world.true_loss(told["threshold"] or 0),
                "wrong": recognised(world, told),
            }


def _sizes(runs: Sequence[Run]) -> dict[str, Any]:
    return {"count": len(runs), "pairs": sum(len(run.draws) for run in runs), "of_each": [len(r.draws) for r in runs]}


def _checks(runs: Sequence[Run]) -> dict[str, int]:
    checks = [run.checks for run in runs]
    return {
        "controls": sum(sum(each[name].values()) for each in checks for name in ("canonical", "known_bad")),
        "failing_controls": sum(each["canonical"]["failed"] + each["known_bad"]["passed"] for each in checks),
        "scored_again": sum(each["scored_again"] for each in checks),
        "flipped": sum(each["flipped"] for each in checks),
    }


def _versions() -> dict[str, str]:
    kernel = platform.release().split("-")[0]
    bubblewrap = subprocess.run(["bwrap", "--version"], capture_output=True, text=True, check=False).stdout.split()
    return {
        "python": platform.python_version(),
        "yardstick": version("yardstick"),
        "linux": kernel,
        "bubblewrap": bubblewrap[-1] if bubblewrap else "none",
    }


def text(found: dict[str, Any]) -> str:
    """Of result.md."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"ends": lambda ends: f"{ends[0]:.1%} to {ends[1]:.1%}", "count": lambda n: f"{n:,}"}
    constants = {"orders": ORDERS, "piece": PIECE, "crossing": CROSSING, "dominance_delta": DOMINANCE.delta}
    return environment.get_template("result.md.j2").render(**found, **constants)


def write(folder: Path, seed: int, into: Path) -> None:
    found = measured(folder, seed)
    (into / "result.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (into / "result.md").write_text(text(found).rstrip() + "\n", encoding="utf-8")
