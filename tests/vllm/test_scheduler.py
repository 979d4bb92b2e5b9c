"""The simulated scheduler does in every step what vLLM's own Scheduler does with the same arrivals."""

from __future__ import annotations

import json
import subprocess
import zlib
from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.engines.simulated.kv import Prompt
from gateway.engines.simulated.scheduler import Entry, Scheduler, SchedulerSettings

from .servers import vllm_python
from .workloads import Arrival, Workload, workloads

_TRACE = Path(__file__).parent / "inside" / "scheduler_trace.py"
Seen = dict[str, Any]
Traced = list[tuple[Workload, list[Seen]]]


@pytest.fixture(scope="module")
def traced() -> Traced:
    """Every workload with what vLLM's scheduler did in each of its steps: one process for all."""
    python = vllm_python()
    made = workloads()
    given = json.dumps([workload.as_json() for workload in made])
    ran = subprocess.run([python, _TRACE], input=given, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-4000:]
    lines = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("[")]
    return list(zip(made, lines, strict=True))


class Replay:
    """The simulated scheduler, driven and described as inside/scheduler_trace.py drives and describes vLLM's."""

    def __init__(self, settings: SchedulerSettings) -> None:
        self._scheduler = Scheduler(settings)
        self._live: dict[str, tuple[Entry, list[int]]] = {}

    def add(self, arrival: Arrival) -> None:
        entry = Entry(arrival.name, Prompt(arrival.prompt), priority=arrival.priority, arrived=arrival.arrived)
        self._live[arrival.name] = (entry, arrival.answer)
        self._scheduler.add(entry)

    def abort(self, name: str) -> None:
        """Harmless for one that has ended."""
        if name in self._live:
            self._scheduler.finish(self._live.pop(name)[0])

    def step(self) -> Seen:
        scheduler, live = self._scheduler, self._live
        plan = scheduler.schedule()
        entries = {name: entry for name, (entry, _) in live.items()}
        seen = {
            "tokens": [[name, tokens] for name, tokens in plan.tokens.items()],
            "hits": plan.hits,
            "counted_hits": sum(plan.hits.values()),
            "preempted": sorted(entry.name for entry in plan.preempted),
            "preemptions": {name: entry.preemptions for name, entry in entries.items()},
            "computed": {name: entry.computed for name, entry in entries.items()},
            "running": [entry.name for entry in scheduler.running],
            "waiting": [entry.name for entry in scheduler.waiting],
            "blocks": {name: _block_digest(entry.blocks) for name, entry in entries.items()},
            "usage": pytest.approx(scheduler.pool.usage, abs=1e-9),
        }
        return {**seen, "ended": sorted(name for name in plan.tokens if self._generate(name))}

    def _generate(self, name: str) -> bool:
        """Its next token if all tokens so far are computed. Whether that was the last one."""
        entry, answer = self._live[name]
        if entry.computed < entry.total:
            return False
        self._scheduler.generated(entry, answer[entry.total - len(entry.prompt)])
        if entry.total - len(entry.prompt) < len(answer):
            return False
        self.abort(name)
        return True


def _block_digest(blocks: list[int]) -> list[int]:
    return [len(blocks), blocks[-1] if blocks else 0, zlib.crc32(array("q", blocks).tobytes())]


def replayed(workload: Workload, settings: SchedulerSettings) -> Iterator[Seen]:
    replay = Replay(settings)
    for step in workload.steps:
        for arrival in step.arrivals:
            replay.add(arrival)
        for name in step.aborts:
            replay.abort(name)
        yield replay.step()


def first_difference(
    workload: Workload, theirs: list[Seen], settings: SchedulerSettings, compared: Sequence[str] | None = None
) -> str | None:
    """In words; None if all steps are equal in all that is traced, or in what is to be ``compared``."""
    for number, (ours, other) in enumerate(zip(replayed(workload, settings), theirs, strict=True)):
        for what in compared or other:
            if ours[what] != other[what]:
                return f"{workload.name}, step {number}, {what}: simulated {ours[what]}, vLLM {other[what]}; {settings}"
    return None


def test_every_step_is_as_in_vllm(traced: Traced) -> None:
    assert len(traced) >= 40
    found = (first_difference(workload, theirs, workload.settings) for workload, theirs in traced)
    assert [difference for difference in found if difference] == []


_AT_LEAST = {
    "steps": 5_000,
    "tokens": 2_000_000,
    "prompts over 100,000 tokens": 10,
    "answers in full": 300,
    "preemptions": 150,
    "preemptions of one admitted before one that stays": 8,
    "preemptions of prompts over 10,000 tokens": 8,
    "hits": 200,
    "hits after a preemption": 50,
    "parts of prompts": 2_000,
    "parts cut to the threshold": 1_000,
    "steps with parts of prompts and decodes": 1_000,
    "steps in which one waits for blocks": 500,
    "aborts of running": 50,
    "aborts of waiting": 50,
}


def test_the_workloads_hold_all_that_a_scheduler_decides(traced: Traced) -> None:
    """Equality says nothing of what never happens. All is counted in what vLLM did."""
    happened = Counter[str]()
    for workload, steps in traced:
        for number, seen in enumerate(steps):
            happened.update(occurrences(workload, number, seen, steps[number - 1] if number else {}))
    assert {what: happened[what] for what in _AT_LEAST if happened[what] < _AT_LEAST[what]} == {}


def occurrences(workload: Workload, number: int, seen: Seen, before: Seen) -> dict[str, int]:
    """``before``: the step before it, empty for the first."""
    settings, given = workload.settings, workload.steps[number]
    lengths = workload.prompt_lengths
    used = sum(tokens for _, tokens in seen["tokens"])
    ran = [name for name in before.get("running", ()) if name not in before["ended"]]
    stay = [place for place, name in enumerate(ran) if name in seen["running"]]
    parts = [tokens for name, tokens in seen["tokens"] if seen["computed"][name] < lengths[name]]
    decodes = [name for name, _ in seen["tokens"] if seen["computed"][name] > lengths[name]]
    free = len(seen["running"]) < settings.max_num_seqs and used < settings.max_num_batched_tokens
    hits = [name for name, cached in seen["hits"].items() if cached]
    lost = seen["preempted"]
    return {
        "steps": 1,
        "tokens": used,
        "prompts over 100,000 tokens": sum(len(arrival.prompt) > 100_000 for arrival in given.arrivals),
        "answers in full": len(seen["ended"]),
        "preemptions": len(lost),
        "preemptions of one admitted before one that stays": sum(
            ran.index(name) < max(stay, default=0) for name in lost if name in ran
        ),
        "preemptions of prompts over 10,000 tokens": sum(lengths[name] > 10_000 for name in lost),
        "hits": len(hits),
        "hits after a preemption": sum(seen["preemptions"][name] > 0 for name in hits),
        "parts of prompts": len(parts),
        "parts cut to the threshold": parts.count(settings.long_prefill_token_threshold),
        "steps with parts of prompts and decodes": int(bool(parts and decodes)),
        "steps in which one waits for blocks": int(bool(seen["waiting"] and not lost and free)),
        "aborts of running": len({*ran} & {*given.aborts}),
        "aborts of waiting": len({*before.get("waiting", ())} & {*given.aborts}),
    }


@pytest.mark.parametrize(
    ("setting", "other"),
    [
        ("policy", {"fcfs": "priority", "priority": "fcfs"}.get),
        ("prefix_caching", lambda on: not on),
        ("reserve_full_prompt", lambda on: not on),
        ("watermark", lambda share: 0.0 if share else 0.1),
        ("long_prefill_token_threshold", lambda tokens: 0 if tokens else 16),
        ("max_num_seqs", lambda count: count + 1),
        ("max_num_batched_tokens", lambda tokens: tokens + 1),
        ("num_blocks", lambda blocks: blocks + 1),
    ],
)
def test_every_setting_decides_something(traced: Traced, setting: str, other: Callable[[Any], Any]) -> None:
    """With any one setting changed, one way or the other, what is simulated is not what vLLM did."""
    ways, decided = set[Any](), set[Any]()
    for workload, theirs in traced:
        value = getattr(workload.settings, setting)
        way = value if isinstance(value, str) else bool(value)
        ways.add(way)
        changed = replace(workload.settings, **{setting: other(value)})
        if way not in decided and first_difference(workload, theirs, changed, ("tokens", "hits", "preempted")):
            decided.add(way)
    assert decided == ways
