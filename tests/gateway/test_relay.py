"""What a client gets of an answer: the model server's bytes, whatever pieces they came in."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.downstream import Connection
from gateway.exchange import Exchange
from gateway.relay import Outcome, Relay
from gateway.upstream_connection import UpstreamConnection
from tests.conftest import StartFake, StartGateway
from tests.fakes.client import chat, post, until
from tests.fakes.http import Message, read_message
from tests.fakes.server import (
    DONE,
    LAST,
    Seen,
    answer,
    chunk,
    chunked_head,
    content_frame,
    says,
    stream,
    unary,
    usage_frame,
)
from tests.fakes.transport import Recorded, ServerParts

CHAT = "/v1/chat/completions"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"


@dataclass
class Relayed:
    message: Message
    outcome: Outcome
    client: Recorded
    upstream: UpstreamConnection


def relayed(
    pieces: Sequence[bytes],
    *,
    then: str = "",
    hide: bool = False,
    streamed: bool = True,
    together: int = 0,
    times: Sequence[float] = (),
) -> Relayed:
    """Relays an answer that is read in just these pieces; the first ``together`` of them before anyone looks.

    ``times``: what the timer says when it is asked for the first time, the second, and so on; else it is a clock.
    """

    async def story() -> Relayed:
        parts = ServerParts()
        client, server = Recorded(), Recorded()
        connection = Connection(parts)
        connection.connection_made(client)
        connection._exchange = exchange = Exchange(connection, b"POST", b"/", [])
        upstream = UpstreamConnection(parts.clock)
        upstream.connection_made(server)
        timer = iter(times).__next__ if times else asyncio.get_running_loop().time
        relay = Relay(exchange, parts.clock, parts.timeouts, timer, 60.0, hide)

        async def attempt() -> Outcome:
            relay.watch(upstream)
            await upstream.send([b"request"])
            return await relay.run(upstream.status, b"", stream=streamed)

        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            task = group.create_task(attempt())
            await asyncio.sleep(0)
            for number, piece in enumerate(pieces, 1):
                if upstream.closed:
                    break
                upstream.data_received(piece)
                if number >= together:
                    await asyncio.sleep(0)
            if then and not upstream.closed:
                upstream.connection_lost(None if then == "close" else ConnectionResetError())
        reader = asyncio.StreamReader()
        reader.feed_data(bytes(client.written))
        reader.feed_eof()
        message = await read_message(reader)
        return Relayed(message or Message(b"", []), task.result(), client, upstream)

    return asyncio.run(story())


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges) if start < end]


PLACES = st.lists(st.integers(0, 100_000), max_size=12)
ENDS = st.sampled_from([b"\n\n", b"\r\n\r\n"])
TEXT = st.text(max_size=12) | st.sampled_from(
    ['"usage":null', '"choices":[],"usage":{"prompt_tokens":9}', "\n\n", "é模😀"]
)


@st.composite
def frames(draw: st.DrawFn) -> tuple[list[bytes], list[bytes]]:
    """A stream's frames, and those that stay if usage is hidden."""
    end = draw(ENDS)
    null = draw(st.booleans())
    came, stay = [], []
    for text in draw(st.lists(TEXT, max_size=6)):
        if draw(st.integers(0, 4)) == 0:
            comment = b": ping" + end
            came.append(comment)
            stay.append(comment)
        came.append(content_frame(text, null_usage=null, end=end))
        stay.append(content_frame(text, end=end))
    if draw(st.booleans()):
        came.append(usage_frame(end=end))
    came.append(b"data: [DONE]" + end)
    stay.append(b"data: [DONE]" + end)
    return came, stay


@st.composite
def framed(draw: st.DrawFn, body: bytes) -> tuple[bytes, str]:
    """The answer's bytes in one of HTTP's three framings, and how its connection ends."""
    way = draw(st.sampled_from(["chunked", "length", "close"]))
    if way == "length":
        return HEAD + b"content-length: %d\r\n\r\n" % len(body) + body, ""
    if way == "close":
        return HEAD + b"\r\n" + body, "close"
    pieces = cut(body, draw(PLACES))
    return HEAD + b"transfer-encoding: chunked\r\n\r\n" + b"".join(map(chunk, pieces)) + LAST, ""


@given(frames(), st.data(), PLACES, st.integers(0, 4))
@settings(deadline=None)
def test_a_stream_is_relayed_byte_by_byte(
    case: tuple[list[bytes], list[bytes]], data: st.DataObject, places: list[int], together: int
) -> None:
    came = b"".join(case[0])
    raw, then = data.draw(framed(came))
    found = relayed(cut(raw, places), then=then, together=together)
    assert found.message.whole
    assert found.message.body == came
    assert found.outcome.error == ""
    assert found.outcome.bytes == len(came)


@given(frames(), st.data(), PLACES, st.integers(0, 4))
@settings(deadline=None)
def test_usage_that_was_not_asked_for_is_taken_out(
    case: tuple[list[bytes], list[bytes]], data: st.DataObject, places: list[int], together: int
) -> None:
    raw, then = data.draw(framed(b"".join(case[0])))
    found = relayed(cut(raw, places), then=then, hide=True, together=together)
    assert found.message.whole
    assert found.message.body == b"".join(case[1])
    if any(b'"usage":{"prompt_tokens":7' in frame for frame in case[0]):
        assert (found.outcome.prompt_tokens, found.outcome.completion_tokens) == (7, 3)


@given(frames(), PLACES, st.integers(0, 4), st.integers(0, 10_000), st.sampled_from(["close", "reset", "garbage"]))
@settings(deadline=None)
def test_a_broken_stream_ends_in_one_error_event(
    case: tuple[list[bytes], list[bytes]], places: list[int], together: int, at: int, how: str
) -> None:
    body = b"".join(case[0])
    kept = body[: at % len(body)]
    raw = HEAD + b"transfer-encoding: chunked\r\n\r\n" + (chunk(kept) if kept else b"")
    pieces = cut(raw, places)
    if how == "garbage":
        pieces[-1] += b"zz\r\n"
        found = relayed(pieces, together=together)
    else:
        found = relayed(pieces, then=how, together=together)
    whole = b""
    for frame in case[0]:
        if kept.startswith(whole + frame):
            whole += frame
    assert found.message.whole
    assert found.message.body.startswith(whole), "frames that had come are lost"
    event = found.message.body[len(whole) :]
    assert event.startswith(b"data: ")
    assert event.endswith(b"\n\n")
    assert event.count(b"\n") == 2
    error = json.loads(event[6:])["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == found.outcome.error == "upstream_broken"
    assert found.client.ended == "close"
    assert found.upstream.transport.is_closing()


@given(st.binary(max_size=300), PLACES, st.sampled_from(["length", "chunked", "close"]), st.integers(0, 4))
@settings(deadline=None)
def test_any_other_answer_is_relayed_byte_by_byte(body: bytes, places: list[int], way: str, together: int) -> None:
    then = ""
    if way == "length":
        raw = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body
    elif way == "chunked":
        raw = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + b"".join(map(chunk, cut(body, places))) + LAST
    else:
        raw, then = b"HTTP/1.1 200 OK\r\n\r\n" + body, "close"
    found = relayed(cut(raw, places), then=then, streamed=False, together=together)
    assert found.message.whole
    assert found.message.body == body
    assert found.outcome.bytes == len(body)
    assert found.outcome.error == ""


@given(
    st.binary(min_size=1, max_size=300),
    PLACES,
    st.integers(0, 299),
    st.sampled_from(["close", "reset"]),
    st.integers(0, 4),
)
@settings(deadline=None)
def test_a_truncated_answer_is_reset(body: bytes, places: list[int], at: int, how: str, together: int) -> None:
    raw = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(body) + body[: at % len(body)]
    found = relayed(cut(raw, places), then=how, streamed=False, together=together)
    assert found.client.ended == "abort"
    assert found.outcome.error == "upstream_broken"
    assert body != found.message.body


def test_a_blank_line_too_many_at_the_end_is_no_break() -> None:
    raw = HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunk(DONE) + chunk(b"\n") + LAST
    for pieces in (cut(raw, range(len(raw))), [raw]):
        found = relayed(pieces)
        assert found.outcome.error == ""
        assert found.message.body == DONE + b"\n"


def test_two_usage_frames_are_both_hidden() -> None:
    raw = HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunk(usage_frame(1, 1) + usage_frame(7, 3) + DONE) + LAST
    found = relayed([raw], hide=True)
    assert found.message.body == DONE
    assert found.outcome.prompt_tokens == 7


def test_a_frame_without_end_is_given_up() -> None:
    big = b"x" * (1 << 20)
    raw = [HEAD + b"transfer-encoding: chunked\r\n\r\n" + chunk(DONE), *[chunk(big)] * 20]
    found = relayed(raw)
    assert found.message.body.startswith(DONE + b'data: {"error"')
    assert found.outcome.error == "upstream_broken"


# -- against a direct call ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize("hidden", [False, True])
async def test_a_stream_over_the_wire(size: int, hidden: bool, fakes: StartFake, serving: StartGateway) -> None:
    came = [content_frame("a"), b": ping\n\n", content_frame("é模"), usage_frame(), DONE]
    raw = b"".join(stream(came))
    pieces = [raw[start : start + size] for start in range(0, len(raw), size)]
    gateway = await serving([await fakes(says(*pieces))])
    options = {} if hidden else {"stream_options": {"include_usage": True}}
    found = await gateway.ask(post(CHAT, chat(stream=True, **options)))
    assert found.body == b"".join(frame for frame in came if not hidden or b'"usage"' not in frame)
    assert found.header(b"content-type") == b"text/event-stream; charset=utf-8"
    await gateway.quiet()


async def test_a_large_unary_answer_over_the_wire(fakes: StartFake, serving: StartGateway) -> None:
    body = unary("x" * 3_000_000)
    gateway = await serving([await fakes(says(answer(body)))])
    found = await gateway.ask(post(CHAT, chat()))
    assert found.body == body


async def test_a_truncated_unary_answer_is_reset_over_the_wire(fakes: StartFake, serving: StartGateway) -> None:
    for sent in (answer(unary())[:-5], answer(unary()).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"):
        for then in ("close", "reset"):
            fake = await fakes(says(sent, then=then))
            gateway = await serving([fake])
            async with gateway.client() as client:
                client.send(post(CHAT, chat()))
                found = await client.read()
                assert found is None or not found.whole
            await gateway.quiet()
            (line,) = await gateway.log_lines()
            assert json.loads(line)["outcome"] == "upstream_error"
            assert json.loads(line)["code"] == "upstream_broken"


# -- slow clients -------------------------------------------------------------------------------------------------


async def test_a_slow_client_pauses_the_model_server(fakes: StartFake, serving: StartGateway) -> None:
    sent = 0
    frame = b"data: " + b"x" * 50_000 + b"\n\n"

    async def script(seen: Seen) -> None:
        nonlocal sent
        await seen.wire.send(chunked_head())
        for _ in range(300):
            await seen.wire.send(chunk(frame))
            sent += 1
        await seen.wire.send(chunk(DONE), LAST)

    gateway = await serving([await fakes(script)], limits={"stream_buffer_bytes": 100_000})
    async with gateway.client() as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(post(CHAT, chat(stream=True)))
        await until(lambda: any(connection._paused_since is not None for connection in gateway.gateway.connections))
        (connection,) = gateway.gateway.connections
        assert connection.unsent() < 2_000_000
        before = sent
        for _ in range(100):
            await asyncio.sleep(0)
        assert sent <= before + 100 < 300
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        found = await client.answer()
        assert found.body == frame * 300 + DONE
    await gateway.quiet()


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_connection_that_was_paused_can_be_used_again(
    streamed: bool, fakes: StartFake, serving: StartGateway
) -> None:
    big = content_frame("x" * 20_000_000)
    pieces = stream([big, DONE]) if streamed else (answer(unary("x" * 20_000_000)),)
    fake = await fakes(says(*pieces))
    gateway = await serving([fake], limits={"stream_buffer_bytes": 1000})
    async with gateway.client() as slow:
        slow.writer.transport.pause_reading()  # type: ignore[attr-defined]
        slow.send(post(CHAT, chat(stream=streamed)))
        await fake.arrived.wait()
        # The answer is whole in the gateway, and its client has not read it.
        (connection,) = gateway.gateway.connections
        await until(lambda: gateway.in_flight() == 0 or connection._paused_since is not None)
        slow.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert (await slow.answer()).status == 200
        await gateway.quiet()
        fake.script = says(answer(unary()))
        assert (await gateway.ask(post(CHAT, chat()))).body == unary()


FIVE = [content_frame(str(number)) for number in range(5)]
ENDINGS = [[], [DONE], [usage_frame(), DONE]]


@pytest.mark.parametrize("ending", ENDINGS, ids=["nothing", "done", "usage"])
@pytest.mark.parametrize("hide", [False, True])
@pytest.mark.parametrize("at_once", [1, 2, 7])
def test_time_per_chunk_is_that_of_output(ending: list[bytes], hide: bool, at_once: int) -> None:
    """Five chunks from 10.0 on, and the end at 14.0, however they are read and whatever ends the stream."""
    frames = [*FIVE, *ending]
    reads = [b"".join(map(chunk, frames[at : at + at_once])) for at in range(0, len(frames), at_once)]
    found = relayed([chunked_head(), *reads, LAST], hide=hide, times=[10.0, 14.0])
    assert found.outcome.chunk_seconds == 1.0
    assert (found.outcome.streamed, found.outcome.first_byte_at) == (True, 10.0)


@pytest.mark.parametrize("frames", [[], [content_frame("a")], [DONE], [content_frame("a"), DONE]])
def test_one_chunk_has_no_time_per_chunk(frames: list[bytes]) -> None:
    found = relayed([chunked_head(), *map(chunk, frames), LAST], times=[10.0, 14.0])
    assert found.outcome.chunk_seconds == 0.0


def test_a_broken_stream_has_no_time_per_chunk() -> None:
    found = relayed([chunked_head(), *map(chunk, FIVE)], then="close", times=[10.0, 14.0])
    assert (found.outcome.chunk_seconds, found.outcome.first_byte_at) == (0.0, 10.0)


def test_an_answer_that_is_not_streamed_has_no_time_per_chunk() -> None:
    body = b"x" * 10
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 10\r\n\r\n"
    found = relayed([head, body[:3], body[3:]], streamed=False, times=[10.0, 14.0, 15.0])
    assert (found.outcome.chunk_seconds, found.outcome.streamed) == (0.0, False)


def test_what_pauses_with_the_last_piece_does_not_stay_paused() -> None:
    async def story() -> None:
        parts = ServerParts()
        connection = Connection(parts)
        client, server = Recorded(), Recorded()
        connection.connection_made(client)
        exchange = Exchange(connection, b"POST", b"/", [])
        connection._exchange = exchange
        upstream = UpstreamConnection(parts.clock)
        upstream.connection_made(server)
        relay = Relay(exchange, parts.clock, parts.timeouts, asyncio.get_running_loop().time, 60.0, False)
        relay.watch(upstream)
        write = client.write

        def full(data: bytes) -> None:
            write(data)
            connection.pause_writing()

        client.write = full  # type: ignore[method-assign]
        async with asyncio.TaskGroup() as group:
            sending = group.create_task(upstream.send([b"x"]))
            await asyncio.sleep(0)
            upstream.data_received(answer(b"{}"))
            await sending
            await relay.run(200, b"", stream=False)
        assert server.reading

    asyncio.run(story())


async def test_a_pipelined_answer_waits_for_the_client_too(fakes: StartFake, serving: StartGateway) -> None:
    sent = 0
    frame = b"data: " + b"x" * 50_000 + b"\n\n"

    async def script(seen: Seen) -> None:
        nonlocal sent
        if json.loads(seen.body).get("stream"):
            await seen.wire.send(chunked_head())
            for _ in range(400):
                await seen.wire.send(chunk(frame))
                sent += 1
            await seen.wire.send(chunk(DONE), LAST)
        else:
            await seen.wire.send(answer(unary("y" * 10_000_000)))

    gateway = await serving([await fakes(script)], limits={"stream_buffer_bytes": 100_000})
    async with gateway.client() as client:
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        client.send(post(CHAT, chat()) + post(CHAT, chat(stream=True)))
        (connection,) = await _connections(gateway)
        client.writer.transport.resume_reading()  # type: ignore[attr-defined]
        await client.head()
        client.writer.transport.pause_reading()  # type: ignore[attr-defined]
        for _ in range(3000):
            await asyncio.sleep(0)
        assert connection.unsent() < 14_000_000
        assert sent < 400


async def _connections(gateway: object) -> list[Connection]:
    found = gateway.gateway.connections  # type: ignore[attr-defined]
    await until(lambda: found)
    return list(found)
