"""The engine behind the routes: admission, tokenizing, and the scheduler driven on the clock, one step at a time.

Steps follow each other on the engine's own time: each begins when the one before it was due, not when somebody noticed.
So steps shorter than a timer's resolution lose nothing; only an engine that falls far behind starts again from now.

Leaving :meth:`Engine.run` early (a cancelled task, a closed generator) is an abort: the sequences leave scheduler and
gauges at once and are not counted as finished. The step that they are in goes on to its end.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from itertools import count

from gateway.engines.simulated.errors import overloaded
from gateway.engines.simulated.kv import Prompt
from gateway.engines.simulated.metrics import EngineMetrics, SequenceTimes
from gateway.engines.simulated.plan import Plan
from gateway.engines.simulated.scheduler import Entry, Scheduler, StepPlan
from gateway.engines.simulated.settings import SimulatedSettings
from gateway.engines.simulated.speed import Clock

_EARLY = 0.0005  # seconds before it is due at which a step may end: timers are no more exact than that
_BEHIND = 0.05  # seconds that steps may be overdue and still follow each other without a gap
_NEGLIGIBLE = 0.0005  # seconds that are not worth a timer


@dataclass(frozen=True)
class Sequence:
    """One choice of one prompt. ``tokenized``: the prompt came as text; of ``n`` choices only the first counts."""

    prompt: Prompt
    plan: Plan
    tokenized: bool = True


@dataclass
class Job:
    """One request. ``n`` and ``max_tokens`` are only reported. ``arrived`` is before its prompt was tokenized.

    ``cached``: prompt tokens of the last sequence that were found in the prefix cache, from its admission on.
    """

    sequences: list[Sequence]
    n: int
    max_tokens: int
    arrived: float
    priority: int = 0
    cached: int = 0

    @property
    def text_tokens(self) -> int:
        return sum(len(sequence.prompt) for sequence in self.sequences if sequence.tokenized)


class _Run:
    """One sequence of a job in the engine. Times are the clock's; ``hits`` are those of its first admission."""

    __slots__ = ("done", "entry", "first", "hits", "last", "number", "queued", "scheduled", "sequence", "ticket")

    def __init__(self, ticket: _Ticket, number: int, sequence: Sequence, entry: Entry, queued: float) -> None:
        self.ticket = ticket
        self.number = number
        self.sequence = sequence
        self.entry = entry
        self.queued = queued
        self.scheduled: float | None = None
        self.first = self.last = 0.0
        self.hits = 0
        self.done = 0


class _Ticket:
    """One job in the engine: what it has produced and its reader has not yet taken, and who to wake."""

    def __init__(self, job: Job, *, whole: bool) -> None:
        self.job = job
        self.live: dict[int, _Run] = {}
        self.steps: deque[list[int]] = deque()
        self._current: list[int] | None = None
        self._whole = whole  # its reader waits for the end alone
        self._reader: asyncio.Future[None] | None = None

    def produced(self, number: int) -> bool:
        """A sequence got a token in the current step. True for the first of them in this step."""
        if self._current is None:
            self._current = [number]
            return True
        self._current.append(number)
        return False

    def step_ended(self) -> None:
        if self._current is not None:
            self.steps.append(self._current)
            self._current = None
        if self._reader is not None and not self._reader.done() and not (self._whole and self.live):
            self._reader.set_result(None)

    async def wait(self) -> None:
        """Until there is something to read."""
        self._reader = asyncio.get_running_loop().create_future()
        await self._reader


class Engine:
    def __init__(self, settings: SimulatedSettings, clock: Clock, metrics: EngineMetrics) -> None:
        self.clock = clock
        self.metrics = metrics
        self.scheduler = Scheduler(settings.scheduler)
        self.in_flight = 0
        self._speed = settings.speed
        self._scale = settings.time_scale
        self._limit = settings.max_num_queued_reqs
        self._names = count(1)
        self._runs: dict[Entry, _Run] = {}
        self._tokenizer_free = 0.0
        self._plan: StepPlan | None = None  # the step that is under way
        self._due = 0.0

    @contextmanager
    def admitted(self, sequences: int) -> Iterator[float]:
        """Hold a request's places, from before its prompt is tokenized to its last byte. Yields the time of arrival.

        Raises a full server's 503.
        """
        if self._limit is not None and self.in_flight + sequences > self._limit:
            self.metrics.rejections["max_num_queued_reqs"].inc()
            raise overloaded()
        self.in_flight += sequences
        try:
            yield self.clock.now()
        finally:
            self.in_flight -= sequences

    async def run(self, job: Job) -> AsyncGenerator[list[int]]:
        """Yields once a step: the numbers of the sequences that get their next token in it."""
        async with aclosing(self._follow(_Ticket(job, whole=False))) as steps:
            async for step in steps:
                yield step

    async def finish(self, job: Job) -> None:
        """Run a job whose answer is sent as a whole: nobody is woken before its end."""
        async with aclosing(self._follow(_Ticket(job, whole=True))) as steps:
            async for _ in steps:
                pass

    async def _follow(self, ticket: _Ticket) -> AsyncGenerator[list[int]]:
        await self._tokenize(ticket.job)
        try:
            self._enter(ticket)
            while ticket.live or ticket.steps:
                if not ticket.steps:
                    await ticket.wait()
                while ticket.steps:
                    yield ticket.steps.popleft()
        finally:
            self._leave(ticket)

    async def _tokenize(self, job: Job) -> None:
        """The server's one tokenizer takes prompts in turn. What that took in reality is part of it, not added."""
        seconds = job.text_tokens * self._speed.tokenize * self._scale
        self._tokenizer_free = max(self._tokenizer_free, job.arrived) + seconds
        left = self._tokenizer_free - self.clock.now()
        if left > _NEGLIGIBLE:
            await self.clock.sleep(left)

    def _enter(self, ticket: _Ticket) -> None:
        now = self.clock.now()
        for number, sequence in enumerate(ticket.job.sequences):
            job = ticket.job
            entry = Entry(f"{next(self._names):012}", sequence.prompt, priority=job.priority, arrived=job.arrived)
            run = _Run(ticket, number, sequence, entry, now)
            ticket.live[number] = self._runs[entry] = run
            self.scheduler.add(entry)
        if self._plan is None:
            self._begin(now)
            self._wake()
        self._show_gauges()

    def _leave(self, ticket: _Ticket) -> None:
        if not ticket.live:
            return
        for run in ticket.live.values():
            del self._runs[run.entry]
            self.scheduler.finish(run.entry)
        ticket.live.clear()
        self._show_gauges()

    def _begin(self, start: float) -> None:
        """The next step, or none if nothing is left to do."""
        plan = self.scheduler.schedule()
        preempted = len(plan.preempted)
        while plan.preempted and not plan.shares:
            plan = self.scheduler.schedule()
            preempted += len(plan.preempted)
        self.metrics.preemptions.inc(preempted)
        for share in plan.shares:
            run = self._runs[share.entry]
            if run.scheduled is None:
                self._admit(run, start, plan.hits[share.entry.name])
        self._plan = plan if plan.shares else None
        seconds = self._speed.seconds((share.tokens, share.context) for share in plan.shares)
        self._due = start + seconds * self._scale

    def _admit(self, run: _Run, start: float, hits: int) -> None:
        run.scheduled = max(start, run.queued)
        run.hits = run.ticket.job.cached = hits
        self.metrics.prefix_queries.inc(len(run.sequence.prompt))
        self.metrics.prefix_hits.inc(hits)

    def _wake(self) -> None:
        if self._plan is not None:
            self.clock.call_at(self._due, self._tick)

    def _tick(self) -> None:
        """End the steps that are due, each beginning the next one."""
        now = self.clock.now()
        while self._plan is not None and self._due <= now + _EARLY:
            self._end(self._plan, self._due)
            self._begin(self._due if now - self._due <= _BEHIND else now)
        self._show_gauges()
        self._wake()

    def _end(self, plan: StepPlan, now: float) -> None:
        """Hand out the tokens of a step."""
        touched: list[_Ticket] = []
        computed = generated = 0
        for share in plan.shares:
            run = self._runs.get(share.entry)
            if run is None or share.entry.computed < share.entry.total:
                continue  # aborted, or its prompt is not at its end yet
            generated += 1
            if not run.done:
                computed += len(run.sequence.prompt) - run.hits
            if run.ticket.produced(run.number):
                touched.append(run.ticket)
            self._produce(run, now)
        for ticket in touched:
            ticket.step_ended()
        self.metrics.generation_tokens.inc(generated)
        if generated:
            self.metrics.step_tokens.observe(computed + generated)

    def _produce(self, run: _Run, now: float) -> None:
        """One token of one sequence; after the last one the sequence is gone."""
        plan = run.sequence.plan
        self.scheduler.generated(run.entry, plan.ids[run.done])
        run.done += 1
        if run.done == 1:
            run.first = max(now, run.queued)
            self.metrics.prompt_computed(len(run.sequence.prompt), run.hits)
            self.metrics.ttft.observe(run.first - run.ticket.job.arrived)
        else:
            self.metrics.itl.observe(now - run.last)
        run.last = max(now, run.first)
        if run.done == len(plan):
            self.scheduler.finish(run.entry)
            del self._runs[run.entry], run.ticket.live[run.number]
            self._count_finished(run)

    def _count_finished(self, run: _Run) -> None:
        job, plan, prompt = run.ticket.job, run.sequence.plan, len(run.sequence.prompt)
        scheduled = run.queued if run.scheduled is None else run.scheduled
        self.metrics.finished(
            SequenceTimes(job.arrived, run.queued, scheduled, run.first, run.last),
            prompt=prompt,
            computed=prompt - run.hits,
            generated=len(plan),
            preemptions=run.entry.preemptions,
            reason=plan.finish_reason,
        )
        if not run.ticket.live:
            longest = max(len(sequence.plan) for sequence in job.sequences)
            self.metrics.parameters(n=job.n, max_tokens=job.max_tokens, generated=longest)

    def _show_gauges(self) -> None:
        self.metrics.running.set(len(self.scheduler.running))
        self.metrics.waiting.set(len(self.scheduler.waiting))
        self.metrics.waiting_for_capacity.set(len(self.scheduler.waiting))
        self.metrics.kv_usage.set(self.scheduler.pool.usage)
