"""Canaries, sent: draws come due, are asked of both families at once, and go to the store."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial

from gateway.shadow.canary.controls import controls_before
from gateway.shadow.canary.design import Design, design
from gateway.shadow.canary.distractors import Distractors
from gateway.shadow.canary.draw import Draw, draw
from gateway.shadow.canary.inflate import OutOfReach, inflate
from gateway.shadow.canary.mark import cache_salt
from gateway.shadow.canary.mix import LiveMix
from gateway.shadow.canary.pace import is_due, seconds_between_looks
from gateway.shadow.canary.plan import Plan
from gateway.shadow.canary.prompt import Prompt, RoutingTokens, own_lengths, prompt_of
from gateway.shadow.canary.request import requests
from gateway.shadow.canary.sources import read_sources
from gateway.shadow.gate.draws import Kind, Served
from gateway.shadow.sending.client import Answer, GatewayClient
from gateway.shadow.sending.mirrors import answered
from gateway.shadow.sending.spending import Spending
from gateway.shadow.sending.writing import StoreWriter
from gateway.shadow.store import Counter, Evidence, Role, Run, Sample, Side, State, StoreUnavailable
from gateway.shadow.suites.task import Suite

REASON = "canary"
HOUR = 3_600.0


class Canaries:
    """Asks both models each draw, in the order of their numbers.

    Which number is next is read from the store, and from what this process has drawn. So a number is evidence once,
    also across restarts: a sample's id is made of design and number, and the store keeps the first answer. Processes
    that draw within the same moments may send one number twice, which costs tokens and no evidence. Where the store is
    away nothing is drawn. Once `Retention.samples` or a purge has deleted samples, their numbers may come again.

    The design is made anew at most once an hour, from the live mix of that time. Another mix is another design.
    """

    def __init__(
        self,
        plan: Plan,
        suite: Suite,
        served: tuple[Served, Served],
        tokens: RoutingTokens,
        client: GatewayClient,
        writer: StoreWriter,
        spending: Spending,
        evidence: Evidence,
        secret: bytes,
        now: Callable[[], float],
        *,
        mix: Callable[[], LiveMix],
        live_requests: Callable[[], int] = lambda: 0,
        busy: Callable[[], bool] = lambda: False,
        at_once: int = 4,
        pause: Callable[[], Awaitable[None]] | None = None,
        priority: int | None = None,
    ) -> None:
        """`live_requests`: so far. `busy`: canaries are shed first. `now`: since 1970. `pause`: between looks whether
        one is due; by default as long as the plan's rate allows. `priority`: vLLM's; higher numbers wait longer."""
        self._plan, self._suite, self._served, self._tokens = plan, suite, served, tokens
        self._client, self._writer, self._spending, self._evidence = client, writer, spending, evidence
        self._secret, self._now, self._priority = secret, now, priority
        self._pause = pause or partial(asyncio.sleep, seconds_between_looks(plan.rate))
        self._mix, self._live_requests, self._busy, self._at_once = mix, live_requests, busy, at_once
        self._next: dict[str, int] = {}
        self._under_way = 0
        self._design: tuple[float, Design] | None = None
        self._distractors: Distractors | None = None

    async def run(self) -> None:
        """Until cancelled; returns at once if the plan is off. Raises NothingToDraw, and for a bad folder of files
        OSError or ValueError."""
        if not self._plan.enabled:
            return
        last, requests_then = self._now(), self._live_requests()
        async with asyncio.TaskGroup() as group:
            while True:
                await self._pause()
                hours, live = (self._now() - last) / HOUR, self._live_requests() - requests_then
                if not is_due(self._plan.rate, hours=hours, live_requests=live):
                    continue
                last, requests_then = self._now(), self._live_requests()
                drawn = await self._draw()
                if drawn is not None:
                    self._under_way += 1
                    group.create_task(self._send(drawn))

    async def _draw(self) -> Draw | None:
        """The next one; None, and counted why, if nothing may be sent. A refusal uses up no number."""
        busy = self._busy() or self._under_way >= self._at_once
        refusal = self._spending.ledger.refusal(self._plan, self._spending.time(), busy=busy)
        if refusal is not None:
            self._writer.count(Counter.DROPPED, model=refusal.model, reason=f"{REASON} {refusal.reason}")
            return None
        made = await self._current_design()
        try:
            stored = await asyncio.to_thread(self._evidence.next_number, f"{made.digest}/")
        except StoreUnavailable:
            self._writer.count(Counter.DROPPED, reason=f"{REASON} store")
            return None
        number = max(stored, self._next.get(made.digest, 0))
        self._next = {made.digest: number + 1}
        self._add_controls(made, number)
        return draw(made, number)

    async def _current_design(self) -> Design:
        if self._design is None or self._now() - self._design[0] >= HOUR:
            mix = self._mix().merged(LiveMix())  # a copy: it goes on counting
            self._design = self._now(), await asyncio.to_thread(self._make_design, mix)
        return self._design[1]

    def _make_design(self, mix: LiveMix) -> Design:
        plan = self._plan
        if plan.inflation.enabled and self._distractors is None:
            self._distractors = Distractors(read_sources(plan.inflation.folder), self._tokens.count)
        lengths = own_lengths(self._suite, plan.forms, self._tokens, direct_completion=plan.direct_completion)
        return design(plan, self._suite, lengths, mix)

    async def _send(self, drawn: Draw) -> None:
        try:
            found = await asyncio.to_thread(self._prompt, drawn)
            if found is None:
                sample = self._sample(drawn, drawn.tokens)
                self._writer.count(Counter.DROPPED, reason=f"{REASON} out of reach")
                self._writer.add(sample, *(replace(run, state=State.ERROR) for run in self._runs(sample)))
            else:
                await self._ask(drawn, *found)
        finally:
            self._under_way -= 1

    def _prompt(self, drawn: Draw) -> tuple[Prompt, int] | None:
        """With its tokens; None where files can't bring it to its target."""
        task = self._suite.tasks[drawn.task_id]
        prompt = prompt_of(task, drawn.form, direct_completion=self._plan.direct_completion)
        if drawn.target is None or self._distractors is None:
            return prompt, drawn.tokens
        try:
            made = inflate(drawn, task, prompt, self._distractors, self._tokens, self._plan.inflation)
        except OutOfReach:
            return None
        return made.prompt, made.tokens

    async def _ask(self, drawn: Draw, prompt: Prompt, tokens: int) -> None:
        sample = self._sample(drawn, tokens)
        asked = self._runs(sample)
        # The other family may take a quarter more tokens for the same text.
        reserved = {run.served.model: tokens * 5 // 4 + self._plan.max_tokens for run in asked}
        answers = {run.served.model: Answer(State.CANCELLED, spent=None) for run in asked}
        both = requests(self._plan, prompt, cache_salt(self._secret, sample.id), priority=self._priority)

        async def ask(place: int) -> None:
            answers[both[place].model] = await self._client.ask(both[place], sample.id)

        self._spending.reserve(sample.id, reserved)
        self._writer.add(sample, *asked)
        try:
            async with asyncio.TaskGroup() as group:
                for place in range(len(both)):
                    group.create_task(ask(place))
        finally:
            self._spending.settle(sample.id, answers, reserved)
            ended = (answered(run, answers[run.served.model], prompt.text) for run in asked)
            self._writer.add(sample, *ended)

    def _sample(self, drawn: Draw, tokens: int) -> Sample:
        return Sample(
            id=drawn.id,
            at=self._now(),
            kind=Kind.CANARY,
            suite=self._suite_name,
            task_id=drawn.task_id,
            form=drawn.form,
            prompt_tokens=tokens,
            propensity=drawn.propensity,
            sampling="" if self._plan.temperature is None else f"temperature={self._plan.temperature:g}",
            target_tokens=drawn.target,
            request_id=f"{drawn.design}/{drawn.number:012}",
        )

    @property
    def _suite_name(self) -> str:
        return f"{self._suite.name}:{self._suite.digest}"

    def _runs(self, sample: Sample) -> tuple[Run, Run]:
        first, second = self._served
        return (
            Run(sample.id, Side.FIRST, Role.CANARY, first, State.ASKED),
            Run(sample.id, Side.SECOND, Role.CANARY, second, State.ASKED),
        )

    def _add_controls(self, made: Design, number: int) -> None:
        """Under each form: a gate's stream has one, and needs controls of its own."""
        for known in controls_before(made, number, self._suite, self._plan.pairs_per_control):
            for form in self._plan.forms:
                sample = Sample(
                    id=f"{known.id}-{form}",
                    at=self._now(),
                    kind=Kind.CANARY,
                    suite=self._suite_name,
                    task_id=known.task_id,
                    form=form,
                    prompt_tokens=0,
                    propensity=1.0,
                    control=known.canonical,
                    between=self._served,
                )
                self._writer.add(
                    sample, Run(sample.id, Side.FIRST, Role.CONTROL, self._served[0], answer=known.solution)
                )
