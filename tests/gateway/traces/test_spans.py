"""The spans of requests, as real receivers get them over HTTP and gRPC."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

import pytest

from gateway.telemetry import span_names as names
from tests.conftest import StartFake, StartGateway
from tests.fakes.client import chat, post, until
from tests.fakes.gateway import LONG, SHORT, RunningGateway
from tests.fakes.otlp import Received, Span
from tests.fakes.server import (
    DONE,
    Seen,
    answer,
    chunk,
    chunked_head,
    content_frame,
    says,
    silence,
    stream,
    unary,
    usage_frame,
)

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
ALL, NONE = {"sample": 1.0}, {"sample": 0.0}
SERVED = "org/CodeGeeX4-ALL-9B"
REGISTERED = {
    value for name, value in vars(names).items() if name.isupper() and name not in ("CONVENTIONS", "SCOPE", "DECIDE")
}
STREAM = stream([content_frame("a"), content_frame("b"), usage_frame(11, 5), DONE])


async def spans(received: Received, count: int) -> list[Span]:
    """Exactly so many, the request's own first and then by their beginning."""
    found = await asyncio.to_thread(received.wait_for_spans, count)
    assert len(found) == count
    return sorted(found, key=lambda span: (span.kind != "SERVER", span.began))


async def nothing_kept(gateway: RunningGateway, received: Received) -> None:
    """Not even at the end."""
    traces = gateway.gateway.traces
    assert traces is not None
    await gateway.quiet()
    await asyncio.to_thread(traces.close)
    assert received.spans == []
    assert set(traces.outcomes.values()) == {0}


async def test_a_request_and_its_attempt(fakes: StartFake, serving: StartGateway, received: Received) -> None:
    fake = await fakes(name=SERVED)
    gateway = await serving([fake], traces=ALL)
    before = time.time()
    request = post(CHAT, chat(max_tokens=9), [("x-request-id", "mine")])
    found = await gateway.ask(request)
    assert found.status == 200
    own, attempt = await spans(received, 2)
    assert (own.name, own.kind, own.parent) == (f"POST {CHAT}", "SERVER", "")
    assert (attempt.name, attempt.kind, attempt.parent) == (f"chat {SHORT}", "CLIENT", own.id)
    assert own.trace == attempt.trace
    assert own.attributes.pop(names.TOKENS) == int(found.header(b"x-yardstick-prompt-tokens") or 0)
    assert own.attributes == {
        names.METHOD: "POST",
        names.ROUTE: CHAT,
        names.PATH: CHAT,
        names.SCHEME: "http",
        names.STATUS: 200,
        names.REQUEST_ID: "mine",
        names.OUTCOME: "ok",
        names.KEPT: "sampled",
        names.MODEL: SHORT,
        names.COUNTED: "bounded",
        names.REASON: "only-model",
    }
    assert attempt.attributes == {
        names.OPERATION: "chat",
        names.PROVIDER: "vllm",
        names.REQUEST_MODEL: SHORT,
        names.RESPONSE_MODEL: SERVED,
        names.STREAM: False,
        names.MAX_TOKENS: 9,
        names.INPUT_TOKENS: 7,
        names.OUTPUT_TOKENS: 3,
        names.ADDRESS: "127.0.0.1",
        names.PORT: fake.port,
        names.STATUS: 200,
    }
    assert before - 0.01 <= own.began <= attempt.began <= attempt.ended <= own.ended <= time.time() + 0.01
    for span in (own, attempt):
        assert (span.schema, span.scope, span.service) == (names.CONVENTIONS, "yardstick.gateway", "yardstick")
        assert (span.failed, span.status_message, span.state) == (False, "", "")


async def test_a_stream_has_a_first_chunk(fakes: StartFake, serving: StartGateway, received: Received) -> None:
    gateway = await serving([await fakes(says(*STREAM))], traces=ALL)
    body = b'{"model":"auto","prompt":"x","stream":true}'
    assert (await gateway.ask(post(COMPLETIONS, body))).status == 200
    _, attempt = await spans(received, 2)
    assert attempt.name == f"text_completion {SHORT}"
    about = attempt.attributes
    assert (about[names.STREAM], about[names.INPUT_TOKENS], about[names.OUTPUT_TOKENS]) == (True, 11, 5)
    assert 0 < about[names.FIRST_CHUNK] <= attempt.ended - attempt.began


async def test_a_counted_prompt_has_a_span_of_its_decision(
    fakes: StartFake, serving: StartGateway, received: Received
) -> None:
    short, long = await fakes(), await fakes(name=LONG, window=131072)
    gateway = await serving([short], [long], traces=ALL, routing={"exact": "always"})
    assert (await gateway.ask(post(CHAT, chat(content="word " * 50)))).status == 200
    own, decision, attempt = await spans(received, 3)
    assert (decision.name, decision.kind, decision.parent) == ("decide", "INTERNAL", own.id)
    assert decision.attributes[names.COUNTED] == own.attributes[names.COUNTED] == "counted"
    assert own.began == decision.began < decision.ended <= attempt.began


async def test_a_busy_endpoint_is_an_attempt_of_its_own(
    fakes: StartFake, serving: StartGateway, received: Received
) -> None:
    turned_away: list[Seen] = []

    async def busy_once(seen: Seen) -> None:
        if not turned_away:
            turned_away.append(seen)
            await seen.wire.send(answer(b"{}", 429))
        else:
            await seen.wire.send(answer(unary()))

    servers = [await fakes(busy_once), await fakes(busy_once)]
    gateway = await serving(servers, traces=ALL)
    assert (await gateway.ask(post(CHAT, chat()))).status == 200
    own, first, second = await spans(received, 3)
    assert (first.attributes[names.STATUS], first.attributes[names.ERROR_TYPE], first.failed) == (429, "429", True)
    assert (second.attributes[names.STATUS], second.attributes[names.RESEND], second.failed) == (200, 1, False)
    assert {first.attributes[names.PORT], second.attributes[names.PORT]} == {fake.port for fake in servers}
    assert first.ended <= second.began
    assert (own.failed, own.attributes[names.OUTCOME]) == (False, "ok")
    parents = [seen.header(b"traceparent") for fake in servers for seen in fake.requests]
    assert sorted(parents) == sorted(b"00-%b-%b-03" % (own.trace.encode(), s.id.encode()) for s in (first, second))


async def test_what_fails_is_kept_though_nothing_is_sampled(
    fakes: StartFake, serving: StartGateway, received: Received
) -> None:
    fake = await fakes()
    gateway = await serving([fake], traces=NONE)
    await fake.stop()
    assert (await gateway.ask(post(CHAT, chat()))).status == 503
    own, first, second = await spans(received, 3)
    assert (own.attributes[names.KEPT], own.attributes[names.STATUS], own.failed) == ("error", 503, True)
    assert own.attributes[names.ERROR_TYPE] == own.attributes[names.CODE] == "endpoint_unreachable"
    assert {first.attributes[names.ERROR_TYPE], second.attributes[names.ERROR_TYPE]} == {"connection_failed"}
    assert first.ended <= second.began


@pytest.mark.parametrize("streamed", [True, False])
async def test_an_answer_that_breaks_is_kept(
    streamed: bool, fakes: StartFake, serving: StartGateway, received: Received
) -> None:
    pieces = [chunked_head(), chunk(content_frame("a"))] if streamed else [answer(unary())[:-5]]
    gateway = await serving([await fakes(says(*pieces, then="close"))], traces=NONE)
    await gateway.ask(post(CHAT, chat(stream=streamed)))
    own, attempt = await spans(received, 2)
    for span in (own, attempt):
        assert (span.attributes[names.ERROR_TYPE], span.failed, span.status_message) == ("upstream_broken", True, "")
    assert own.attributes[names.OUTCOME] == "upstream_error"


async def test_a_model_server_s_own_error_is_kept(fakes: StartFake, serving: StartGateway, received: Received) -> None:
    gateway = await serving([await fakes(says(answer(b'{"error":{"message":"no"}}', 500)))], traces=NONE)
    assert (await gateway.ask(post(CHAT, chat()))).status == 500
    own, attempt = await spans(received, 2)
    assert own.attributes[names.ERROR_TYPE] == attempt.attributes[names.ERROR_TYPE] == "500"


async def test_what_takes_long_is_kept(fakes: StartFake, serving: StartGateway, received: Received) -> None:
    gateway = await serving([await fakes()], traces=NONE | {"slow": 1e-6})
    assert (await gateway.ask(post(CHAT, chat()))).status == 200
    own, _ = await spans(received, 2)
    assert (own.attributes[names.KEPT], own.failed) == ("slow", False)


async def test_all_others_are_not(fakes: StartFake, serving: StartGateway, received: Received) -> None:
    gateway = await serving([await fakes()], traces=NONE)
    assert (await gateway.ask(post(CHAT, chat()))).status == 200
    assert (await gateway.ask(post(CHAT, chat("no-such-model")))).status == 404
    assert (await gateway.ask(post("/v1/none", b"{}"))).status == 404
    await nothing_kept(gateway, received)


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_client_that_leaves(
    streamed: bool, fakes: StartFake, serving: StartGateway, received: Received
) -> None:
    async def begins(seen: Seen) -> None:
        await seen.wire.send(chunked_head(), chunk(content_frame("a")))
        await silence(seen)

    fake = await fakes(begins if streamed else silence)
    gateway = await serving([fake], traces=ALL)
    async with gateway.client() as client:
        client.send(post(CHAT, chat(stream=streamed)))
        await fake.arrived.wait()
        if streamed:
            await client.head()
        client.drop()
        own, attempt = await spans(received, 2)
    assert own.attributes[names.OUTCOME] == "cancelled"
    assert own.attributes[names.ERROR_TYPE] == attempt.attributes[names.ERROR_TYPE] == "cancelled"
    assert (names.STATUS in own.attributes) == streamed
    assert own.ended >= attempt.ended - 1e-6


async def test_what_is_emitted_is_what_is_registered_both_ways(
    fakes: StartFake, serving: StartGateway, received: Received
) -> None:
    short, long = await fakes(says(*STREAM)), await fakes(name=LONG, window=131072)
    gateway = await serving([short], [long], traces=ALL, routing={"exact": "always"})
    assert (await gateway.ask(post(CHAT, chat(stream=True, max_tokens=5)))).status == 200
    await short.stop()
    assert (await gateway.ask(post(CHAT, chat()))).status == 503
    found = await asyncio.to_thread(received.wait_for_spans, 6)
    assert {name for span in found for name in span.attributes} == REGISTERED


async def test_a_request_of_our_own_is_not_traced(
    fakes: StartFake, serving: StartGateway, received: Received, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await serving([await fakes()], traces=ALL)
    admit = gateway.gateway.admit

    def sealed(exchange: Any) -> None:
        admit(exchange)
        exchange.shadow = True

    monkeypatch.setattr(gateway.gateway, "admit", sealed)
    with contextlib.suppress(AssertionError):
        await gateway.ask(post(CHAT, chat()))
    await until(lambda: gateway.gateway.recorder.totals.shadow_requests)
    await nothing_kept(gateway, received)
