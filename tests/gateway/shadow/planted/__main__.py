"""Planted truth, end to end over HTTP: `python -m tests.gateway.shadow.planted [coverage] [null] [threshold] [result]`.

Runs are kept in the folder as JSON, and one that is there is not run again. `result` writes result.md and result.json.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from functools import partial
from pathlib import Path

from tests.gateway.shadow.planted.result import write
from tests.gateway.shadow.planted.run import Run, one_run
from tests.gateway.shadow.planted.thresholds import WORLDS, World, fill, recognised, recommended
from tests.gateway.shadow.planted.worlds import as_claimed, form_of, icc_of, without_difference

SEED = 20230209
_STAGES = ("coverage", "null", "threshold", "result")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.gateway.shadow.planted", description=__doc__)
    parser.add_argument("stages", nargs="*", default=_STAGES, metavar="STAGE", help=", ".join(_STAGES))
    parser.add_argument("--folder", type=Path, default=Path(".planted"), help="of the runs")
    parser.add_argument("--runs", type=int, default=24, help="with the table's rates")
    parser.add_argument("--pairs", type=int, default=320, help="of each of them")
    parser.add_argument("--null-runs", type=int, default=20, help="without a difference")
    parser.add_argument("--null-pairs", type=int, default=240)
    parser.add_argument("--at-once", type=int, default=2, help="runs at the same time")
    parser.add_argument("--seed", type=int, default=SEED)
    return parser.parse_args()


def claimed_run(place: int, seed: int, pairs: int, folder: Path) -> Run:
    icc, seed = icc_of(place), seed + place
    planted = as_claimed(seed, icc)
    return one_run(folder, f"claimed-{place:02}", planted, seed=seed, icc=icc, form=form_of(place), pairs=pairs)


def null_run(place: int, seed: int, pairs: int, folder: Path) -> Run:
    icc, seed = icc_of(place), seed + 1_000 + place
    planted = without_difference(seed, icc)
    return one_run(folder, f"null-{place:02}", planted, seed=seed, icc=icc, form=form_of(place), pairs=pairs)


def threshold_run(folder: Path, world: World, seed: int) -> str:
    """Its store stays, and what is there is only asked again."""
    own, began = folder / f"threshold-{world.name.replace(' ', '-')}", time.monotonic()
    if not (own / "filled").exists():
        shutil.rmtree(own, ignore_errors=True)
        fill(own, world.planted(seed), seed, world.pairs)
        (own / "filled").touch()
    told = recommended(own, *world.options)
    (own / "told.json").write_text(json.dumps(told), encoding="utf-8")
    wrong = "; ".join(recognised(world, told)) or "nothing"
    return f"{world.name}: {told['evidence']['pairs']} pairs, wrong: {wrong}, in {time.monotonic() - began:.0f} s"


def kept(folder: Path, name: str, make: Callable[[Path], Run]) -> str:
    """Made unless it is there: what is to be said of it."""
    file = folder / f"{name}.json"
    if file.exists():
        return f"{name}: was there"
    scratch, began = folder / name, time.monotonic()
    shutil.rmtree(scratch, ignore_errors=True)
    made = make(scratch)
    new = file.with_suffix(".new")
    new.write_text(json.dumps(made.to_json()), encoding="utf-8")
    new.replace(file)
    shutil.rmtree(scratch, ignore_errors=True)
    return f"{name}: {len(made.draws)} pairs in {time.monotonic() - began:.0f} s"


def run_all(given: argparse.Namespace) -> None:
    stages = {
        "coverage": ("claimed", claimed_run, given.runs, given.pairs),
        "null": ("null", null_run, given.null_runs, given.null_pairs),
    }
    given.folder.mkdir(parents=True, exist_ok=True)
    thresholds = WORLDS if "threshold" in given.stages else ()
    with ThreadPoolExecutor(given.at_once) as pool:
        jobs = [
            pool.submit(kept, given.folder, f"{name}-{place:02}", partial(run, place, given.seed, pairs))
            for name, run, runs, pairs in (stages[stage] for stage in given.stages if stage in stages)
            for place in range(runs)
        ]
        jobs += [
            pool.submit(threshold_run, given.folder, world, given.seed + 2_000 + place)
            for place, world in enumerate(thresholds)
        ]
        for done in as_completed(jobs):
            print(done.result(), flush=True)


def main() -> int:
    given = arguments()
    given.folder = given.folder.absolute()
    run_all(given)
    if "result" in given.stages:
        write(given.folder, given.seed, Path(__file__).parent)
    return 0


if __name__ == "__main__":
    sys.exit(main())
