"""Time, order and accounts of the engine, on a clock that only the tests move; no server, no sleeping."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Coroutine, Generator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.engines.simulated.app import build_app
from gateway.engines.simulated.engine import Engine, Job, Sequence
from gateway.engines.simulated.errors import EngineError
from gateway.engines.simulated.kv import Prompt
from gateway.engines.simulated.metrics import EngineMetrics
from gateway.engines.simulated.plan import Plan
from gateway.engines.simulated.presets import PRESETS
from gateway.engines.simulated.settings import SimulatedSettings
from gateway.engines.simulated.step_time import StepTime

MODEL = "codegeex4-all-9b"
# A tenth of a second a step, and a hundredth for each token in it, if that is more; attention costs nothing.
PLAIN = StepTime(weight_read=0.1, fixed=0.0, per_token=0.01, per_pair=0.0, per_context=0.0)
LOOP = replace(PRESETS["iquest-40b-loop-tp4-h100"].step_time, tokenize=0.0)


def make_settings(tokenizer: Path, **changes: Any) -> SimulatedSettings:
    given = {"step_time": PLAIN, "window": 1000, "num_gpu_blocks_override": 101, **changes}
    return SimulatedSettings(model=MODEL, port=0, tokenizer=tokenizer, **given)


@pytest.fixture
def make_engine(clock: Any, tokenizer_file: Path) -> Callable[..., Engine]:
    def make(own_clock: Any = None, **changes: Any) -> Engine:
        settings = make_settings(tokenizer_file, **changes)
        return Engine(settings, own_clock or clock, EngineMetrics(settings))

    return make


@pytest.fixture
def make_loop_engine(make_engine: Callable[..., Engine]) -> Callable[..., Engine]:
    def make(**changes: Any) -> Engine:
        return make_engine(step_time=LOOP, window=131_072, num_gpu_blocks_override=40_752, **changes)

    return make


def job(engine: Engine, prompt: int | Prompt, *outputs: int, start: int = 0, priority: int = 0) -> Job:
    shared = Prompt(range(start, start + prompt)) if isinstance(prompt, int) else prompt
    plans = [Plan([0] * output, ["x"] * output, "length") for output in outputs]
    sequences = [Sequence(shared, plan, tokenized=index == 0) for index, plan in enumerate(plans)]
    return Job(sequences, len(outputs), max(outputs), engine.clock.now(), priority)


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
    assert value(engine, "iteration_tokens_total_sum") == 203


async def test_time_scale(make_engine: Callable[..., Engine], clock: Any) -> None:
    engine = make_engine(time_scale=0.1)
    async with running(engine, job(engine, 200, 2)) as (times, _):
        await clock.advance(10)
    assert times == [[0.2, 0.21]]


async def test_who_comes_later_waits_for_the_step_to_end(make_engine: Callable[..., Engine], clock: Any) -> None:
    engine = make_engine()
    async with running(engine, job(engine, 100, 1), job(engine, 50, 1, start=5_000)) as (times, _):
        await clock.advance(0.5)
        assert (value(engine, "num_requests_running"), value(engine, "num_requests_waiting")) == (1, 1)
        await clock.advance(10)
    assert times == [[1.0], [1.5]]
    assert value(engine, "request_queue_time_seconds_sum") == pytest.approx(1.0)


async def test_a_prompt_slows_those_that_decode(make_engine: Callable[..., Engine], clock: Any) -> None:
    """In chunks of 49 beside a decoding sequence, steps take half a second; once only decoding is left, a tenth."""
    engine = make_engine(max_num_batched_tokens=50, max_num_seqs=2)
    async with running(engine, job(engine, 10, 8), job(engine, 98, 2, start=5_000)) as (times, _):
        await clock.advance(10)
    assert times[0] == [0.1, 0.6, 1.1, 1.2, 1.3, 1.4, 1.5, 1.6]
    assert times[1] == [1.1, 1.2]
    assert value(engine, "inter_token_latency_seconds_sum") == pytest.approx(1.5 + 0.1)


async def test_siblings_share_the_prompt(make_engine: Callable[..., Engine], clock: Any) -> None:
    engine = make_engine()
    async with running(engine, job(engine, 161, 2, 4)) as (times, _):
        await clock.advance(10)
    assert times[0][0] == pytest.approx(1.62)
    assert len(times[0]) == 4
    assert value(engine, "prefix_cache_hits_total") == 160
    assert value(engine, "prefix_cache_queries_total") == 322
    assert value(engine, "prompt_tokens_total") == 322
    assert value(engine, "generation_tokens_total") == 6
    assert value(engine, "request_params_n_sum") == 2


async def test_kv_usage_is_that_of_blocks_and_is_given_back(make_engine: Callable[..., Engine], clock: Any) -> None:
    engine = make_engine()
    async with running(engine, job(engine, 100, 15)):
        await clock.advance(1.15)
        assert value(engine, "kv_cache_usage_perc") == pytest.approx(0.07)
        await clock.advance(1.2)
        assert value(engine, "kv_cache_usage_perc") == pytest.approx(0.08)
        await clock.advance(10)
        assert value(engine, "kv_cache_usage_perc") == 0


async def test_preempted_sequences_are_computed_again_and_counted(
    make_engine: Callable[..., Engine], clock: Any
) -> None:
    """Five blocks for two sequences that grow to three each. The second one's full blocks can still be found later."""
    engine = make_engine(window=80, num_gpu_blocks_override=6)
    work = job(engine, 32, 3), job(engine, 32, 3, start=5_000)
    async with running(engine, *work) as (times, _):
        await clock.advance(10)
    assert times[0] == [0.32, 0.65, 0.75]
    assert [len(each) for each in times] == [3, 3]
    assert value(engine, "num_preemptions_total") == 1
    assert value(engine, "request_num_preemptions_sum") == 1
    assert value(engine, "prefix_cache_queries_total") == 64
    assert value(engine, "kv_cache_usage_perc") == 0


async def test_max_num_seqs_and_priorities(make_engine: Callable[..., Engine], clock: Any) -> None:
    engine = make_engine(max_num_seqs=1, scheduling_policy="priority")
    work = [job(engine, 10, 1, start=priority * 1000, priority=priority) for priority in (9, 5, 2)]
    async with running(engine, *work) as (times, _):
        await clock.advance(0.05)
        assert (value(engine, "num_requests_running"), value(engine, "num_requests_waiting")) == (1, 2)
        await clock.advance(10)
    assert times == [[0.1], [0.3], [0.2]]


# -- figures of a real size ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("threshold", [0, 2048])
async def test_a_short_prompt_behind_128k(make_loop_engine: Callable[..., Engine], clock: Any, threshold: int) -> None:
    """Running sequences get the budget first: without a cap the short prompt waits for the rest of the long one."""
    engine = make_loop_engine(long_prefill_token_threshold=threshold)
    long, short = job(engine, 131_000, 2), job(engine, 500, 1, start=1_000_000)
    async with running(engine, long) as (long_times, _):
        await clock.advance(0.1)
        async with running(engine, short) as (short_times, _):
            await clock.advance(40)
    first = LOOP.seconds([(8192, 0)])
    if threshold:
        waited = first + LOOP.seconds([(2048, 8192), (500, 0)])
    else:
        last = 131_000 % 8192  # 8,120: it leaves 72 tokens of the step to the short prompt
        waited = LOOP.prefill(131_000 - last, 8192) + LOOP.seconds([(last, 131_000 - last), (72, 0)])
        waited += LOOP.seconds([(1, 131_000), (428, 72)])
    assert short_times[0] == [pytest.approx(waited, abs=1e-4)]
    assert waited == pytest.approx(0.95 if threshold else 24.5, abs=0.1)
    assert len(long_times[0]) == 2


async def test_a_prefix_of_8k_is_found_again(make_loop_engine: Callable[..., Engine], clock: Any) -> None:
    engine = make_loop_engine()
    shared = list(range(8_192))
    async with running(engine, job(engine, Prompt([*shared, *range(20_000, 20_100)]), 1)) as (times, _):
        await clock.advance(10)
    assert times[0] == [pytest.approx(LOOP.prefill(8_292, 8192), abs=1e-5)]
    again = job(engine, Prompt([*shared, *range(30_000, 30_100)]), 1)
    async with running(engine, again) as (times, _):
        await clock.advance(10)
    assert times[0] == [pytest.approx(10 + LOOP.seconds([(100, 8_192)]), abs=1e-5)]
    assert again.cached == 8_192
    assert value(engine, "prefix_cache_hits_total") == 8_192
    assert value(engine, "request_prefill_kv_computed_tokens_sum") == 8_292 + 100


async def test_one_tokenizer_for_all_and_not_on_the_gpu(make_engine: Callable[..., Engine], clock: Any) -> None:
    engine = make_engine(step_time=replace(PLAIN, tokenize=0.001))
    ids = replace(job(engine, 10, 1, start=9_000).sequences[0], tokenized=False)
    jobs = job(engine, 100, 1), job(engine, 200, 1, start=5_000), Job([ids], 1, 1, 0.0)
    async with running(engine, *jobs) as (times, _):
        await clock.advance(0.05)
        assert (value(engine, "num_requests_running"), value(engine, "num_requests_waiting")) == (0, 0)
        await clock.advance(10)
    # The tokens are there after 0.1 and 0.3 s; the ids have their turn at the tokenizer, but need no time there.
    assert times == [[1.1], [3.2], [3.2]]
    assert value(engine, "request_queue_time_seconds_sum") == pytest.approx(0.8 + 0.8)


class CoarseClock:
    """Its timers fire only at whole milliseconds, and late; everything else is the other clock's."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self.timers = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._clock, name)

    def call_at(self, when: float, callback: Callable[[], None]) -> Any:
        self.timers += 1
        return self._clock.call_at(math.ceil(when * 1000 + 0.3) / 1000, callback)


async def test_steps_shorter_than_a_timer_lose_nothing(make_engine: Callable[..., Engine], clock: Any) -> None:
    """900 steps of 0.1 ms take 90 ms on timers of a millisecond; each timer ends about ten of them."""
    coarse = CoarseClock(clock)
    engine = make_engine(coarse, time_scale=0.001)
    async with running(engine, job(engine, 10, 900)) as (times, _):
        await clock.advance(1)
    assert len(times[0]) == 900
    assert times[0][-1] == pytest.approx(0.090, abs=0.0021)
    assert coarse.timers <= 100
    assert value(engine, "inter_token_latency_seconds_sum") == pytest.approx(0.0899)


async def test_far_behind_it_starts_again_from_now(make_engine: Callable[..., Engine], clock: Any) -> None:
    """A machine that stood still for a minute does not hand out a minute's tokens at once."""
    engine = make_engine()
    async with running(engine, job(engine, 10, 20)) as (times, _):
        await clock.settle()
        clock.time = 60.0
        await clock.advance(0.35)
        assert times[0] == [60.0, 60.1, 60.2, 60.3]


class Waits:
    """Awaits something, and counts how often that had to wait."""

    def __init__(self, work: Coroutine[Any, Any, None]) -> None:
        self._work = work
        self.count = 0

    def __await__(self) -> Generator[Any, None, None]:
        for waited in self._work.__await__():
            self.count += 1
            yield waited


async def test_a_whole_answer_wakes_its_reader_once(make_engine: Callable[..., Engine], clock: Any) -> None:
    engine = make_engine()
    waits = Waits(engine.finish(job(engine, 10, 5, 9)))

    async def answer() -> None:
        await waits

    async with asyncio.TaskGroup() as group:
        task = group.create_task(answer())
        await clock.advance(0.95)
        assert not task.done()
        await clock.advance(0.1)
        assert task.done()
    assert waits.count == 1
    assert value(engine, "request_success_total", finished_reason="length") == 2


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
    assert len(times[0]) == 1, "the engine goes on"


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


async def test_cached_tokens_are_told_where_that_is_switched_on(tokenizer_file: Path) -> None:
    messages = [{"role": "user", "content": "x " * 100}]
    chat, text = {"messages": messages, "max_tokens": 1}, {"prompt": "y " * 100, "max_tokens": 1}
    app = build_app(make_settings(tokenizer_file, enable_prompt_tokens_details=True, time_scale=0.001))
    for path, body in (("/v1/chat/completions", chat), ("/v1/completions", text)):
        first, second = [(await answered(app, path, body))[1]["usage"] for _ in range(2)]
        full = first["prompt_tokens"] // 16 * 16
        hit = (first["prompt_tokens"] - 1) // 16 * 16
        created = path.startswith("/v1/chat")
        details = first["prompt_tokens_details"], second["prompt_tokens_details"]
        assert [each["cached_tokens"] for each in details] == [0, hit]
        assert [each["created_cache_tokens"] for each in details] == ([full, full - hit] if created else [None, None])
    salted = (await answered(app, "/v1/completions", {**text, "cache_salt": "mine"}))[1]["usage"]
    assert salted["prompt_tokens_details"]["cached_tokens"] == 0
    app = build_app(make_settings(tokenizer_file, time_scale=0.001))
    assert (await answered(app, "/v1/completions", text))[1]["usage"]["prompt_tokens_details"] is None


async def test_what_cannot_be_rendered_or_fails_is_an_error_body(tokenizer_file: Path) -> None:
    def fail() -> str:
        raise RuntimeError("no ids left")

    app = build_app(make_settings(tokenizer_file), new_id=fail)
    start, body = await answered(app, "/v1/chat/completions", {"messages": [{"role": "user", "content": [3]}]})
    assert (start["status"], body["error"]["type"]) == (400, "BadRequestError")
    messages = [{"role": "user", "content": "x"}]
    start, body = await answered(app, "/v1/chat/completions", {"messages": messages, "max_tokens": 1})
    assert (start["status"], body["error"]["type"]) == (500, "InternalServerError")


def test_an_unknown_model_is_named(tokenizer_file: Path) -> None:
    with pytest.raises(ValueError, match=r"unknown model 'x'; known: .*codegeex4-all-9b"):
        SimulatedSettings(model="x", port=0, tokenizer=tokenizer_file)
