"""The end: readiness fails first, answers under way are completed, and what takes too long is told so."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.drain import drain
from tests.conftest import StartFake, StartGateway
from tests.fakes.client import chat, get, post, until
from tests.fakes.gateway import SHORT, RunningGateway
from tests.fakes.process import serve_process, write_config
from tests.fakes.server import LAST, Script, Seen, answer, chunk, chunked_head, content_frame, silence, unary

CHAT = "/v1/chat/completions"


def held(go: asyncio.Event) -> Script:
    """A stream of two frames: the second one comes when it is told to."""

    async def script(seen: Seen) -> None:
        await seen.wire.send(chunked_head(), chunk(content_frame("one")))
        await go.wait()
        await seen.wire.send(chunk(content_frame("two")), chunk(b"data: [DONE]\n\n"), LAST)

    return script


@contextlib.asynccontextmanager
async def draining(gateway: RunningGateway, *, delayed: bool = False) -> AsyncIterator[asyncio.Task[int]]:
    task = asyncio.ensure_future(drain(gateway.gateway, [gateway.server], delayed=delayed))
    await until(lambda: gateway.gateway.draining)
    yield task
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_before_the_listener_closes_readiness_fails_and_all_else_goes_on(
    fakes: StartFake, serving: StartGateway
) -> None:
    gateway = await serving([await fakes()], drain={"delay": 3600})
    async with gateway.client() as kept:
        assert (await kept.ask(get("/health/ready"))).status == 200
        async with draining(gateway, delayed=True):
            found = await gateway.ask(get("/health/ready"))
            assert (found.status, found.error["code"]) == (503, "draining")
            assert (await gateway.ask(get("/health/live"))).status == 200
            found = await kept.ask(post(CHAT, chat()))
            assert (found.status, found.header(b"connection")) == (200, b"close")
            assert await kept.closed()


async def test_answers_end_and_idle_connections_close(fakes: StartFake, serving: StartGateway) -> None:
    go = asyncio.Event()
    gateway = await serving([await fakes(held(go))])
    async with gateway.client() as idle, gateway.client() as busy:
        assert (await idle.ask(get("/health/live"))).status == 200
        busy.send(post(CHAT, chat(stream=True)))
        await busy.head()
        assert await busy.frame() == content_frame("one")
        async with draining(gateway) as drained:
            assert await idle.closed()
            with pytest.raises(ConnectionRefusedError):
                await gateway.ask(get("/health/live"))
            assert not drained.done()
            go.set()
            assert await busy.frame() == content_frame("two")
            assert await busy.frame() == b"data: [DONE]\n\n"
            assert await busy.frame() == b""
            assert await busy.closed()
            assert await drained == 0


async def test_requests_that_have_begun_to_come_are_answered(fakes: StartFake, serving: StartGateway) -> None:
    gateway = await serving([await fakes()])
    request = post(CHAT, chat())
    async with gateway.client() as in_head, gateway.client() as in_body:
        in_head.send(request[:20])
        in_body.send(request[:-5])
        await until(lambda: sorted(each._phase for each in gateway.gateway.connections) == ["body", "header"])
        async with draining(gateway) as drained:
            for client, rest in ((in_head, request[20:]), (in_body, request[-5:])):
                client.send(rest)
                found = await client.answer()
                assert (found.status, found.header(b"connection")) == (200, b"close")
                assert await client.closed()
            assert await drained == 0


async def test_pipelined_requests_are_all_answered(fakes: StartFake, serving: StartGateway) -> None:
    go = asyncio.Event()

    async def script(seen: Seen) -> None:
        await go.wait()
        await seen.wire.send(answer(unary()))

    fake = await fakes(script)
    gateway = await serving([fake])
    async with gateway.client() as client:
        client.send(post(CHAT, chat()) * 3)
        await fake.arrived.wait()
        await until(lambda: any(len(each._queue) == 2 for each in gateway.gateway.connections))
        async with draining(gateway) as drained:
            go.set()
            closings = [(await client.answer()).header(b"connection") for _ in range(3)]
            assert closings == [None, None, b"close"]
            assert await client.closed()
            assert await drained == 0


async def test_what_takes_longer_than_the_grace_is_told_so(fakes: StartFake, serving: StartGateway) -> None:
    fake = await fakes(held(asyncio.Event()))
    waiting = await fakes(silence, name="iquest-coder-v1-40b-loop-instruct")
    gateway = await serving([fake], [waiting], drain={"grace": 0})
    async with gateway.client() as stream, gateway.client() as unanswered, gateway.client() as sending:
        stream.send(post(CHAT, chat(SHORT, stream=True)))
        await stream.head()
        await stream.frame()
        unanswered.send(post(CHAT, chat(waiting.name)))
        await waiting.arrived.wait()
        sending.send(post(CHAT, chat())[:-5])
        await until(lambda: any(each._phase == "body" for each in gateway.gateway.connections))
        async with draining(gateway) as drained:
            event = await stream.frame()
            assert event.startswith(b'data: {"error":')
            assert b'"code":"shutting_down"' in event
            assert await stream.frame() == b""
            assert await stream.closed()
            for client in (unanswered, sending):
                found = await client.answer()
                assert (found.status, found.error["code"]) == (503, "shutting_down")
                assert found.header(b"connection") == b"close"
            await gateway.quiet()
            assert await drained == 3
    requests = gateway.gateway.recorder.totals.requests
    assert sum(requests.values()) == 3
    assert not any(outcome == "ok" for _, _, outcome in requests)


async def test_a_request_that_has_no_model_server_yet_is_told_too(fakes: StartFake, serving: StartGateway) -> None:
    """It waits for its prompt to be counted."""

    async def never(body: bytes) -> bytes:
        await asyncio.Event().wait()
        return b""

    fake = await fakes(tokenize=never)
    gateway = await serving([fake], routing={"exact": "always"}, drain={"grace": 0})
    async with gateway.client() as client:
        client.send(post(CHAT, chat(content="x" * 5000, max_tokens=30_000)))
        await until(lambda: any(each._task is not None for each in gateway.gateway.connections))
        async with draining(gateway) as drained:
            found = await client.answer()
            assert (found.status, found.error["code"]) == (503, "shutting_down")
            assert await drained == 1
    await gateway.quiet()


async def test_sigterm_lets_a_slow_stream_end(tmp_path: Path, fakes: StartFake) -> None:
    go = asyncio.Event()
    fake = await fakes(held(go))
    config = write_config(tmp_path / "y.yaml", {SHORT: [fake.url]}, drain={"delay": 0.2})
    async with serve_process(config) as process, process.client() as client:
        client.send(post(CHAT, chat(stream=True)))
        await client.head()
        await client.frame()
        process.signal(signal.SIGTERM)
        await process.says("shutting down; open connections: 1")
        async with asyncio.timeout(10):
            while True:
                try:
                    found = await process.ask(get("/health/ready"))
                except (ConnectionError, AssertionError):  # the listener is closed, or was about to
                    break
                assert (found.status, found.error["code"]) == (503, "draining")
        go.set()
        rest = await client.reader.read()
        assert content_frame("two") in rest
        assert rest.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        assert await process.ended() == 0


async def test_a_second_signal_ends_at_once(tmp_path: Path, fakes: StartFake) -> None:
    fake = await fakes(silence)
    config = write_config(tmp_path / "y.yaml", {SHORT: [fake.url]})
    async with serve_process(config) as process, process.client() as client:
        client.send(post(CHAT, chat()))
        await fake.arrived.wait()
        process.signal(signal.SIGINT)
        await process.says("shutting down")
        process.signal(signal.SIGINT)
        assert await process.ended() == 1
        assert not any("Traceback" in line for line in process.said)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_before_it_serves_is_no_failure(
    tmp_path: Path, fakes: StartFake, number: signal.Signals
) -> None:
    never = asyncio.Event()

    async def hang(seen: Seen) -> None:
        await never.wait()

    fake = await fakes(hang)

    # /v1/models of a server that accepts and says nothing: the first look is still waiting
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.set()
        with contextlib.suppress(ConnectionError):
            await reader.read()
            await reader.read()
        writer.close()

    asked = asyncio.Event()
    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    config = write_config(tmp_path / "y.yaml", {SHORT: [url]})
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "serve", "--config", str(config)), stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(40):
        await asked.wait()
        process.send_signal(number)
        _, said = await process.communicate()
    server.close()
    assert (process.returncode, said.count(b"\n")) == (0, 1), said
    assert fake.requests == []


@pytest.mark.parametrize("workers", [1, 2])
async def test_it_drains_where_nobody_reads_what_it_says(tmp_path: Path, fakes: StartFake, workers: int) -> None:
    go = asyncio.Event()
    fake = await fakes(held(go))
    config = write_config(tmp_path / "y.yaml", {SHORT: [fake.url]}, workers=workers, drain={"delay": 0})
    async with serve_process(config) as process, process.client() as client:
        client.send(post(CHAT, chat(stream=True)))
        await client.head()
        process.stop_listening()
        process.signal(signal.SIGTERM)
        await process.refuses()
        go.set()
        assert (await client.reader.read()).endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        assert await process.ended() == 0


async def test_ctrl_c_while_it_is_being_imported_says_nothing() -> None:
    code = (
        "import runpy, sys, os, signal\n"
        "class Late:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'gateway.cli':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Late())\n"
        "runpy.run_module('gateway', run_name='__main__')\n"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stderr=asyncio.subprocess.PIPE)
    _, said = await process.communicate()
    assert (process.returncode, said) == (-signal.SIGINT, b"")
