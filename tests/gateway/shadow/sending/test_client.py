from __future__ import annotations

import asyncio
import json

import pytest

from gateway.shadow.canary.mark import HEADER, marked
from gateway.shadow.canary.request import CHAT, COMPLETIONS, CanaryRequest
from gateway.shadow.sending import Answer, GatewayClient
from gateway.shadow.store import State
from tests.conftest import StartFake
from tests.fakes.completions import whole
from tests.fakes.server import FakeServer, Script, answer, says, silence, unary
from tests.gateway.shadow.sending.worlds import SECRET, error, too_long

_NULL = unary().replace(b'"def f(): ..."', b"null")


async def asked(gateway: FakeServer, route: str = CHAT) -> Answer:
    client = GatewayClient(gateway.url, SECRET, timeout=20)
    try:
        return await client.ask(CanaryRequest(route, "m", {"model": "m"}), "an-id")
    finally:
        await client.aclose()


@pytest.mark.parametrize(
    ("body", "route", "expected"),
    [
        (unary("x"), CHAT, Answer(State.WAITING, "x", "stop", 7, 3, spent=10)),
        (_NULL, CHAT, Answer(State.WAITING, "", "stop", 7, 3, spent=10)),
        (whole("x"), COMPLETIONS, Answer(State.WAITING, "x", "stop", 9, 3, spent=12)),
    ],
)
async def test_an_answer(fakes: StartFake, body: bytes, route: str, expected: Answer) -> None:
    gateway = await fakes(says(answer(body)))
    assert await asked(gateway, route) == expected
    (seen,) = gateway.requests
    assert marked(SECRET, seen.header(HEADER)) == "an-id"
    assert json.loads(seen.body) == {"model": "m"}


@pytest.mark.parametrize(
    ("script", "state", "spent"),
    [
        (says(answer(error, 503)), State.SHED, 0),
        (says(answer(error, 429)), State.SHED, 0),
        (says(answer(too_long, 400)), State.BEYOND_WINDOW, 0),
        (says(answer(error, 400)), State.ERROR, 0),
        (says(answer(b"[" * 100_000, 400)), State.ERROR, 0),
        (says(answer(b"", 500)), State.ERROR, 0),
        (says(answer(b"{}")), State.ERROR, None),
        (says(answer(b"[" * 100_000)), State.ERROR, None),
        (says(answer(b'{"choices": []}')), State.ERROR, None),
        (says(answer(unary().replace(b"7", b"-7"))), State.ERROR, None),
        (says(answer(unary().replace(b'"def f(): ..."', b"1"))), State.ERROR, 10),
        (says(answer(unary())[:-5], then="close"), State.ERROR, None),
        (says(b"nonsense\r\n\r\n", then="close"), State.ERROR, None),
    ],
)
async def test_what_is_no_answer(fakes: StartFake, script: Script, state: State, spent: int | None) -> None:
    found = await asked(await fakes(script))
    assert (found.state, found.spent, found.text) == (state, spent, None)
    assert found.reason


async def test_no_gateway(fakes: StartFake) -> None:
    gateway = await fakes()
    await gateway.stop()
    assert await asked(gateway) == Answer(State.ERROR, reason="no connection")


async def test_cancellation_reaches_the_gateway(fakes: StartFake) -> None:
    gateway = await fakes(silence)
    task = asyncio.ensure_future(asked(gateway))
    await gateway.arrived.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await gateway.wires[0].closed.wait()
