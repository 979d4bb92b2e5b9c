"""The engine behind the routes: admission, one prefill lane, decoding at a constant rate, and the accounts of both.

Leaving :meth:`Engine.run` early (a cancelled task, a closed generator) is an abort: the sequences leave the gauges at
once and are not counted as finished.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from gateway.engines.simulated.errors import overloaded
from gateway.engines.simulated.metrics import BLOCK_TOKENS, EngineMetrics, SequenceTimes
from gateway.engines.simulated.plan import Plan
from gateway.engines.simulated.settings import SimulatedSettings
from gateway.engines.simulated.speed import Clock, Speed


@dataclass(frozen=True)
class Sequence:
    """One choice of one prompt. ``prompt`` is in tokens; a sibling's prompt (``n`` > 1) is already in the cache."""

    prompt: int
    plan: Plan
    sibling: bool = False

    @property
    def cached(self) -> int:
        return (self.prompt - 1) // BLOCK_TOKENS * BLOCK_TOKENS if self.sibling else 0

    @property
    def computed(self) -> int:
        return self.prompt - self.cached


@dataclass(frozen=True)
class Job:
    """One request. ``n`` and ``max_tokens`` are only reported."""

    sequences: list[Sequence]
    n: int
    max_tokens: int
    arrived: float


@dataclass
class _Progress:
    scheduled: float = 0.0
    first_token: float = 0.0
    held_tokens: int = 0
    finished: list[bool] = field(default_factory=list)


class Engine:
    def __init__(self, settings: SimulatedSettings, clock: Clock, metrics: EngineMetrics) -> None:
        self.clock = clock
        self.metrics = metrics
        self._speed = Speed(settings)
        self._lane = asyncio.Lock()
        self._limit = settings.max_num_queued_reqs
        self._kv_tokens = settings.kv_cache_tokens
        self._held_tokens = 0
        self.in_flight = 0

    @contextmanager
    def admitted(self, sequences: int) -> Iterator[None]:
        """Hold a request's places, from the counting of its prompt to its last byte. Raises a full server's 503."""
        if self._limit is not None and self.in_flight + sequences > self._limit:
            self.metrics.rejections["max_num_queued_reqs"].inc()
            raise overloaded(self._limit)
        self.in_flight += sequences
        try:
            yield
        finally:
            self.in_flight -= sequences

    async def run(self, job: Job) -> AsyncGenerator[list[int]]:
        """Yields once a step: the numbers of the sequences that get their next token in it."""
        progress = _Progress(finished=[False] * len(job.sequences))
        try:
            await self._prefill(job, progress)
            running = list(range(len(job.sequences)))
            self.metrics.running.inc(len(running))
            try:
                async for step in self._decode(job, progress, running):
                    yield step
            finally:
                self.metrics.running.dec(len(running))
        finally:
            self._hold(progress, -progress.held_tokens)

    async def _prefill(self, job: Job, progress: _Progress) -> None:
        """Wait for the lane, then for the prompt. Running counts from the moment the lane is ours, as in vLLM."""
        count = len(job.sequences)
        with self._counted_as_waiting(count):
            await self._lane.acquire()
        try:
            progress.scheduled = self.clock.now()
            self.metrics.running.inc(count)
            try:
                self._hold(progress, sum(sequence.prompt for sequence in job.sequences))
                await self.clock.sleep(self._speed.prefill(sum(sequence.computed for sequence in job.sequences)))
            finally:
                self.metrics.running.dec(count)
        finally:
            self._lane.release()
        for sequence in job.sequences:
            self._count_prompt(sequence)

    async def _decode(self, job: Job, progress: _Progress, running: list[int]) -> AsyncGenerator[list[int]]:
        """``running`` loses the sequences that reach their end; whoever leaves early finds the rest in it."""
        start = previous = self.clock.now()
        step = 0
        while running:
            due = start + step * self._speed.per_output_token
            await self.clock.sleep(max(0.0, due - self.clock.now()))
            now = self.clock.now()
            if step == 0:
                progress.first_token = now
                for _ in running:
                    self.metrics.ttft.observe(now - job.arrived)
            else:
                for _ in running:
                    self.metrics.itl.observe(now - previous)
                self.metrics.step_tokens.observe(len(running))
            previous = now
            self.metrics.generation_tokens.inc(len(running))
            self._hold(progress, len(running))
            current = list(running)
            step += 1
            for number in current:
                if len(job.sequences[number].plan) == step:
                    running.remove(number)
                    self._count_finished(job, progress, number, now)
            yield current

    def _count_prompt(self, sequence: Sequence) -> None:
        self.metrics.prefix_queries.inc(sequence.prompt)
        self.metrics.prefix_hits.inc(sequence.cached)
        self.metrics.prompt_tokens.inc(sequence.prompt)
        self.metrics.prompt_by_source["local_compute"].inc(sequence.computed)
        self.metrics.prompt_by_source["local_cache_hit"].inc(sequence.cached)
        self.metrics.prompt_cached.inc(sequence.cached)
        self.metrics.cached_by_tier["device"].inc(sequence.cached)
        self.metrics.step_tokens.observe(sequence.computed)

    def _count_finished(self, job: Job, progress: _Progress, number: int, now: float) -> None:
        sequence = job.sequences[number]
        self.metrics.running.dec()
        self.metrics.finished(
            SequenceTimes(job.arrived, progress.scheduled, progress.first_token, now),
            prompt=sequence.prompt,
            computed=sequence.computed,
            generated=len(sequence.plan),
            reason=sequence.plan.finish_reason,
        )
        progress.finished[number] = True
        if all(progress.finished):
            longest = max(len(sequence.plan) for sequence in job.sequences)
            self.metrics.parameters(n=job.n, max_tokens=job.max_tokens, generated=longest)

    @contextmanager
    def _counted_as_waiting(self, count: int) -> Iterator[None]:
        self.metrics.waiting.inc(count)
        self.metrics.waiting_for_capacity.inc(count)
        try:
            yield
        finally:
            self.metrics.waiting.dec(count)
            self.metrics.waiting_for_capacity.dec(count)

    def _hold(self, progress: _Progress, tokens: int) -> None:
        """Take tokens of the KV cache, or give them back."""
        progress.held_tokens += tokens
        self._held_tokens += tokens
        self.metrics.kv_usage.set(min(1.0, self._held_tokens / self._kv_tokens))
