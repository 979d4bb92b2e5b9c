"""What a model server gets of a trace: the gateway's span as its parent, if there is one, else what the client sent."""

from __future__ import annotations

import asyncio

import pytest

from tests.conftest import StartFake, StartGateway
from tests.fakes.client import chat, post
from tests.fakes.otlp import Received
from tests.fakes.server import Seen

CHAT = "/v1/chat/completions"
TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
STATE = [("Tracestate", "one=1"), ("tracestate", "two=2 , three=3")]
Headers = list[tuple[str, str]]


def parent(flags: str, trace: str = TRACE) -> tuple[str, str]:
    return "Traceparent", f"00-{trace}-{PARENT}-{flags}"


def context(seen: Seen) -> list[tuple[bytes, bytes]]:
    return [pair for pair in seen.message.headers if pair[0] in (b"traceparent", b"tracestate")]


def sent(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode()) for name, value in headers]


async def asked(
    fakes: StartFake, serving: StartGateway, headers: Headers, sample: float = 0.0
) -> list[tuple[bytes, bytes]]:
    fake = await fakes()
    gateway = await serving([fake], traces={"sample": sample})
    assert (await gateway.ask(post(CHAT, chat(), headers))).status == 200
    return context(fake.requests[0])


@pytest.mark.parametrize("flags", ["01", "03", "ff"])
async def test_a_sampled_one_goes_on_with_the_gateway_s_span(
    flags: str, fakes: StartFake, serving: StartGateway, received: Received
) -> None:
    came = await asked(fakes, serving, [parent(flags), *STATE])
    own, attempt = sorted(await asyncio.to_thread(received.wait_for_spans, 2), key=lambda span: span.kind, reverse=True)
    assert (own.trace, own.parent, attempt.parent) == (TRACE, PARENT, own.id)
    kept = "01" if flags == "01" else "03"  # nothing of bits that nobody knows
    assert came == [*sent(STATE), (b"traceparent", f"00-{TRACE}-{attempt.id}-{kept}".encode())]
    assert own.state == attempt.state == ""


@pytest.mark.usefixtures("received")
@pytest.mark.parametrize("headers", [[], [parent("00")], [parent("00"), *STATE], [parent("02"), *STATE], STATE])
async def test_one_that_is_not_sampled_goes_on_unchanged(
    headers: Headers, fakes: StartFake, serving: StartGateway
) -> None:
    assert await asked(fakes, serving, headers) == sent(headers)


@pytest.mark.parametrize("headers", [[parent("1")], [parent("01", "0" * 32)], [parent("01"), parent("01")], []])
async def test_one_that_is_malformed_is_ignored(
    headers: Headers, fakes: StartFake, serving: StartGateway, received: Received
) -> None:
    came = await asked(fakes, serving, [*headers, *STATE], sample=1.0)
    own, attempt = sorted(await asyncio.to_thread(received.wait_for_spans, 2), key=lambda span: span.kind, reverse=True)
    assert own.parent == ""
    assert own.trace != TRACE
    assert came == [(b"traceparent", f"00-{own.trace}-{attempt.id}-03".encode())]


@pytest.mark.usefixtures("received")
async def test_one_that_is_malformed_goes_nowhere_where_nothing_is_sampled(
    fakes: StartFake, serving: StartGateway
) -> None:
    assert await asked(fakes, serving, [parent("1"), *STATE]) == []


@pytest.mark.parametrize("headers", [[parent("01"), *STATE], [parent("1")], []])
async def test_without_a_receiver_all_of_it_goes_on_unchanged(
    headers: Headers, fakes: StartFake, serving: StartGateway
) -> None:
    assert await asked(fakes, serving, headers, sample=1.0) == sent(headers)
