"""The model server's side: endpoints, their kept connections, and attempts."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

from gateway.clock import Clock
from gateway.config import TimeoutSettings
from gateway.upstream_connection import Broken, Unsent, UpstreamConnection
from routing.health import Health

# Errors, lists of models and token ids of a whole window; answers to clients are relayed, not collected.
LARGEST_COLLECTED = 4 * 1024 * 1024


class Endpoint:
    """One address of a model server, with its idle connections and what is known of its state.

    ``up`` is what the last probe said; its served name and ``window`` came from there or the config. ``load`` is in
    tokens: of all attempts in flight, prompts and what is reserved for their answers. ``ejections`` and
    probes: since the start. ``calls_tools``: whether it has a tool parser, None while that is not known.
    """

    def __init__(
        self, host: str, port: int, *, prefix: str = "", tls: ssl.SSLContext | None = None, api_key: str = ""
    ) -> None:
        self.host = host
        self.port = port
        self.tls = tls
        self.prefix = prefix
        self.address = f"{host}:{port}"
        self.address_bytes = self.address.encode()
        self.configured_name: str | None = None
        self.served_json = b""  # the served name as it stands in a body
        self.window: int | None = None
        self.up = False
        self.calls_tools: bool | None = None
        self.in_flight = 0
        self.load = 0
        self.health = Health()
        self.ejections = self.probes_up = self.probes_down = 0
        self.salt = int.from_bytes(hashlib.blake2b(f"{self.address}{prefix}".encode(), digest_size=8).digest())
        self.idle: list[UpstreamConnection] = []
        authorization = f"authorization: Bearer {api_key}\r\n" if api_key else ""
        default_port = 443 if tls else 80
        name = f"[{host}]" if ":" in host else host
        self.host_header = name if port == default_port else f"{name}:{port}"
        self._head_lines = f"host: {self.host_header}\r\naccept-encoding: identity\r\n{authorization}".encode()
        self._heads: dict[str, bytes] = {}

    def request_head(self, route: str, method: str = "POST") -> bytes:
        """Request line and the header lines that are the same for each request of this route to this endpoint."""
        head = self._heads.get(route)
        if head is None:
            head = self._heads[route] = f"{method} {self.prefix}{route} HTTP/1.1\r\n".encode() + self._head_lines
        return head

    def close_idle(self) -> None:
        for connection in self.idle:
            connection.close()
        self.idle.clear()


class Attempt:
    """One send to one endpoint, as a scope: counted in flight, its connection kept or closed at the end.

    ``weight``: the tokens that it adds to the endpoint's load. ``connection`` is there once `open` is through.

    The rest is for a trace, should there be one: see `gateway.telemetry.traces.Sent`.
    """

    __slots__ = ("_open", "_weight", "began", "connection", "ended", "endpoint", "error", "model", "span_id", "status")

    connection: UpstreamConnection

    def __init__(self, endpoint: Endpoint, weight: int = 0, model: str = "", began: float = 0.0) -> None:
        self.endpoint, self.model, self.began = endpoint, model, began
        self.ended = 0.0
        self.status = self.span_id = 0
        self.error = ""
        self._weight = weight
        self._open = True
        endpoint.in_flight += 1
        endpoint.load += weight

    def close(self) -> None:
        if not self._open:
            return
        self._open = False
        endpoint = self.endpoint
        endpoint.in_flight -= 1
        endpoint.load -= self._weight
        connection: UpstreamConnection | None = getattr(self, "connection", None)
        if connection is None:
            return
        if connection.reusable():
            connection.put_aside()
            endpoint.idle.append(connection)
        else:
            connection.close()

    def __enter__(self) -> Attempt:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class Upstream:
    """Opens connections, and keeps idle ones for less long than the model server would."""

    def __init__(self, clock: Clock, timeouts: TimeoutSettings) -> None:
        self._clock = clock
        self._timeouts = timeouts

    async def connect(self, endpoint: Endpoint, *, fresh: bool = False) -> UpstreamConnection:
        """An idle connection (the last used first), or a new one. Raises `Unsent` if there can't be one."""
        idle = endpoint.idle
        oldest = self._clock.now - self._timeouts.upstream_idle
        while idle and not fresh:
            connection = idle.pop()
            if not connection.closed and connection.since > oldest:
                return connection
            connection.close()
        try:
            async with asyncio.timeout(self._timeouts.connect):
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: UpstreamConnection(self._clock),
                    endpoint.host,
                    endpoint.port,
                    ssl=endpoint.tls,
                    server_hostname=endpoint.host if endpoint.tls else None,
                )
        except (OSError, ssl.SSLError) as error:  # TimeoutError is an OSError
            reason = str(error) or f"no connection within {self._timeouts.connect:g} s"
            raise Unsent(f"{endpoint.address}: {reason}") from None
        return connection

    async def fetch(
        self, endpoint: Endpoint, method: str, route: str, body: bytes | None = None, *, seconds: float = 5.0
    ) -> tuple[int, bytes]:
        """One small request of our own: its status and whole body. Raises `Unsent`, `Broken` or TimeoutError."""
        head = endpoint.request_head(route, method)
        if body is not None:
            head += b"content-type: application/json\r\ncontent-length: %d\r\n" % len(body)
        async with asyncio.timeout(seconds):
            with Attempt(endpoint) as attempt:
                connection = attempt.connection = await self.connect(endpoint, fresh=True)  # a kept one may be stale
                await connection.send([head + b"\r\n" + (body or b"")])
                collected = Collected()
                connection.deliver_to(collected)
                return connection.status, await collected.body

    def close_idle(self, endpoints: Sequence[Endpoint]) -> None:
        oldest = self._clock.now - self._timeouts.upstream_idle
        for endpoint in endpoints:
            for connection in endpoint.idle:
                if connection.since <= oldest:
                    connection.close()
            endpoint.idle = [connection for connection in endpoint.idle if not connection.closed]


class Collected:
    """A sink that waits for the whole body; one beyond `LARGEST_COLLECTED` counts as broken."""

    def __init__(self) -> None:
        self.body: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> None:
        if self.body.done():
            return
        self._size += len(data)
        if self._size > LARGEST_COLLECTED:
            self._parts.clear()
            self.body.set_exception(
                Broken(f"it sent more than {LARGEST_COLLECTED:,} bytes where a short answer was due")
            )
            return
        self._parts.append(data)

    def end(self, error: Exception | None) -> None:
        if self.body.done():
            return
        if error is None:
            self.body.set_result(b"".join(self._parts))
        else:
            self.body.set_exception(error)


@dataclass(slots=True)
class EndpointNow:
    """What metrics show of an endpoint."""

    address: str
    up: bool
    health: Health
    in_flight: int = 0
    ejections: int = 0
    probes_up: int = 0
    probes_down: int = 0

    @classmethod
    def of(cls, endpoint: Endpoint) -> EndpointNow:
        return cls(endpoint.address, endpoint.up, endpoint.health)

    def add(self, endpoint: Endpoint) -> None:
        self.in_flight += endpoint.in_flight
        self.ejections += endpoint.ejections
        self.probes_up += endpoint.probes_up
        self.probes_down += endpoint.probes_down
