"""Fill in the middle and base models: who answers, by what length, and what no model can do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.config import Config
from tests.conftest import StartFake, StartGateway
from tests.fakes.client import post
from tests.fakes.completions import CHAT, COMPLETIONS, ROUTE, TOKENIZE, completes, completion, expected_prompt, refusal
from tests.fakes.gateway import LONG, SHORT, RunningGateway, running
from tests.fakes.server import FakeServer

BASE = "codegeex2-6b"


@pytest.fixture
async def both(fakes: StartFake, serving: StartGateway) -> tuple[RunningGateway, FakeServer, FakeServer]:
    short, long = await fakes(completes), await fakes(completes, name=LONG, window=131_072)
    return await serving([short], [long]), short, long


Both = tuple[RunningGateway, FakeServer, FakeServer]

# -- where it goes ------------------------------------------------------------------------------------------------


async def test_auto_goes_by_the_translated_length(both: Both) -> None:
    """Suffix and other files count as the prompt does, and so does the frame."""
    gateway, short, long = both
    await gateway.ask(post(COMPLETIONS, completion(model="auto")))
    await gateway.ask(post(COMPLETIONS, completion(model="auto", suffix="x = 1\n" * 20_000)))
    files = [{"path": f"{number}.py", "content": "x = 1\n" * 2000} for number in range(10)]
    await gateway.ask(post(COMPLETIONS, completion(model="auto", reference_files=files)))
    assert len(short.requests) == 1
    assert len(long.requests) == 2
    assert json.loads(long.requests[0].body)["prompt"].startswith("<|fim_prefix|>def f(<|fim_suffix|>x = 1\n")
    assert json.loads(long.requests[1].body)["prompt"].startswith("<|repo_name|>")


async def test_the_threshold_is_met_to_the_token(fakes: StartFake, serving: StartGateway) -> None:
    """A count is one of the text that the counting model gets."""
    asked: list[dict[str, Any]] = []

    async def tokenize(body: bytes) -> bytes:
        asked.append(json.loads(body))
        return json.dumps({"count": len(asked[-1]["prompt"]), "max_model_len": 9, "tokens": None}).encode()

    frame = expected_prompt(SHORT, "", "")
    short, long = await fakes(completes, tokenize=tokenize), await fakes(completes, name=LONG, tokenize=tokenize)
    routing = {"threshold": len(frame) + 1000, "exact": "always"}
    gateway = await serving([short], [long], routing=routing)
    for size, expected in ((500, SHORT), (501, LONG)):
        message = await gateway.ask(post(COMPLETIONS, completion(model="auto", prompt="é" * size, suffix="x" * 500)))
        assert message.header(b"x-yardstick-model") == expected.encode()
    assert asked[0] == {"prompt": expected_prompt(SHORT, "é" * 500, "x" * 500), "add_special_tokens": False}
    counted_for_long = [body for body in asked if body["prompt"].startswith("<|fim_prefix|>")]
    assert counted_for_long == [{"prompt": expected_prompt(LONG, "é" * 501, "x" * 500), "add_special_tokens": True}]


async def test_route_and_tokenize_see_the_translated_prompt(both: Both) -> None:
    gateway, short, _ = both
    seen: list[bytes] = []

    async def tokenize(body: bytes) -> bytes:
        seen.append(body)
        return b'{"count": 321, "max_model_len": 9, "tokens": null}'

    short.tokenize = tokenize
    message = await gateway.ask(post(TOKENIZE, completion()))
    assert json.loads(message.body)["count"] == 321
    assert json.loads(seen[0])["prompt"] == expected_prompt(SHORT, "def f(", "\n    return x\n")
    routed = json.loads((await gateway.ask(post(ROUTE, completion(model="auto")))).body)
    assert routed["model"] == SHORT
    assert routed["prompt_tokens"] >= len(expected_prompt(SHORT, "def f(", "\n    return x\n"))


# -- models that cannot -------------------------------------------------------------------------------------------


async def test_a_base_model_neither_chats_nor_fills_in(fakes: StartFake) -> None:
    base, long = await fakes(completes, name=BASE, window=8192), await fakes(completes, name=LONG)
    chat = {"messages": [{"role": "user", "content": "hello"}]}
    async with running(three_pools({BASE: base, LONG: long}, short=BASE, long=LONG)) as gateway:
        for path, body in ((CHAT, chat), (COMPLETIONS, {"prompt": "a", "suffix": "b"})):
            for route in (path, ROUTE, TOKENIZE):
                error = await refusal(gateway, json.dumps({"model": BASE, **body}).encode(), route)
                assert error["param"] == "model"
                assert BASE in error["message"]
                assert route == TOKENIZE or LONG in error["message"]
            message = await gateway.ask(post(path, json.dumps({"model": "auto", **body}).encode()))
            assert message.header(b"x-yardstick-model") == LONG.encode()
            assert message.header(b"x-yardstick-reason") == b"only-able-model"
        plain = await gateway.ask(post(COMPLETIONS, json.dumps({"model": "auto", "prompt": "# language: Go"}).encode()))
        assert plain.header(b"x-yardstick-reason") == b"short-prompt"
    assert [json.loads(seen.body)["prompt"] for seen in base.requests] == ["# language: Go"]


async def test_where_no_model_can(fakes: StartFake) -> None:
    base = await fakes(completes, name=BASE, window=8192)
    async with running(three_pools({BASE: base}, short=BASE, long=BASE)) as gateway:
        error = await refusal(gateway, completion(model="auto"))
        assert error["param"] == "model"
        assert "No model here" in error["message"]


async def test_three_pools_of_two_families_and_auto_between_two_of_one(fakes: StartFake) -> None:
    small, large = "iquest-coder-v1-7b-instruct", "iquest-coder-v1-40b-thinking"
    servers = {name: await fakes(completes, name=name, window=131_072) for name in (small, large, SHORT)}
    async with running(three_pools(servers, short=small, long=large)) as gateway:
        for name, fake in servers.items():
            message = await gateway.ask(post(COMPLETIONS, completion(model=name)))
            assert message.header(b"x-yardstick-model") == name.encode()
            assert json.loads(fake.requests[0].body)["model"] == name
        for size, name in ((10, small), (200_000, large)):
            message = await gateway.ask(post(COMPLETIONS, completion(model="auto", prompt="x y\n" * (size // 4))))
            assert message.header(b"x-yardstick-model") == name.encode()
        models = json.loads((await gateway.ask(b"GET /v1/models HTTP/1.1\r\nhost: g\r\n\r\n")).body)
        assert {card["id"] for card in models["data"]} == {"auto", *servers}


def three_pools(servers: dict[str, FakeServer], *, short: str, long: str) -> Any:
    pools = [{"model": name, "endpoints": [{"url": fake.url}]} for name, fake in servers.items()]
    return Config.model_validate({"pools": pools, "routing": {"short": short, "long": long}})
