"""Time, order and accounts of the engine, on a clock that only the tests move; no server, no sleeping."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.engines.simulated import SimulatedSettings, build_app
from gateway.engines.simulated.engine import Engine, Job, Sequence
from gateway.engines.simulated.errors import EngineError
from gateway.engines.simulated.metrics import EngineMetrics
from gateway.engines.simulated.plan import Plan

MODEL = "codegeex4-all-9b"


def make_settings(tokenizer: Path, **changes: Any) -> SimulatedSettings:
    given = {"prefill_tokens_per_second": 100, "decode_tokens_per_second": 10, "kv_cache_tokens": 1000, **changes}
    return SimulatedSettings(model=MODEL, port=0, tokenizer=tokenizer, **given)


@pytest.fixture
def make_engine(clock: Any, tokenizer_file: Path) -> Callable[..., Engine]:
    def make(**changes: Any) -> Engine:
        settings = make_settings(tokenizer_file, **changes)
        return Engine(settings, clock, EngineMetrics(settings))

    return make


def job(engine: Engine, prompt: int, *outputs: int) -> Job:
    plans = [Plan([0] * output, ["x"] * output, "length") for output in outputs]
    sequences = [Sequence(prompt, plan, sibling=index > 0) for index, plan in enumerate(plans)]
    return Job(sequences, len(outputs), max(outputs), engine.clock.now())


def value(engine: Engine, name: str, **labels: str) -> float:
    found = engine.metrics.registry.get_sample_value(f"vllm:{name}", {"model_name": MODEL, "engine": "0", **labels})
    assert found is not None, name
    return found


@asynccontextmanager
async def running(engine: Engine, *jobs: Job) -> AsyncIterator[tuple[list[list[float]], list[asyncio.Task[None]]]]:
    """Runs jobs side by side; gives the times of each one's tokens, and their tasks. Ends them with the block."""
    times: list[list[float]] = [[] for _ in jobs]

    async def consume(work: Job, seen: list[float]) -> None:
        async with aclosing(engine.run(work)) as steps:
            async for _ in steps:
                seen += [round(engine.clock.now(), 6)]

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(consume(work, seen)) for work, seen in zip(jobs, times, strict=True)]
        yield times, tasks
        for task in tasks:
            task.cancel()


async def test_prefill_then_one_token_a_tenth(make_engine: Callable[..., Engine], clock: Any) -> None:
    engine = make_engine()
    async with running(engine, job(engine, 200, 3)) as (times, _):
        await clock.advance(10)
    assert times == [[2.0, 2.1, 2.2]]
    assert value(engine, "time_to_first_token_seconds_sum") == pytest.approx(2.0)
    assert value(engine, "inter_token_latency_seconds_count") == 2
    assert value(engine, "e2e_request_latency_seconds_sum") == pytest.approx(2.2)
    assert value(engine, "request_time_per_output_token_seconds_sum") == pytest.approx(0.1)
    assert value(engine, "request_success_total", finished_reason="length") == 1


async def test_time_scale(make_engine: Callable[..., Engine], clock: Any) -> None:
    engine = make_engine(time_scale=0.1)
    async with running(engine, job(engine, 200, 2)) as (times, _):
        await clock.advance(10)
    assert times == [[0.2, 0.21]]


async def test_prompts_wait_for_the_lane_in_order(make_engine: Callable[..., Engine], clock: Any) -> None:
    engine = make_engine()
    async with running(engine, job(engine, 100, 1), job(engine, 50, 1)) as (times, _):
        await clock.advance(0.5)
        assert (value(engine, "num_requests_running"), value(engine, "num_requests_waiting")) == (1, 1)
        await clock.advance(10)
    assert times == [[1.0], [1.5]]
    assert value(engine, "request_queue_time_seconds_sum") == pytest.approx(1.0)


async def test_decoding_sequences_do_not_slow_each_other(make_engine: Callable[..., Engine], clock: Any) -> None:
    engine = make_engine()
    async with running(engine, job(engine, 100, 20), job(engine, 1, 5)) as (times, _):
        await clock.advance(10)
    assert times[1] == [1.01, 1.11, 1.21, 1.31, 1.41]


async def test_siblings_share_the_prompt(make_engine: Callable[..., Engine], clock: Any) -> None:
    engine = make_engine()
    async with running(engine, job(engine, 161, 2, 4)) as (times, _):
        await clock.advance(10)
    assert times[0][0] == pytest.approx(1.62)
    assert len(times[0]) == 4
    assert value(engine, "prefix_cache_hits_total") == 160
    assert value(engine, "prompt_tokens_total") == 322
    assert value(engine, "generation_tokens_total") == 6
    assert value(engine, "request_params_n_sum") == 2


async def test_kv_usage_grows_and_is_given_back(make_engine: Callable[..., Engine], clock: Any) -> None:
    engine = make_engine()
    async with running(engine, job(engine, 100, 5)):
        await clock.advance(1.15)
        assert value(engine, "kv_cache_usage_perc") == pytest.approx(0.102)
        await clock.advance(10)
        assert value(engine, "kv_cache_usage_perc") == 0


@pytest.mark.parametrize("moment", [0.0, 0.5, 1.0, 1.25])
async def test_leaving_at_any_time_frees_everything(
    make_engine: Callable[..., Engine], clock: Any, moment: float
) -> None:
    engine = make_engine()
    async with running(engine, job(engine, 100, 9, 9), job(engine, 100, 9)) as (_, tasks):
        await clock.advance(moment)
        for task in tasks:
            task.cancel()
        await clock.settle()
        for name in ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc"):
            assert value(engine, name) == 0
    assert all(value(engine, "request_success_total", finished_reason=reason) == 0 for reason in ("abort", "length"))
    async with running(engine, job(engine, 100, 1)) as (times, _):
        await clock.advance(2)
    assert len(times[0]) == 1, "the lane is free again"


def test_admission_counts_sequences(make_engine: Callable[..., Engine]) -> None:
    engine = make_engine(max_num_queued_reqs=3)
    with engine.admitted(2):
        with pytest.raises(EngineError) as refused, engine.admitted(2):
            pass
        assert refused.value.status == 503
        with engine.admitted(1):
            assert engine.in_flight == 3
    assert engine.in_flight == 0


class Client:
    """An ASGI client that can stop reading, and can leave without having read."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.sent: list[Any] = []
        self.reads = True
        self._left = asyncio.Event()
        self._body: bytes | None = msgspec.json.encode(body)

    async def receive(self) -> Any:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)
        if not self.reads:
            await asyncio.Event().wait()

    def leave(self) -> None:
        self._left.set()


def scope_of(path: str) -> dict[str, Any]:
    headers = [(b"content-type", b"application/json")]
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET" if path == "/load" else "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 2),
        "state": {},
    }


@pytest.mark.parametrize("route", ["/v1/chat/completions", "/v1/completions"])
@pytest.mark.parametrize(("stream", "reads"), [(True, True), (True, False), (False, True)])
async def test_a_client_that_leaves_ends_its_request(
    clock: Any, tokenizer_file: Path, route: str, stream: bool, reads: bool
) -> None:
    """Even one that has stopped reading, so that the server hangs in ``send``."""
    app: Any = build_app(make_settings(tokenizer_file), clock=clock, new_id=lambda: "0" * 16)
    messages = [{"role": "user", "content": "x"}]
    client = Client({"messages": messages, "prompt": "x", "max_tokens": 500, "ignore_eos": True, "stream": stream})

    async def load() -> Any:
        asker = Client({})
        await app(scope_of("/load"), asker.receive, asker.send)
        return msgspec.json.decode(asker.sent[-1]["body"])

    async with asyncio.TaskGroup() as group:
        request = group.create_task(app(scope_of(route), client.receive, client.send))
        await clock.advance(2)
        client.reads = reads
        await clock.advance(2)
        assert await load() == {"server_load": 1}
        client.leave()
        await clock.settle()
        assert request.done()
    assert await load() == {"server_load": 0}
    assert len(client.sent) > 3 or not stream


async def answered(app: Any, path: str, body: dict[str, Any], *headers: tuple[bytes, bytes]) -> tuple[Any, Any]:
    """The status and headers, and the value of the body."""
    client, scope = Client(body), scope_of(path)
    scope["headers"] += headers
    await app(scope, client.receive, client.send)
    return client.sent[0], msgspec.json.decode(client.sent[1]["body"])


async def test_request_ids_are_echoed_where_that_is_switched_on(tokenizer_file: Path) -> None:
    given = (b"x-request-id", b"gw-1")
    for echoed in (True, False):
        app = build_app(make_settings(tokenizer_file, request_id_headers=echoed))
        start, _ = await answered(app, "/tokenize", {"prompt": "x"}, given)
        assert (given in start["headers"]) == echoed


async def test_what_cannot_be_rendered_or_fails_is_an_error_body(tokenizer_file: Path) -> None:
    def fail() -> str:
        raise RuntimeError("no ids left")

    app = build_app(make_settings(tokenizer_file), new_id=fail)
    start, body = await answered(app, "/v1/chat/completions", {"messages": [{"role": "user", "content": 3}]})
    assert (start["status"], body["error"]["type"]) == (400, "BadRequestError")
    messages = [{"role": "user", "content": "x"}]
    start, body = await answered(app, "/v1/chat/completions", {"messages": messages, "max_tokens": 1})
    assert (start["status"], body["error"]["type"]) == (500, "InternalServerError")


def test_an_unknown_model_is_named(tokenizer_file: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown model 'x'; known: .*codegeex4-all-9b"):
        SimulatedSettings(model="x", port=0, tokenizer=tokenizer_file)
