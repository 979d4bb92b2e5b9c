"""One request's whole life, from its bytes to the last byte of the answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping

import msgspec
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt

from gateway.clock import Clock
from gateway.config import Config
from gateway.decide import Decider
from gateway.errors import ApiError, has_shape, message_of, misleading
from gateway.exchange import Exchange
from gateway.pools import Pool
from gateway.relay import Outcome, Relay
from gateway.request import Request, Route
from gateway.telemetry.record import Recorder
from gateway.upstream import Attempt, Collected, Endpoint, Upstream
from gateway.upstream_connection import USUAL_CONNECTION, Broken, Pieces, Unsent, end_to_end
from routing.length import Decision
from routing.pick import pick

# Of one connection only, or not the client's to say. Those with a name of ours are left out by their prefix.
_HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding "
    b"upgrade content-length x-request-id".split()
)
_NOT_SENT_ON = _HOP_BY_HOP | frozenset(
    b"host authorization cookie expect content-type accept-encoding x-data-parallel-rank x-api-key api-key".split()
)
_OURS = b"x-yardstick-"
_MORE_ATTEMPTS = 1  # after one that no model server can have worked on
_REQUEST_END = b"x-request-id: %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
_DECISION_LINES = (
    b"x-request-id: %b\r\nx-yardstick-model: %b\r\nx-yardstick-endpoint: %b\r\nx-yardstick-prompt-tokens: %d\r\n"
    b"x-yardstick-counted: %b\r\nx-yardstick-threshold: %b\r\nx-yardstick-reason: %b\r\n"
)


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
    ) -> None:
        self._config = config
        self._timeouts = config.timeouts
        self._clock = clock
        self._pools = pools
        self._decider = decider
        self._upstream = upstream
        self._recorder = recorder
        self._threshold = b"%d" % config.routing.threshold

    async def __call__(self, exchange: Exchange, route: Route) -> None:
        record = self._recorder.begin(exchange, route.value)
        try:
            request = Request(route, exchange.body, operator_fields=self._config.operator_fields)
            exchange.body = b""
            decision = await self._decider.decide(request)
            pool = self._pools[decision.model]
            record.decided(decision)
            relay = self._relay(exchange, request, decision)
            with await self._begin(exchange, request, pool, relay) as attempt:
                if attempt.connection.status >= 400:
                    await self._refusal(exchange, request, decision, pool, attempt)
                else:
                    request.release()
                    lines = self._head_lines(exchange, decision, attempt)
                    await relay.run(attempt.connection.status, lines, stream=attempt.connection.events)
            record.relayed(relay.outcome)
            self._learn(request, pool, relay.outcome)
        except ApiError as error:
            record.failed(error.code)
            exchange.reply_error(error)
        except asyncio.CancelledError:
            record.cancelled(exchange.connection.ended_by)
            raise
        except Exception as error:
            record.failed("internal_error")
            self._recorder.log_fault(exchange.request_id.decode(), error)
            exchange.fault()
        finally:
            record.end(exchange.status)

    # -- the request on its way up --------------------------------------------------------------------------------

    def _relay(self, exchange: Exchange, request: Request, decision: Decision) -> Relay:
        timeouts = self._timeouts
        patience = timeouts.first_byte + timeouts.first_byte_per_1k_tokens * decision.tokens / 1000
        hide_usage = self._add_members(request, self._pools[decision.model])
        return Relay(exchange, self._clock, timeouts, time.perf_counter, patience, hide_usage)

    def _add_members(self, request: Request, pool: Pool) -> bool:
        """Makes the permitted changes to a body but for the model's name; True if usage was added to what is asked."""
        body = request.body
        for name, member in pool.defaults:
            if name not in body.raws:
                body.insert(member)
        if not (request.stream and self._config.stream_usage):
            return False
        options = body.get("stream_options")
        if "stream_options" not in body.raws:
            body.insert(b'"stream_options":{"include_usage":true}')
        elif options is None:
            body.replace("stream_options", b'{"include_usage":true}')
        elif isinstance(options, dict) and not options.get("include_usage"):
            asked = {**options, "include_usage": True}
            asked.pop("continuous_usage_stats", None)  # without include_usage it has no effect: it must get none
            body.replace("stream_options", msgspec.json.encode(asked))
        else:
            return False
        return True

    async def _begin(self, exchange: Exchange, request: Request, pool: Pool, relay: Relay) -> Attempt:
        """Sends to an endpoint and waits for the head of its answer; once more if the first one can't have seen it."""
        tried: list[Endpoint] = []
        try:
            return await self._send(exchange, request, pool, relay, tried)
        except Unsent:
            again = AsyncRetrying(
                stop=stop_after_attempt(_MORE_ATTEMPTS), retry=retry_if_exception_type(Unsent), reraise=True
            )
            try:
                return await again(self._send, exchange, request, pool, relay, tried)
            except Unsent as failure:
                message = f"No endpoint of {pool.name} can be reached: {failure}."
                raise ApiError(503, message, code="endpoint_unreachable", retry_after=2) from None

    async def _send(
        self, exchange: Exchange, request: Request, pool: Pool, relay: Relay, tried: list[Endpoint]
    ) -> Attempt:
        pool.turn += 1
        # Where there is no other endpoint, the same one gets a new connection: the kept one may have gone stale.
        endpoint = pick(pool.endpoints, pool.turn, tried) or (tried[0] if tried else None)
        if endpoint is None:
            addresses = ", ".join(endpoint.address for endpoint in pool.endpoints)
            message = f"No endpoint of {pool.name} is up (configured: {addresses})."
            raise ApiError(503, message, code="no_endpoint_up", retry_after=2)
        fresh = bool(tried)
        tried.append(endpoint)
        connection = await self._upstream.connect(endpoint, fresh=fresh)
        attempt = Attempt(endpoint, connection)
        try:
            relay.watch(connection)
            await connection.send(self._pieces(exchange, request, endpoint))
        except Broken as error:
            attempt.close()
            raise ApiError(502, f"{endpoint.address}: {error}.", code="upstream_broken") from None
        except BaseException:
            attempt.close()
            raise
        return attempt

    def _pieces(self, exchange: Exchange, request: Request, endpoint: Endpoint) -> Pieces:
        body = request.body.spliced(model=endpoint.served_json)
        head = [endpoint.request_head(request.route.value)]
        headers, fields = exchange.headers, exchange.fields
        if fields.get(b"connection", b"close") not in USUAL_CONNECTION or len(fields) < len(headers):
            headers = end_to_end(headers)
        for name, value in headers:
            if name not in _NOT_SENT_ON and not name.startswith(_OURS):
                head.append(b"%b: %b\r\n" % (name, value))
        length = sum(map(len, body))
        head.append(_REQUEST_END % (exchange.request_id, length))
        return [b"".join(head), *body]

    # -- the answer on its way down -------------------------------------------------------------------------------

    def _head_lines(self, exchange: Exchange, decision: Decision, attempt: Attempt) -> bytes:
        """The model server's header lines without those of its connection, and ours, which say the decision."""
        lines = [
            b"%b: %b\r\n" % (name, value)
            for name, value in attempt.connection.headers
            if name not in _HOP_BY_HOP and not name.startswith(_OURS)
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
            raise ApiError(502, f"{attempt.endpoint.address}: {error}.", code="upstream_broken") from None
        status = attempt.connection.status
        message = message_of(body)
        if status == 400 and "maximum context length" in message:
            raise await self._decider.overflow(request, pool, message)
        if (replaced := misleading(status, message, attempt.endpoint.address, has_shape=has_shape(body))) is not None:
            raise replaced
        exchange.start(status, self._head_lines(exchange, decision, attempt), len(body))
        exchange.finish(body)

    def _learn(self, request: Request, pool: Pool, outcome: Outcome) -> None:
        asked = request.asked
        if outcome.prompt_tokens and asked is not None and asked.likely_bytes:
            pool.tokens.learn(asked.likely_bytes, outcome.prompt_tokens)
