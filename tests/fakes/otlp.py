"""OTLP receivers for logs and traces, at the wire: over HTTP (protobuf) and gRPC, with the protocol's own stubs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.logs.v1.logs_service_pb2_grpc import (
    LogsServiceServicer,
    add_LogsServiceServicer_to_server,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1 import trace_pb2

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


@dataclass(frozen=True)
class Span:
    """Ids in hexadecimal, `parent` empty if there is none; `kind` as SERVER; times in seconds since 1970."""

    name: str
    kind: str
    trace: str
    id: str
    parent: str
    attributes: dict[str, Any]
    failed: bool
    status_message: str
    began: float
    ended: float
    state: str
    scope: str
    schema: str
    service: str


@dataclass
class Received:
    """What came: `bodies` as they were on the wire (those of traces are `traces`), `headers` of each request.

    `on_request` may wait, or refuse.
    """

    url: str = ""
    on_request: Callable[[], bool] = lambda: True
    bodies: list[bytes] = field(default_factory=list)
    traces: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)
    _news: threading.Condition = field(default_factory=threading.Condition)

    def take(self, body: bytes, headers: dict[str, str], path: str, *, traces: bool = False) -> bool:
        if not self.on_request():
            return False
        with self._news:
            (self.traces if traces else self.bodies).append(body)
            self.headers.append(headers)
            self.paths.append(path)
            self._news.notify_all()
        return True

    @property
    def events(self) -> list[Event]:
        return [event for body in tuple(self.bodies) for event in _events(body)]

    @property
    def spans(self) -> list[Span]:
        return [span for body in tuple(self.traces) for span in _spans(body)]

    def wait_for_spans(self, count: int) -> list[Span]:
        """As soon as there are so many."""
        with self._news:
            assert self._news.wait_for(lambda: len(self.spans) >= count, _PATIENCE), self.spans
        return self.spans

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
            traces = "traces" in self.path
            headers = {name.lower(): value for name, value in self.headers.items()}
            taken = received.take(body, headers, self.path, traces=traces)
            answer = (ExportTraceServiceResponse if traces else ExportLogsServiceResponse)().SerializeToString()
            self.send_response(200 if taken else 400)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            with suppress(ConnectionError):  # it waited no longer
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

    class Traces(TraceServiceServicer):
        def Export(self, request: ExportTraceServiceRequest, context: grpc.ServicerContext) -> Any:
            headers = {each.key: str(each.value) for each in context.invocation_metadata()}
            if not received.take(request.SerializeToString(), headers, "Export", traces=True):
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, "refused")
            return ExportTraceServiceResponse()

    server = grpc.server(ThreadPoolExecutor(2))
    add_LogsServiceServicer_to_server(Service(), server)
    add_TraceServiceServicer_to_server(Traces(), server)
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


def _spans(body: bytes) -> Iterator[Span]:
    for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
        about = {each.key: _value(each.value) for each in resource.resource.attributes}
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    span.name,
                    trace_pb2.Span.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_"),
                    span.trace_id.hex(),
                    span.span_id.hex(),
                    span.parent_span_id.hex(),
                    {each.key: _value(each.value) for each in span.attributes},
                    span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
                    span.status.message,
                    span.start_time_unix_nano / 1e9,
                    span.end_time_unix_nano / 1e9,
                    span.trace_state,
                    scope.scope.name,
                    scope.schema_url,
                    about["service.name"],
                )


def _value(value: AnyValue) -> Any:
    kind = value.WhichOneof("value")
    return [_value(each) for each in value.array_value.values] if kind == "array_value" else getattr(value, kind)
