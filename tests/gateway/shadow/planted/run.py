"""One run, end to end over HTTP: canaries are drawn, asked of both families, stored, scored in the sandbox and told."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gateway.shadow.gate.draws import Kind
from gateway.shadow.store import State, Store, Wanted, open_store
from tests.fakes.gateway import LONG, SHORT
from tests.gateway.shadow.planted.system import FIVE, Planted, System, canaries, system

MODELS = (SHORT, LONG)
_PATIENCE = 3_600.0


@dataclass(frozen=True)
class Draw:
    """A canary pair, in the order of drawing; None: no verdict. `tokens`: of its prompt, in the routing tokenizer."""

    task_id: str
    tokens: int
    first: bool | None
    second: bool | None
    propensity: float


@dataclass(frozen=True)
class Run:
    """`rates`: planted, of each model's tasks. `report`: what `shadow report --json` says. `gate`: what `shadow gate
    --json` says, with a delta of DELTA. `checks`: controls, and what was scored again, as the report has them."""

    name: str
    seed: int
    icc: float
    form: str
    rates: Mapping[str, Mapping[str, float]]
    draws: Sequence[Draw]
    report: Mapping[str, Any]
    gate: Mapping[str, Any]
    checks: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Run:
        return cls(**{**data, "draws": [Draw(**each) for each in data["draws"]]})

    @property
    def difference(self) -> float:
        """First minus second in pass@1 of a draw, as planted: tasks are drawn with the same chance."""
        first, second = (self.rates[model] for model in MODELS)
        return sum(first[task] - second[task] for task in FIVE.tasks) / len(FIVE.tasks)


DELTA = 0.05
POLICY = """\
first: {{family: codegeex, model: {short}}}
second: {{family: iquest, model: {long}}}
delta: {delta}
least_reruns: 0
buckets: [{{up_to: 131072, weight: 1.0}}]
"""
"""Nothing but its bounds keeps the gate from answering: flips need no reruns to have been seen."""


def policy(delta: float) -> str:
    return POLICY.format(short=SHORT, long=LONG, delta=f"{delta:.12f}")


def one_run(
    folder: Path, name: str, planted: Mapping[str, Planted], *, seed: int, icc: float, form: str, pairs: int
) -> Run:
    """At least so many pairs. Its folder is left behind."""
    with system(folder, planted, canaries(seed, forms=[form])) as running:
        drawn_and_scored(running, pairs)
        report = json.loads(_said(running, "report", "--json"))
        policy_file = folder / "policy.yaml"
        policy_file.write_text(policy(DELTA), encoding="utf-8")
        gate = json.loads(_said(running, "gate", "--policy", str(policy_file), "--json", codes=(0, 1, 2)))
        with open_store(running.store) as store:
            draws = stored_draws(store)
        return Run(name, seed, icc, form, running.rates, draws, report, gate, report["checks"])


def drawn_and_scored(running: System, pairs: int) -> None:
    """The gateway ends when so many are drawn, the workers when all are scored."""
    with open_store(running.store) as store:
        running.wait(lambda: len(stored_draws(store)) >= pairs, _PATIENCE)
        assert running.gateway.end() == 0, running.gateway.text
        store.settle(float("inf"), [State.ASKED])  # the gateway is gone: nobody answers any more
        crew = list(running.workers)
        while any(store.backlog().values()):
            for worker in crew:
                worker.require_alive()
            time.sleep(0.5)
        for worker in crew:
            assert worker.end() == 0, worker.text


def stored_draws(store: Store) -> list[Draw]:
    found = []
    for drawn in store.evidence.samples(Wanted(kind=Kind.CANARY)):
        if drawn.sample.control is None and drawn.pair is not None:
            first, second = (None if each.outcome is None else each.outcome.passed for each in drawn.pair)
            sample = drawn.sample
            found.append(Draw(sample.task_id, sample.prompt_tokens, first, second, sample.propensity))
    return found


def _said(running: System, *arguments: str, codes: tuple[int, ...] = (0,)) -> str:
    done = running.command("shadow", *arguments)
    assert done.returncode in codes, done.stderr + done.stdout
    return done.stdout
