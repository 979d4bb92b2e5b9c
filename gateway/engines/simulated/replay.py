"""What a pool of simulated model servers does with a stream of requests, in virtual time: a model, not a measurement.

Each server is the simulated one's scheduler and step time, without HTTP, tokenizer and prefix cache. Pure: the same
arrivals always give the same waits.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count
from math import ceil

from gateway.engines.simulated.kv import BLOCK_TOKENS, Prompt
from gateway.engines.simulated.scheduler import Entry, Scheduler, SchedulerSettings, StepPlan
from gateway.engines.simulated.step_time import StepTime

_TOKEN = 0


@dataclass(frozen=True, slots=True)
class Arrival:
    """`at`: in seconds. Tokens of prompt and output together must fit into the servers' window."""

    at: float
    prompt_tokens: int
    output_tokens: int


@dataclass(slots=True)
class Waits:
    """Seconds. `ttft`: of each request, from its arrival to its first token; `itl`: between two tokens of one."""

    ttft: list[float] = field(default_factory=list)
    itl: list[float] = field(default_factory=list)


def replay(arrivals: Iterable[Arrival], servers: int, settings: SchedulerSettings, speed: StepTime) -> Waits:
    """Of all requests, to the end of the last. Each goes to the server whose unfinished ones have the fewest tokens.

    Raises ValueError for a request that no server could ever hold.
    """
    waits, prompts = Waits(), dict[int, Prompt]()
    pool = [_Server(settings, speed, waits) for _ in range(servers)]
    for arrival in sorted(arrivals, key=lambda each: each.at):
        _check(arrival, settings)
        for server in pool:
            server.run_until(arrival.at)
        prompt = prompts.setdefault(arrival.prompt_tokens, Prompt(range(arrival.prompt_tokens)))
        min(pool, key=lambda server: server.held).take(arrival, prompt)
    for server in pool:
        server.run_until(float("inf"))
    return waits


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of them do not exceed; 0 without values."""
    ordered = sorted(values)
    return ordered[max(0, ceil(share * len(ordered)) - 1)] if ordered else 0.0


def _check(arrival: Arrival, settings: SchedulerSettings) -> None:
    tokens = arrival.prompt_tokens + arrival.output_tokens
    holds = min(settings.max_model_len, (settings.num_blocks - 1) * BLOCK_TOKENS)
    if arrival.prompt_tokens < 1 or arrival.output_tokens < 1 or tokens > holds:
        raise ValueError(f"{arrival} is nothing that a server of {holds:,} tokens could answer")


@dataclass(slots=True)
class _Request:
    arrival: Arrival
    done: int = 0
    last: float = 0.0


class _Server:
    """Its steps follow each other for as long as there is something to compute."""

    def __init__(self, settings: SchedulerSettings, speed: StepTime, waits: Waits) -> None:
        self._scheduler = Scheduler(settings)
        self._speed = speed
        self._waits = waits
        self._names = count(1)
        self._requests: dict[Entry, _Request] = {}
        self._plan: StepPlan | None = None
        self._due = 0.0
        self.held = 0

    def take(self, arrival: Arrival, prompt: Prompt) -> None:
        entry = Entry(f"{next(self._names):012}", prompt, arrived=arrival.at)
        self._requests[entry] = _Request(arrival)
        self.held += arrival.prompt_tokens + arrival.output_tokens
        self._scheduler.add(entry)
        if self._plan is None:
            self._begin(arrival.at)

    def run_until(self, now: float) -> None:
        while self._plan is not None and self._due <= now:
            for share in self._plan.shares:
                if share.entry.computed >= share.entry.total:
                    self._produce(share.entry)
            self._begin(self._due)

    def _begin(self, start: float) -> None:
        plan = self._scheduler.schedule()
        while plan.preempted and not plan.shares:
            plan = self._scheduler.schedule()
        self._plan = plan if plan.shares else None
        self._due = start + self._speed.seconds((share.tokens, share.context) for share in plan.shares)

    def _produce(self, entry: Entry) -> None:
        request = self._requests[entry]
        self._scheduler.generated(entry, _TOKEN)
        request.done += 1
        if request.done == 1:
            self._waits.ttft.append(self._due - request.arrival.at)
        else:
            self._waits.itl.append(self._due - request.last)
        request.last = self._due
        if request.done == request.arrival.output_tokens:
            self._scheduler.finish(entry)
            del self._requests[entry]
            self.held -= request.arrival.prompt_tokens + request.arrival.output_tokens
