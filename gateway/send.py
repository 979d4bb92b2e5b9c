"""A request's way up: the changes to its body, an endpoint, a connection, and the head of the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import msgspec
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt

from gateway.affinity import affinity_of
from gateway.clock import Clock
from gateway.errors import ApiError
from gateway.exchange import Exchange
from gateway.fim import translate
from gateway.pools import Pool
from gateway.relay import Relay
from gateway.request import Request
from gateway.upstream import Attempt, Endpoint, Upstream
from gateway.upstream_connection import USUAL_CONNECTION, Broken, Pieces, Unsent, end_to_end
from routing.health import Conduct, conduct_of

# Of one connection only, or not the client's to say. Those with a name of ours are left out by their prefix.
HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding "
    b"upgrade content-length x-request-id".split()
)
_NOT_SENT_ON = HOP_BY_HOP | frozenset(
    b"host authorization cookie expect content-type accept-encoding x-data-parallel-rank x-api-key api-key".split()
)
OURS = b"x-yardstick-"
_MORE_ATTEMPTS = 1  # after one that no model server can have worked on
_REQUEST_END = b"x-request-id: %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
_LONGEST_HOLD = 30.0  # seconds, whatever a busy endpoint asks for


class Unreachable(ApiError):
    """No endpoint of a pool could be given the request. None has worked on it."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(503, message, code=code, retry_after=2)


class Declined(Unsent):
    """The endpoint is too busy to take the request, and another one may not be."""


def prepare(request: Request, pool: Pool, *, stream_usage: bool) -> bool:
    """Makes the permitted changes to a body but for the model's name; True if usage was added to what is asked.

    May be called again for another pool: changes that were made before are taken back.
    """
    body, infill = request.body, request.infill
    body.restore()
    settled = () if infill is None else translate(body, infill, pool.model, pool.defaults)
    for name, member in pool.defaults:
        if name not in body.raws and name not in settled:
            body.insert(member)
    if not (request.stream and stream_usage):
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


class Sender:
    """Gives prepared requests to endpoints, and judges the endpoints by what becomes of it."""

    def __init__(self, clock: Clock, upstream: Upstream, timer: Callable[[], float]) -> None:
        self._clock = clock
        self._upstream = upstream
        self._timer = timer

    async def begin(self, exchange: Exchange, request: Request, pool: Pool, relay: Relay, weight: int) -> Attempt:
        """Sends to an endpoint and waits for the head of its answer; once more if the first one can't have worked.

        ``weight``: tokens that the request adds to the endpoint's load. Raises `Unreachable`, 502 or 504.
        """
        tried: list[Endpoint] = []
        try:
            return await self._send(exchange, request, pool, relay, weight, tried)
        except Unsent:
            again = AsyncRetrying(
                stop=stop_after_attempt(_MORE_ATTEMPTS), retry=retry_if_exception_type(Unsent), reraise=True
            )
            try:
                return await again(self._send, exchange, request, pool, relay, weight, tried)
            except Unsent as failure:
                message = f"No endpoint of {pool.name} can be reached: {failure}."
                raise Unreachable(message, "endpoint_unreachable") from None

    async def _send(
        self, exchange: Exchange, request: Request, pool: Pool, relay: Relay, weight: int, tried: list[Endpoint]
    ) -> Attempt:
        affinity = affinity_of(request) if pool.affinity and not exchange.shadow else None
        # Where there is no other endpoint, the same one gets a new connection: the kept one may have gone stale.
        endpoint = pool.pick(self._clock.now, affinity, tried) or pool.pick(self._clock.now, affinity)
        if endpoint is None:
            addresses = ", ".join(endpoint.address for endpoint in pool.endpoints)
            raise Unreachable(f"No endpoint of {pool.name} is up (configured: {addresses}).", "no_endpoint_up")
        fresh = bool(tried)
        tried.append(endpoint)
        attempt = Attempt(endpoint, weight, pool.name, self._timer())
        exchange.attempts.append(attempt)
        try:
            connection = attempt.connection = await self._upstream.connect(endpoint, fresh=fresh)
            relay.watch(connection)
            head = connection.write(_pieces(exchange, request, attempt))
            relay.sent()
            await head
            attempt.status = connection.status
            self._judge_head(pool, attempt, tried)
        except BaseException as error:
            attempt.close()
            self._judge_failure(pool, endpoint, error)
            attempt.ended, attempt.error = self._timer(), _why(error)
            if isinstance(error, Broken):
                raise ApiError(502, f"{endpoint.address}: {error}.", code="upstream_broken") from None
            raise
        return attempt

    def _judge_head(self, pool: Pool, attempt: Attempt, tried: list[Endpoint]) -> None:
        conduct = conduct_of(attempt.connection.status)
        if conduct is Conduct.NEUTRAL:
            return
        now, endpoint = self._clock.now, attempt.endpoint
        pool.judge(endpoint, conduct, now, seconds=_retry_after(attempt))
        if conduct is Conduct.BUSY and len(tried) <= _MORE_ATTEMPTS and pool.has_free(now, tried):
            raise Declined(f"{endpoint.address} is busy")

    def _judge_failure(self, pool: Pool, endpoint: Endpoint, error: BaseException) -> None:
        """A stale connection says nothing of the endpoint, nor does a client that has left or used up its time."""
        refused = isinstance(error, Unsent) and not isinstance(error, Declined) and not error.stale
        silent = isinstance(error, ApiError) and error.code == "first_byte_timeout"
        if refused or silent or isinstance(error, Broken):
            pool.judge(endpoint, Conduct.FAILED, self._clock.now)


def _pieces(exchange: Exchange, request: Request, attempt: Attempt) -> Pieces:
    endpoint = attempt.endpoint
    body = request.body.spliced(model=endpoint.served_json)
    head = [endpoint.request_head(request.route.value)]
    headers, fields = exchange.headers, exchange.fields
    if fields.get(b"connection", b"close") not in USUAL_CONNECTION or len(fields) < len(headers):
        headers = end_to_end(headers)
    left_out, trace = _NOT_SENT_ON, exchange.trace
    if trace is not None and trace.left_out:
        left_out |= trace.left_out
    for name, value in headers:
        if name not in left_out and not name.startswith(OURS):
            head.append(b"%b: %b\r\n" % (name, value))
    if trace is not None and trace.why:
        attempt.span_id = trace.new_id()
        head.append(trace.upstream(attempt.span_id))
    length = sum(map(len, body))
    head.append(_REQUEST_END % (exchange.request_id, length))
    return [b"".join(head), *body]


def _why(error: BaseException) -> str:
    """A failed attempt's `error.type` in a trace; empty where the status says it."""
    if isinstance(error, ApiError):
        return error.code
    if isinstance(error, Declined):
        return ""
    if isinstance(error, Unsent):
        return "stale_connection" if error.stale else "connection_failed"
    if isinstance(error, Broken):
        return "upstream_broken"
    return "cancelled" if isinstance(error, asyncio.CancelledError) else "internal_error"


def _retry_after(attempt: Attempt) -> float:
    """Seconds for which a busy endpoint asks to be left alone; 1 if it does not say (RFC 9110 also allows a date)."""
    for name, value in attempt.connection.headers:
        if name == b"retry-after" and value.isdigit() and len(value) < 9:
            return min(float(value), _LONGEST_HOLD)
    return 1.0
