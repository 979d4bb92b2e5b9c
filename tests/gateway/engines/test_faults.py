"""What a simulated server breaks, at the raw socket, and what a client of the gateway sees of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any
from urllib.parse import urlsplit

import pytest

from gateway.config import Config
from gateway.engines.simulated.errors import EngineError
from gateway.engines.simulated.faults import KINDS, Fault, Faults
from gateway.engines.simulated.sabotage import Sabotaged
from tests.fakes.client import DEADLINE, chat, post
from tests.fakes.gateway import RunningGateway, running

MODEL = "codegeex4-all-9b"
LAST_CHUNK = b"0\r\n\r\n"
DONE = b"data: [DONE]\n\n"


@pytest.fixture(scope="module")
def faulty(start_server: Callable[..., Any]) -> Any:
    return start_server(time_scale=0.05, fault_header=True)


@pytest.fixture(autouse=True)
def _nothing_left(faulty: Any) -> Any:
    yield
    faulty.call("DELETE", "/sim/faults")
    faulty.wait_for(lambda: faulty.get("/load").json["server_load"] == 0)


def request(kind: str | None = None, *, stream: bool = False, **fields: Any) -> bytes:
    """A chat request that closes its connection; ``kind`` asks for a fault by the header."""
    headers = [("connection", "close")] + ([("x-simulate-fault", kind)] if kind else [])
    return post("/v1/chat/completions", chat(MODEL, max_tokens=24, stream=stream, **fields), headers)


async def exchange(server: Any, data: bytes) -> tuple[bytes, str]:
    """Every byte of the answer, and how the connection ended: ``closed`` or ``reset``."""
    address = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    got = b""
    try:
        writer.write(data)
        async with asyncio.timeout(DEADLINE):
            while piece := await reader.read(65536):
                got += piece
        return got, "closed"
    except ConnectionResetError:
        return got, "reset"
    finally:
        writer.transport.abort()


def frames(got: bytes) -> list[bytes]:
    """The events of an answer in chunks of one event each."""
    return [
        line.removeprefix(b"data: ") for line in got.split(b"\r\n") for line in line.split(b"\n\n") if b"data: " in line
    ]


class TestAtTheSocket:
    async def test_without_a_fault_all_is_well(self, faulty: Any) -> None:
        whole, ended = await exchange(faulty, request())
        head, _, body = whole.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert b"content-length: %d" % len(body) in head
        assert (json.loads(body)["object"], ended) == ("chat.completion", "closed")
        streamed, ended = await exchange(faulty, request(stream=True))
        assert streamed.endswith(LAST_CHUNK)
        assert (frames(streamed)[-1], ended) == (b"[DONE]", "closed")

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("kind", ["refuse", "reset-before-head"])
    async def test_reset_without_a_byte(self, faulty: Any, kind: str, stream: bool) -> None:
        assert await exchange(faulty, request(kind, stream=stream)) == (b"", "reset")

    async def test_refused_before_the_body_is_there(self, faulty: Any) -> None:
        assert await exchange(faulty, request("refuse").partition(b"\r\n\r\n")[0] + b"\r\n\r\n") == (b"", "reset")

    @pytest.mark.parametrize("stream", [False, True])
    async def test_reset_after_head(self, faulty: Any, stream: bool) -> None:
        got, ended = await exchange(faulty, request("reset-after-head", stream=stream))
        assert got.startswith(b"HTTP/1.1 200")
        assert got.endswith(b"\r\n\r\n")
        assert ended == "reset"

    @pytest.mark.parametrize(("kind", "how"), [("reset-mid-stream", "reset"), ("truncate", "closed")])
    async def test_broken_off_in_the_middle(self, faulty: Any, kind: str, how: str) -> None:
        got, ended = await exchange(faulty, request(kind, stream=True))
        assert ended == how
        assert len([json.loads(frame) for frame in frames(got)]) == 2
        assert not got.endswith(LAST_CHUNK)
        got, ended = await exchange(faulty, request(kind))
        head, _, body = got.partition(b"\r\n\r\n")
        promised = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        assert ended == how
        assert 0 < len(body) < promised

    @pytest.mark.parametrize("stream", [False, True])
    async def test_bytes_that_are_no_http(self, faulty: Any, stream: bool) -> None:
        got, ended = await exchange(faulty, request("garbage-head", stream=stream))
        assert got
        assert not got.startswith(b"HTTP/")
        assert ended == "closed"

    @pytest.mark.parametrize("stream", [False, True])
    async def test_a_chunk_without_a_size(self, faulty: Any, stream: bool) -> None:
        got, ended = await exchange(faulty, request("garbage-chunk", stream=stream))
        head, _, body = got.partition(b"\r\n\r\n")
        assert b"transfer-encoding: chunked" in head
        with pytest.raises(ValueError, match="invalid literal"):
            int(body.split(b"\r\n")[-2], 16)
        assert ended == "closed"

    async def test_a_frame_that_is_no_json(self, faulty: Any) -> None:
        got, _ = await exchange(faulty, request("garbage-frame", stream=True))
        *_, last = events = frames(got)
        with pytest.raises(ValueError, match="Unterminated string"):
            json.loads(events[2])
        assert all(json.loads(event) for event in [*events[:2], *events[3:-1]])
        assert last == b"[DONE]"
        assert got.endswith(LAST_CHUNK)
        got, _ = await exchange(faulty, request("garbage-frame"))
        head, _, body = got.partition(b"\r\n\r\n")
        assert b"content-length: %d" % len(body) in head
        with pytest.raises(ValueError, match="Unterminated string"):
            json.loads(body)

    async def test_the_engine_fails_on_the_way(self, faulty: Any) -> None:
        """vLLM ends its stream with [DONE] behind the error too."""
        got, _ = await exchange(faulty, request("error-event", stream=True))
        *_, error, last = frames(got)
        described = {"message": "Internal server error", "type": "InternalServerError", "param": None, "code": 500}
        assert json.loads(error) == {"error": described}
        assert last == b"[DONE]"
        assert got.endswith(LAST_CHUNK)
        faulty.post("/sim/faults", {"kind": "error-event"})
        faulty.chat(max_tokens=5).refused(500, "InternalServerError", None)

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("kind", ["stall-before-head", "stall-mid-stream"])
    async def test_stalled_until_the_client_leaves(self, faulty: Any, kind: str, stream: bool) -> None:
        address = urlsplit(faulty.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(request(kind, stream=stream))
        got = b""
        if kind == "stall-mid-stream":
            got = await reader.readuntil(b"\r\n\r\n")
            got += await reader.readuntil(b"\n\n\r\n") if stream else await reader.read(100)
        await asyncio.to_thread(faulty.wait_for, lambda: faulty.get("/load").json["server_load"] == 1)
        if not stream:  # the answer is there, and is not given
            await asyncio.to_thread(faulty.wait_for, lambda: faulty.metric("vllm:num_requests_running") == 0)
            assert faulty.get("/load").json["server_load"] == 1
        writer.transport.abort()
        assert (kind == "stall-before-head") == (got == b"")

    @pytest.mark.parametrize(
        ("kind", "status", "type_", "param"),
        [
            ("rate-limited", 429, "Too Many Requests", None),
            ("overloaded", 503, "Service Unavailable", None),
            ("internal-error", 500, "InternalServerError", None),
            ("context-overflow", 400, "BadRequestError", "input_tokens"),
        ],
    )
    @pytest.mark.parametrize("stream", [False, True])
    def test_error_answers(
        self, faulty: Any, kind: str, status: int, type_: str, param: str | None, stream: bool
    ) -> None:
        faulty.post("/sim/faults", {"kind": kind, "count": 1})
        answer = faulty.chat(stream=stream, max_tokens=5)
        answer.refused(status, type_, param)
        assert answer.headers.get("retry-after") == ("1" if status == 429 else None)
        assert faulty.chat(max_tokens=5).status == 200

    def test_retry_after_can_be_set(self, faulty: Any) -> None:
        faulty.post("/sim/faults", {"kind": "overloaded", "retry_after": 7})
        assert faulty.chat().headers["retry-after"] == "7"

    def test_health_alone_fails(self, faulty: Any) -> None:
        faulty.post("/sim/faults", {"kind": "unhealthy"})
        answer = faulty.get("/health")
        assert (answer.status, answer.body, "content-type" in answer.headers) == (503, b"", False)
        assert faulty.chat(max_tokens=5).status == 200
        faulty.call("DELETE", "/sim/faults?kind=unhealthy")
        assert faulty.get("/health").status == 200


class TestControl:
    def test_faults_are_shown_and_end(self, faulty: Any) -> None:
        assert faulty.post("/sim/faults", {"kind": "internal-error", "count": 2}).status == 200
        faulty.post("/sim/faults", {"kind": "slow", "factor": 2})
        assert [faulty.chat(max_tokens=3).status for _ in range(3)] == [500, 500, 200]
        shown = faulty.get("/sim/faults").json["faults"]
        assert [(fault["kind"], fault["hits"]) for fault in shown] == [("slow", 1)]
        assert faulty.call("DELETE", "/sim/faults").json == {"faults": []}

    def test_what_is_no_fault_is_refused(self, faulty: Any) -> None:
        assert faulty.post("/sim/faults", {"kind": "explode"}).refused(400, "Bad Request", "body.kind")
        assert faulty.post("/sim/faults", {"kind": "slow", "rate": 2}).refused(400, "Bad Request", "body.rate")
        assert faulty.call("DELETE", "/sim/faults?kind=explode").refused(400, "BadRequestError", "kind")
        said = faulty.post("/v1/chat/completions", {"messages": []}, x_simulate_fault="explode")
        assert "reset-mid-stream" in said.refused(400, "BadRequestError", "x-simulate-fault")

    def test_the_header_needs_leave(self, simulated_server: Any) -> None:
        body = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 3}
        assert simulated_server.post("/v1/chat/completions", body, x_simulate_fault="internal-error").status == 200

    def test_our_routes_ask_for_the_key_where_there_is_one(self, keyed_server: Any) -> None:
        assert keyed_server.get("/sim/faults").status == 200
        assert keyed_server.call("GET", "/sim/faults", authorization="Bearer wrong").status == 401

    def test_draws_follow_the_seed(self) -> None:
        def drawn(seed: int) -> list[bool]:
            faults = Faults([Fault(kind="refuse", rate=0.3)], seed=seed, by_header=False)
            return [faults.strike("/v1/completions", {}) is not None for _ in range(1000)]

        assert drawn(1) == drawn(1)
        assert drawn(1) != drawn(2)
        assert 230 < sum(drawn(1)) < 370

    def test_which_routes_are_hit(self) -> None:
        def hit(kind: Any) -> list[str]:
            faults = Faults([Fault(kind=kind)], seed=0, by_header=False)
            routes = ("/health", "/metrics", "/v1/models", "/v1/completions", "/v1/chat/completions", "/sim/faults")
            return [route for route in routes if faults.strike(route, {}) is not None]

        assert hit("unhealthy") == ["/health"]
        assert hit("refuse") == ["/health", "/metrics", "/v1/models", "/v1/completions", "/v1/chat/completions"]
        for kind in set(KINDS) - {"unhealthy", "refuse"}:
            assert hit(kind) == ["/v1/completions", "/v1/chat/completions"]

    def test_a_header_that_names_nothing(self) -> None:
        with pytest.raises(EngineError):
            Faults([], seed=0, by_header=True).strike("/v1/completions", {b"x-simulate-fault": b"\xff"})

    async def test_slow_takes_as_many_times_as_long(self, clock: Any) -> None:
        sent: list[tuple[float, str]] = []

        async def send(message: Any) -> None:
            sent.append((clock.now(), message["type"]))

        async def answer() -> None:
            slowed = Sabotaged(Fault(kind="slow", factor=3), send, asyncio.Transport(), clock)
            for wait in (2.0, 1.0):
                await clock.sleep(wait)
                await slowed({"type": f"after {wait}"})

        async with asyncio.TaskGroup() as group:
            group.create_task(answer())
            await clock.advance(20)
        assert sent == [(6.0, "after 2.0"), (9.0, "after 1.0")]


@contextlib.asynccontextmanager
async def through(faulty: Any, kind: str, **fault: Any) -> AsyncIterator[RunningGateway]:
    """A gateway whose one endpoint has that fault. Nothing may be in flight at the end."""
    endpoints = [{"url": faulty.url}]
    pools = [{"model": MODEL, "endpoints": endpoints}]
    config = Config.model_validate({"pools": pools, "routing": {"short": MODEL, "long": MODEL}})
    async with running(config) as gateway:
        faulty.post("/sim/faults", {"kind": kind, **fault})
        yield gateway
        await gateway.quiet()
        for endpoint in gateway.endpoints():
            for connection in endpoint.idle:
                connection.close()


class TestThroughTheGateway:
    """One endpoint, so that what it does is what the client gets."""

    @pytest.mark.parametrize("stream", [False, True])
    @pytest.mark.parametrize("kind", ["refuse", "reset-before-head", "garbage-head"])
    async def test_no_answer_is_a_502(self, faulty: Any, kind: str, stream: bool) -> None:
        async with through(faulty, kind) as gateway:
            answer = await gateway.ask(request(stream=stream))
            assert answer.status == 502
            assert answer.error["code"] == "upstream_broken"

    @pytest.mark.parametrize("kind", ["reset-after-head", "reset-mid-stream", "truncate", "garbage-chunk"])
    async def test_a_broken_stream_ends_in_one_error_event(self, faulty: Any, kind: str) -> None:
        async with through(faulty, kind) as gateway:
            answer = await gateway.ask(request(stream=True))
            assert answer.status == 200
            *before, last = [json.loads(frame) for frame in frames(answer.raw)]
            assert all("choices" in event for event in before)
            assert last["error"]["code"] == "upstream_broken"
            assert DONE not in answer.raw

    @pytest.mark.parametrize("kind", ["reset-mid-stream", "truncate"])
    async def test_a_truncated_whole_answer_is_a_reset(self, faulty: Any, kind: str) -> None:
        async with through(faulty, kind) as gateway:
            async with gateway.client() as client:
                client.send(request())
                answer = await client.read()
            assert answer is None or not answer.whole

    async def test_an_error_event_is_passed_on(self, faulty: Any) -> None:
        async with through(faulty, "error-event") as gateway:
            answer = await gateway.ask(request(stream=True))
            errors = [frame for frame in frames(answer.raw) if b'"error"' in frame]
            assert len(errors) == 1
            assert json.loads(errors[0])["error"]["type"] == "InternalServerError"

    async def test_a_broken_frame_is_passed_on_as_it_is(self, faulty: Any) -> None:
        async with through(faulty, "garbage-frame") as gateway:
            answer = await gateway.ask(request(stream=True))
            assert b'data: {"id": "chatcmpl-\n\n' in answer.body
            assert answer.body.endswith(DONE)

    @pytest.mark.parametrize(
        ("kind", "status"),
        [("rate-limited", 429), ("overloaded", 503), ("internal-error", 500), ("context-overflow", 400)],
    )
    async def test_error_answers_are_passed_on(self, faulty: Any, kind: str, status: int) -> None:
        async with through(faulty, kind, retry_after=7) as gateway:
            answer = await gateway.ask(request(stream=True))
            assert answer.status == status
            assert answer.header(b"retry-after") == (b"7" if status in (429, 503) else None)

    async def test_a_server_that_says_nothing_is_a_504(self, faulty: Any) -> None:
        async with through(faulty, "stall-before-head") as gateway:
            async with gateway.client() as client:
                client.send(request())
                await asyncio.to_thread(faulty.wait_for, lambda: faulty.get("/load").json["server_load"] == 1)
                gateway.pass_time(1000)
                answer = await client.answer()
            assert (answer.status, answer.error["code"]) == (504, "first_byte_timeout")

    async def test_a_stream_that_stops_ends_in_an_error_event(self, faulty: Any) -> None:
        async with through(faulty, "stall-mid-stream") as gateway:
            async with gateway.client() as client:
                client.send(request(stream=True))
                await client.head()
                seen = [await client.frame()]
                while b"".join(seen).count(b"data: ") < 2:
                    seen.append(await client.frame())
                gateway.pass_time(200)
                while b'"error"' not in (last := await client.frame()):
                    seen.append(last)
            assert json.loads(last.removeprefix(b"data: "))["error"]["code"] == "chunk_timeout"
            assert DONE not in b"".join(seen)
