"""One request's whole life, from its bytes to the last byte of the answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import Any, Protocol

from gateway.clock import Clock
from gateway.config import Config
from gateway.decide import Decider
from gateway.errors import ApiError, has_shape, message_of, misleading
from gateway.exchange import Exchange
from gateway.pools import Pool
from gateway.relay import Outcome, Relay
from gateway.request import Request, Route
from gateway.send import HOP_BY_HOP, OURS, Sender, Unreachable, prepare
from gateway.telemetry.record import Record, Recorder
from gateway.upstream import Attempt, Collected, Upstream
from gateway.upstream_connection import Broken
from routing.health import Conduct, conduct_of
from routing.length import Decision

_DECISION_LINES = (
    b"x-request-id: %b\r\nx-yardstick-model: %b\r\nx-yardstick-endpoint: %b\r\nx-yardstick-prompt-tokens: %d\r\n"
    b"x-yardstick-counted: %b\r\nx-yardstick-threshold: %b\r\nx-yardstick-reason: %b\r\n"
)


class Copied(Protocol):
    """What the tap keeps of a request while it is answered."""

    pieces: list[bytes]
    model: str
    outcome: Outcome | None
    left: bool


class Tap(Protocol):
    """Takes copies for shadow-eval. Never raises, never waits."""

    def copy(self, exchange: Exchange, request: Request, body: bytes, decision: Decision) -> Copied | None: ...
    def done(self, copy: Any) -> None: ...


class Serve:
    """Answers chat and completion requests from the pools."""

    def __init__(
        self,
        config: Config,
        clock: Clock,
        pools: Mapping[str, Pool],
        decider: Decider,
        upstream: Upstream,
        recorder: Recorder,
        tap: Tap | None = None,
    ) -> None:
        self._config = config
        self._timeouts = config.timeouts
        self._clock = clock
        self._pools = pools
        self._decider = decider
        self._sender = Sender(clock, upstream, time.perf_counter)
        self._recorder = recorder
        self._tap = tap
        self._shed_above = config.shadow.shed_above if config.shadow is not None else 0
        self._fallback = config.routing.fallback
        self._threshold = b"%d" % config.routing.threshold

    async def __call__(self, exchange: Exchange, route: Route) -> None:
        record = self._recorder.begin_traced(exchange, route.value)
        copy: Copied | None = None
        try:
            operator = self._config.operator_fields or exchange.shadow
            request = Request(route, exchange.body, operator_fields=operator)
            decision = await self._decider.decide(request)
            record.decided(decision)
            if exchange.shadow:
                self._shed_if_busy(self._pools[decision.model])
            elif self._tap is not None:
                copy = self._tap.copy(exchange, request, exchange.body, decision)
            exchange.body = b""
            relay = self._relay(exchange, request, decision)
            record.relaying(relay.outcome, request, exchange.attempts)
            if copy is not None:
                relay.copied = copy.pieces
            attempt, decision = await self._begin(exchange, request, relay, decision, record)
            if copy is not None:
                copy.model = decision.model
            with attempt:
                pool = self._pools[decision.model]
                if attempt.connection.status >= 400:
                    await self._refusal(exchange, request, decision, pool, attempt)
                else:
                    request.release()
                    lines = self._head_lines(exchange, decision, attempt)
                    await relay.run(attempt.connection.status, lines, stream=attempt.connection.events)
                    self._judge(pool, attempt, relay.outcome)
            if copy is not None:
                copy.outcome = relay.outcome
            if not exchange.shadow:
                self._learn(request, pool, relay.outcome)
        except ApiError as error:
            record.failed(error.code)
            exchange.reply_error(error)
        except asyncio.CancelledError:
            record.cancelled(exchange.connection.ended_by)
            if copy is not None:
                copy.left = True
            raise
        except Exception as error:
            record.failed("internal_error")
            self._recorder.log_fault(exchange.request_id.decode(), error)
            exchange.fault()
        finally:
            record.end(exchange.status)
            if copy is not None and self._tap is not None:
                self._tap.done(copy)

    def _shed_if_busy(self, pool: Pool) -> None:
        """Our own requests come after everybody's: none is sent where live traffic may want the place."""
        under_way = sum(endpoint.in_flight for endpoint in pool.endpoints)
        if under_way >= self._shed_above * len(pool.endpoints) or not pool.has_free(self._clock.now, ()):
            raise ApiError(503, f"{pool.name} has live traffic to serve.", code="shed", retry_after=10)

    # -- the request on its way up --------------------------------------------------------------------------------

    def _relay(self, exchange: Exchange, request: Request, decision: Decision) -> Relay:
        return Relay(exchange, self._clock, self._timeouts, time.perf_counter, self._patience(request, decision))

    def _patience(self, request: Request, decision: Decision) -> float:
        """Seconds until the answer has to begin. One that is not streamed begins after its last token."""
        timeouts = self._timeouts
        seconds = timeouts.first_byte + timeouts.first_byte_per_1k_tokens * decision.tokens / 1000
        if request.stream:
            return seconds
        output = request.output
        if output is None:  # then the window is the limit
            output = max(0, self._pools[decision.model].window - decision.tokens)
        return seconds + timeouts.first_byte_per_1k_output_tokens * output / 1000

    async def _begin(
        self, exchange: Exchange, request: Request, relay: Relay, decision: Decision, record: Record
    ) -> tuple[Attempt, Decision]:
        """The attempt whose answer the client gets. The decision changes if the long model has to stand in."""
        try:
            attempt = await self._send(exchange, request, relay, decision)
            if self._fallback != "busy" or conduct_of(attempt.connection.status) is not Conduct.BUSY:
                return attempt, decision
            instead = await self._decider.fallback(request, decision)
            if instead is None:
                return attempt, decision
            attempt.close()
        except Unreachable:
            instead = await self._decider.fallback(request, decision)
            if instead is None:
                raise
        record.decided(instead)
        return await self._send(exchange, request, relay, instead), instead

    async def _send(self, exchange: Exchange, request: Request, relay: Relay, decision: Decision) -> Attempt:
        pool = self._pools[decision.model]
        relay.hide_usage = prepare(request, pool, stream_usage=self._config.stream_usage)
        asked = request.asked
        assert asked is not None  # since it was decided
        return await self._sender.begin(
            exchange, request, pool, relay, int(decision.tokens * asked.times) + asked.output
        )

    # -- the answer on its way down -------------------------------------------------------------------------------

    def _head_lines(self, exchange: Exchange, decision: Decision, attempt: Attempt) -> bytes:
        """The model server's header lines without those of its connection, and ours, which say the decision."""
        lines = [
            b"%b: %b\r\n" % (name, value)
            for name, value in attempt.connection.headers
            if name not in HOP_BY_HOP and not name.startswith(OURS)
        ]
        model, tokens, method, reason = decision
        lines.append(
            _DECISION_LINES
            % (
                exchange.request_id,
                model.encode(),
                attempt.endpoint.address_bytes,
                tokens,
                method.encode(),
                self._threshold,
                reason.encode(),
            )
        )
        return b"".join(lines)

    async def _refusal(
        self, exchange: Exchange, request: Request, decision: Decision, pool: Pool, attempt: Attempt
    ) -> None:
        """An error of the model server's: passed on as it is, unless a client would misread it."""
        collected = Collected()
        attempt.connection.deliver_to(collected)
        try:
            body = await collected.body
        except Broken as error:
            pool.judge(attempt.endpoint, Conduct.FAILED, self._clock.now)
            raise ApiError(502, f"{attempt.endpoint.address}: {error}.", code="upstream_broken") from None
        status = attempt.connection.status
        message = message_of(body)
        if status == 400 and "maximum context length" in message:
            raise await self._decider.overflow(request, pool, message)
        if (replaced := misleading(status, message, attempt.endpoint.address, has_shape=has_shape(body))) is not None:
            raise replaced
        exchange.start(status, self._head_lines(exchange, decision, attempt), len(body))
        exchange.finish(body)

    def _judge(self, pool: Pool, attempt: Attempt, outcome: Outcome) -> None:
        """A request that used up its whole time says nothing of the endpoint."""
        if not outcome.error:
            pool.judge(attempt.endpoint, Conduct.ANSWERED, self._clock.now)
        elif outcome.error != "total_timeout":
            pool.judge(attempt.endpoint, Conduct.FAILED, self._clock.now)

    def _learn(self, request: Request, pool: Pool, outcome: Outcome) -> None:
        asked = request.asked
        if outcome.prompt_tokens and asked is not None and asked.likely_bytes:
            pool.tokens.learn(asked.likely_bytes, outcome.prompt_tokens)
