"""OTLP receivers for logs, at the wire: over HTTP (protobuf) and gRPC, with the protocol's own service stubs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import (
    LogsServiceServicer,
    add_LogsServiceServicer_to_server,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue

GRPC, HTTP = "grpc", "http/protobuf"
_PATIENCE = 30.0


@dataclass(frozen=True)
class Event:
    name: str
    attributes: dict[str, Any]
    severity: int
    at: float
    scope: str
    schema: str
    service: str


@dataclass
class Received:
    """What came: `bodies` as they were on the wire, `headers` of each request. `on_request` may wait, or refuse."""

    url: str = ""
    on_request: Callable[[], bool] = lambda: True
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    _news: threading.Condition = field(default_factory=threading.Condition)

    def take(self, body: bytes, headers: dict[str, str], path: str) -> bool:
        if not self.on_request():
            return False
        with self._news:
            self.bodies.append(body)
            self.headers.append(headers)
            self.paths.append(path)
            self._news.notify_all()
        return True

    @property
    def events(self) -> list[Event]:
        return [event for body in tuple(self.bodies) for event in _events(body)]

    def wait_for(self, count: int) -> list[Event]:
        """As soon as there are so many."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.events) >= count, _PATIENCE), self.events
        return self.events


@contextmanager
def receiver(protocol: str) -> Iterator[Received]:
    with (_grpc if protocol == GRPC else _http)() as received:
        yield received


@contextmanager
def _http() -> Iterator[Received]:
    received = Received()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            taken = received.take(body, {name.lower(): value for name, value in self.headers.items()}, self.path)
            answer = ExportLogsServiceResponse().SerializeToString() if taken else b""
            self.send_response(200 if taken else 400)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        received.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield received
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def _grpc() -> Iterator[Received]:
    received = Received()

    class Service(LogsServiceServicer):
        def Export(self, request: ExportLogsServiceRequest, context: grpc.ServicerContext) -> Any:
            headers = {each.key: str(each.value) for each in context.invocation_metadata()}
            if not received.take(request.SerializeToString(), headers, "Export"):
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, "refused")
            return ExportLogsServiceResponse()

    server = grpc.server(ThreadPoolExecutor(2))
    add_LogsServiceServicer_to_server(Service(), server)
    received.url = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield received
    finally:
        server.stop(None).wait()


def _events(body: bytes) -> Iterator[Event]:
    for resource in ExportLogsServiceRequest.FromString(body).resource_logs:
        about = {each.key: _value(each.value) for each in resource.resource.attributes}
        for scope in resource.scope_logs:
            for record in scope.log_records:
                yield Event(
                    record.event_name,
                    {each.key: _value(each.value) for each in record.attributes},
                    record.severity_number,
                    record.time_unix_nano / 1e9,
                    scope.scope.name,
                    scope.schema_url,
                    about["service.name"],
                )


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    return [_value(each) for each in value.array_value.values] if kind == "array_value" else getattr(value, kind)
