"""Mirrors: a matched live request, asked of the other family. The client never sees the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.config_shadow import MirrorSettings
from gateway.shadow.canary.mark import cache_salt
from gateway.shadow.canary.request import CanaryRequest
from gateway.shadow.gate.draws import Served
from gateway.shadow.redact import redact
from gateway.shadow.sending.client import Answer, GatewayClient
from gateway.shadow.sending.spending import Spending
from gateway.shadow.sending.writing import StoreWriter
from gateway.shadow.store import Counter, Role, Run, Sample, Side, State

REASON = "mirror"
_ANSWER_TOKENS = 1_024  # reserved for an answer whose request has no max_tokens


@dataclass(frozen=True, slots=True)
class Matched:
    """`live`: the run of the family that answered the client. `body`: the client's, decoded, for `route`.

    `other`: the family to ask. `public`: the task's prompt, whose words are no secrets.
    """

    sample: Sample
    live: Run
    other: Served
    route: str
    body: Mapping[str, Any] = field(repr=False)
    public: str = field(default="", repr=False)

    @property
    def asked(self) -> Run:
        side = Side.SECOND if self.live.side is Side.FIRST else Side.FIRST
        return Run(self.sample.id, side, Role.MIRROR, self.other, State.ASKED)


class Mirrors:
    """At most `at_once` under way and `waiting` queued. For one event loop."""

    def __init__(
        self,
        client: GatewayClient,
        writer: StoreWriter,
        spending: Spending,
        settings: MirrorSettings,
        secret: bytes,
        *,
        priority: int | None = None,
    ) -> None:
        """`priority`: vLLM's; higher numbers wait longer."""
        self._client, self._writer, self._spending = client, writer, spending
        self._settings, self._secret, self._priority = settings, secret, priority
        self._queue = asyncio.Queue[Matched]()
        self._held = 0

    def offer(self, matched: Matched) -> bool:
        """Whether it will be asked. If not its mirror is stored as shed and counted, by reason. Never waits."""
        why = self._refusal(matched)
        if why:
            self._writer.count(Counter.DROPPED, model=matched.other.model, reason=f"{REASON} {why}")
            self._writer.add(matched.sample, matched.live, replace(matched.asked, state=State.SHED))
            return False
        self._spending.reserve(matched.sample.id, self._most(matched))
        self._writer.add(matched.sample, matched.live, matched.asked)
        self._held += 1
        self._queue.put_nowait(matched)
        return True

    def _refusal(self, matched: Matched) -> str:
        if self._held >= self._settings.at_once + self._settings.waiting:
            return "busy"
        used = self._spending.used(matched.other.model)
        return "budget" if used >= self._settings.daily_tokens else ""

    async def run(self) -> None:
        """Until cancelled; what was not answered by then is stored as cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._settings.at_once):
                    group.create_task(self._work())
        finally:
            while not self._queue.empty():
                self._end(self._queue.get_nowait(), Answer(State.CANCELLED))

    async def _work(self) -> None:
        while True:
            matched = await self._queue.get()
            answer = Answer(State.CANCELLED, spent=None)
            try:
                answer = await self._client.ask(self._request(matched), matched.sample.id)
            finally:
                self._end(matched, answer)

    def _end(self, matched: Matched, answer: Answer) -> None:
        self._held -= 1
        self._spending.settle(matched.sample.id, {matched.other.model: answer}, self._most(matched))
        self._writer.add(matched.sample, answered(matched.asked, answer, matched.public))

    def _most(self, matched: Matched) -> dict[str, int]:
        """Tokens that it may cost: the other family may take a quarter more for the same text."""
        given = (matched.body.get(name) for name in ("max_completion_tokens", "max_tokens"))
        most = next((value for value in given if type(value) is int and value > 0), _ANSWER_TOKENS)
        return {matched.other.model: matched.sample.prompt_tokens * 5 // 4 + most}

    def _request(self, matched: Matched) -> CanaryRequest:
        body = {name: value for name, value in matched.body.items() if name not in ("stream", "stream_options")}
        body |= {"model": matched.other.model, "cache_salt": cache_salt(self._secret, matched.sample.id)}
        if "n" in body:
            body["n"] = 1  # the first answer is the one that is scored
        if self._priority is not None:
            body["priority"] = self._priority
        return CanaryRequest(matched.route, matched.other.model, body)


def answered(asked: Run, answer: Answer, public: str) -> Run:
    """The run with its answer, without what looks like secrets. `public`: text that everyone knows."""
    text = None if answer.text is None else redact(answer.text, public=public)
    return replace(
        asked,
        state=answer.state,
        finish_reason=answer.finish_reason,
        tokens_in=answer.tokens_in,
        tokens_out=answer.tokens_out,
        redacted=text != answer.text,
        answer=text,
    )
