"""The server: routes, the wrapper around each of them, and the process that serves them."""

from __future__ import annotations

import asyncio
import logging
import secrets
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from hmac import compare_digest
from typing import Any

import click
import uvicorn
import uvloop
from litestar import Litestar, Request, Response, asgi
from litestar.exceptions import NotFoundException
from litestar.handlers import ASGIRouteHandler
from litestar.types import Receive, Scope, Send

from gateway import families
from gateway.engines.simulated import basics, control
from gateway.engines.simulated.chat import chat
from gateway.engines.simulated.completions import completions
from gateway.engines.simulated.engine import Engine
from gateway.engines.simulated.errors import (
    EngineError,
    bad_request,
    internal,
    method_not_allowed,
    not_found,
    unauthorized,
)
from gateway.engines.simulated.http import Call, gone, read_body, while_connected
from gateway.engines.simulated.metrics import EngineMetrics
from gateway.engines.simulated.sabotage import Protocol, Sabotaged, refusal, reset, transport_of
from gateway.engines.simulated.service import Service
from gateway.engines.simulated.settings import SimulatedSettings
from gateway.engines.simulated.speed import Clock, RealClock

_LOG = logging.getLogger(__name__)
Handler = Callable[[Service, Call], Awaitable[None]]
_ROUTES: tuple[tuple[str, str, Handler], ...] = (
    ("/health", "GET", basics.health),
    ("/ping", "GET, POST", basics.health),
    ("/version", "GET", basics.version),
    ("/load", "GET", basics.load),
    ("/metrics", "GET", basics.metrics),
    ("/tokenize", "POST", basics.tokenize),
    ("/detokenize", "POST", basics.detokenize),
    ("/v1/models", "GET", basics.models),
    ("/v1/chat/completions", "POST", chat),
    ("/v1/completions", "POST", completions),
    ("/sim/tasks", "GET", control.tasks),
    ("/sim/faults", "GET, POST, DELETE", control.faults),
)


class Route:
    """One path: reads the request, runs its handler while the client is there, and renders errors."""

    def __init__(self, service: Service, methods: str, handler: Handler) -> None:
        self._service = service
        self._allow = methods
        self._methods = frozenset(methods.split(", "))
        self._handler = handler

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        service, path = self._service, scope["path"]
        headers = {name.lower(): value for name, value in scope["headers"]}
        fault, refused = None, None
        try:
            fault = service.faults.strike(path, headers)
        except EngineError as error:
            refused = error
        if fault is not None:
            transport = transport_of(scope)
            if fault.kind == "refuse":
                await reset(transport)
                await gone(receive)
                return
            refused = refusal(fault, service.settings.window)
            if refused is None:
                send = Sabotaged(fault, send, transport, service.engine.clock)
        body = await read_body(receive)
        if body is None:
            return
        call = Call(headers, body, receive, send, str(scope.get("method", "")), scope["query_string"])
        given = call.headers.get(b"x-request-id")
        if service.settings.request_id_headers:
            call.extra_headers.append((b"x-request-id", given or secrets.token_hex(16).encode()))
        await while_connected(receive, self._run(scope, call, refused))

    async def _run(self, scope: Scope, call: Call, refused: EngineError | None) -> None:
        try:
            self._check(scope, call)
            if refused is not None:
                raise refused
            await self._handler(self._service, call)
        except EngineError as error:
            await call.fail(error)
        except families.TemplateError as error:
            await call.fail(bad_request(str(error)))
        except Exception as error:
            if call.started:
                raise
            _LOG.exception("%s failed", scope["path"])
            await call.fail(internal(str(error)))

    def _check(self, scope: Scope, call: Call) -> None:
        """Key, method and content type, in vLLM's order. Only /v1 asks for the key, and our own /sim."""
        key = self._service.settings.api_key
        if key is not None and scope["path"].startswith(("/v1", "/sim/")):
            scheme, _, given = call.headers.get(b"authorization", b"").partition(b" ")
            if scheme.lower() != b"bearer" or not compare_digest(given, key.get_secret_value().encode()):
                raise unauthorized()
        method = scope.get("method", "")
        if method not in self._methods:
            raise method_not_allowed(self._allow)
        if method == "POST" and scope["path"] != "/ping":
            call.require_json()


def build_app(
    settings: SimulatedSettings, *, clock: Clock | None = None, new_id: Callable[[], str] | None = None
) -> Litestar:
    """The whole server as an ASGI application. ``new_id`` makes the ids that the client did not give."""
    clock = clock or RealClock()
    engine = Engine(settings, clock, EngineMetrics(settings))
    service = Service(settings, engine, new_id or (lambda: secrets.token_hex(8)))
    handlers = [_mounted(path, Route(service, methods, handler)) for path, methods, handler in _ROUTES]
    return Litestar(handlers, openapi_config=None, exception_handlers={NotFoundException: _unknown_route})


def _mounted(path: str, route: Route) -> ASGIRouteHandler:
    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        await route(scope, receive, send)

    return asgi(path, copy_scope=False)(handle)


def _unknown_route(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    refused = not_found()
    return Response(refused.body, status_code=refused.status, media_type="application/json", headers={"vary": "Origin"})


class _Server(uvicorn.Server):
    """Returns on SIGTERM and SIGINT; uvicorn's own would end the process by the same signal again."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._leave)
        yield

    def _leave(self) -> None:
        """The first signal lets requests end for a moment, the second does not. Streams that are cut are no news."""
        self.force_exit = self.should_exit
        self.should_exit = True
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)


def run(settings: SimulatedSettings) -> None:
    """Serve until SIGTERM or SIGINT. Raises OSError if the port is taken. Port 0 takes a free one."""
    listener = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
        app = build_app(settings)
        listener.listen(2048)  # before the line below: whoever reads it may connect at once
    except BaseException:
        listener.close()
        raise
    click.echo(_startup_line(settings, listener.getsockname()[1]))
    config = uvicorn.Config(
        app,
        http=Protocol,
        lifespan="off",
        log_level="warning",
        access_log=False,
        timeout_keep_alive=5,  # vLLM's, which clients with pooled connections have to cope with
        timeout_graceful_shutdown=1,
    )
    with listener:
        uvloop.run(_Server(config).serve(sockets=[listener]))


def _startup_line(settings: SimulatedSettings, port: int) -> str:
    scale = settings.time_scale
    pace = "real time" if scale == 1 else f"{1 / scale:g} times real speed" if scale < 1 else f"{scale:g} times slower"
    speed = settings.hardware.name if settings.hardware else "given coefficients"
    return (
        f"Simulated model server (no model runs): {settings.model} at http://{settings.host}:{port}, "
        f"window {settings.window} tokens, speed computed for {speed}, time scale {scale:g} ({pace})"
    )
