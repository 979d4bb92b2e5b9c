"""What the store keeps: samples, their runs, the runs' scores, counters, gaps."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256

from gateway.shadow.gate.draws import Kind, Served
from gateway.shadow.score.verdict import Says


def identify(*parts: str) -> str:
    """An id for what these parts tell apart: 32 hexadecimal digits, the same wherever they are asked for."""
    return sha256(json.dumps(parts).encode()).hexdigest()[:32]


class Side(StrEnum):
    """Of a comparison: which family is the first is the same for all samples of a stream."""

    FIRST = "first"
    SECOND = "second"


class Role(StrEnum):
    LIVE = "live"
    MIRROR = "mirror"
    CANARY = "canary"
    CONTROL = "control"


class State(StrEnum):
    ASKED = "asked"
    """A model server was asked and has not answered yet."""
    WAITING = "waiting"
    """For a worker that scores it."""
    LEASED = "leased"
    SCORED = "scored"
    CANCELLED = "cancelled"
    SHED = "shed"
    ERROR = "error"
    BEYOND_WINDOW = "beyond window"

    @property
    def open(self) -> bool:
        """Whether its outcome is still to come. What is not open never changes again."""
        return self in OPEN


OPEN = (State.ASKED, State.WAITING, State.LEASED)


@dataclass(frozen=True, slots=True)
class Sample:
    """A prompt that is evaluated: a matched live request, a canary task, or a control. `at`: seconds since 1970, UTC.

    `prompt_tokens` in the routing tokenizer. `target_tokens`: the length it was inflated to. `propensity`: the rate at
    which it was drawn. `score` and `alike` are the match's. `key`: the name of the client's key. `sampling` in whatever
    words tell two sets of parameters apart.

    A control has a known verdict (`control`: whether it is a canonical solution, or else a known-bad one), and is run
    for the comparison `between` two families as they were served.
    """

    id: str
    at: float
    kind: Kind
    suite: str
    task_id: str
    form: str
    prompt_tokens: int
    propensity: float
    sampling: str = ""
    target_tokens: int | None = None
    score: float = 1.0
    alike: tuple[str, ...] = ()
    request_id: str = ""
    key: str = ""
    control: bool | None = None
    between: tuple[Served, Served] | None = None
    prompt: str | None = field(default=None, repr=False)
    """Not stored unless `Retention.prompts`."""

    def __post_init__(self) -> None:
        if (self.control is None) is not (self.between is None):
            raise ValueError("a control, and only a control, says between which families it stands")

    @property
    def inflated(self) -> bool:
        return self.target_tokens is not None


@dataclass(frozen=True, slots=True)
class Run:
    """One family's answer to a sample; a sample has at most one a side.

    Where both families are asked, add both runs with the sample, as asked: a pair whose second run is not known of yet
    looks like no pair. `redacted`: secrets were cut from the answer, so its verdict is of another program.
    """

    sample_id: str
    side: Side
    role: Role
    served: Served
    state: State = State.WAITING
    finish_reason: str | None = None
    tokens_in: int = 0
    tokens_out: int = 0
    redacted: bool = False
    answer: str | None = field(default=None, repr=False)
    """Kept while it is open, then as long as `Retention.answers` says."""

    def __post_init__(self) -> None:
        if self.state is State.LEASED:
            raise ValueError("only a claim leases a run")

    @property
    def id(self) -> str:
        return f"{self.sample_id}.{self.side}"


@dataclass(frozen=True, slots=True)
class Score:
    """A verdict on a run's answer. `number` 0 is the one that counts; others are of the same answer, scored again.

    `program`: the digest of what was run. `environment`: the sandbox's image and libraries, by name.
    """

    run_id: str
    says: Says
    level: str
    seconds: float
    program: str
    environment: str
    at: float
    number: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """A run that `worker` is to score before `expires`. `attempt` counts from 1."""

    run: Run
    sample: Sample
    worker: str
    attempt: int
    expires: float


class Counter(StrEnum):
    SAMPLED = "sampled"
    DROPPED = "dropped"
    UNMATCHED = "unmatched"
    MATCHED = "matched"
    TOKENS = "tokens"
    """Spent on mirrors and canaries."""


@dataclass(frozen=True, slots=True)
class Total:
    """How much there was of something on a day (UTC, as 2026-11-29)."""

    day: str
    counter: Counter
    value: int
    model: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Gap:
    """A time in which evidence is missing. `source`: the process whose evidence it is. `until` None: it lasts."""

    source: str
    since: float
    why: str
    until: float | None = None


@dataclass(frozen=True, slots=True)
class Purged:
    """How many of each were deleted."""

    samples: int = 0
    runs: int = 0
    scores: int = 0
    counters: int = 0
    gaps: int = 0

    @property
    def rows(self) -> int:
        return self.samples + self.runs + self.scores + self.counters + self.gaps
