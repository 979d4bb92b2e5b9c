"""`auto` sends requests with tools to a model whose servers can parse its calls."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conftest import StartFake, StartGateway
from tests.fakes.client import chat, post
from tests.fakes.gateway import LONG, SHORT

CHAT = "/v1/chat/completions"
TOOL = {"type": "function", "function": {"name": "read", "parameters": {"type": "object"}}}


def pools(short: Any, long: Any, **settings: Any) -> list[dict[str, Any]]:
    return [
        {"model": SHORT, "endpoints": [{"url": short.url}], **settings},
        {"model": LONG, "endpoints": [{"url": long.url}]},
    ]


@pytest.mark.parametrize(
    ("fields", "model", "reason"),
    [
        ({"tools": [TOOL]}, LONG, "only-able-model"),
        ({"tools": [TOOL], "tool_choice": "auto"}, LONG, "only-able-model"),
        ({"tools": [TOOL], "tool_choice": "none"}, SHORT, "short-prompt"),
        ({"tools": []}, SHORT, "short-prompt"),
        ({"tools": None}, SHORT, "short-prompt"),
        ({}, SHORT, "short-prompt"),
        ({"tools": [TOOL], "model": SHORT}, SHORT, "named-model"),
    ],
)
async def test_who_gets_tools(
    fields: dict[str, Any], model: str, reason: str, fakes: StartFake, serving: StartGateway
) -> None:
    short, long = await fakes(), await fakes(name=LONG, window=131_072)
    gateway = await serving([short], [long])
    found = await gateway.ask(post(CHAT, chat(**fields)))
    assert found.status == 200
    assert found.header(b"x-yardstick-model") == model.encode()
    assert found.header(b"x-yardstick-reason") == reason.encode()


async def test_servers_with_a_parser_get_them(fakes: StartFake, serving: StartGateway) -> None:
    short, long = await fakes(), await fakes(name=LONG, window=131_072)
    gateway = await serving([short], [long], pools=pools(short, long, tools=True))
    found = await gateway.ask(post(CHAT, chat(tools=[TOOL])))
    assert found.header(b"x-yardstick-reason") == b"short-prompt"


@pytest.mark.parametrize(
    ("short_parser", "long_parser", "reason"),
    [
        (True, None, b"short-prompt"),
        (True, True, b"short-prompt"),
        (True, False, b"only-able-model"),
        (False, False, b"short-prompt"),
        (False, True, b"only-able-model"),
        (None, None, b"only-able-model"),
    ],
)
async def test_servers_are_asked(
    short_parser: bool | None, long_parser: bool | None, reason: bytes, fakes: StartFake, serving: StartGateway
) -> None:
    """Those that do not tell are taken for what is usual: the long model's servers parse calls, the short one's not."""
    short = await fakes(tool_parser=short_parser)
    long = await fakes(name=LONG, window=131_072, tool_parser=long_parser)
    gateway = await serving([short], [long])
    found = await gateway.ask(post(CHAT, chat(tools=[TOOL])))
    assert found.header(b"x-yardstick-reason") == reason
    assert (
        found.header(b"x-yardstick-model")
        == (LONG if reason == b"only-able-model" and not short_parser else SHORT).encode()
    )


async def test_one_without_a_parser_is_enough(fakes: StartFake, serving: StartGateway) -> None:
    """Any of the pool's servers may be picked."""
    shorts = [await fakes(tool_parser=True), await fakes(tool_parser=False)]
    gateway = await serving(shorts, [await fakes(name=LONG, window=131_072)])
    found = await gateway.ask(post(CHAT, chat(tools=[TOOL])))
    assert found.header(b"x-yardstick-model") == LONG.encode()


async def test_a_server_that_comes_back_is_asked_again(fakes: StartFake, serving: StartGateway) -> None:
    short, long = await fakes(tool_parser=False), await fakes(name=LONG, window=131_072)
    gateway = await serving([short], [long])
    await short.stop()
    await gateway.gateway.discovery.look_once()
    short.tool_parser = True
    await short.start()
    await gateway.gateway.discovery.look_once()
    found = await gateway.ask(post(CHAT, chat(tools=[TOOL])))
    assert found.header(b"x-yardstick-model") == SHORT.encode()


async def test_the_only_model_gets_them_whatever_it_can(fakes: StartFake, serving: StartGateway) -> None:
    fake = await fakes()
    gateway = await serving([fake])
    found = await gateway.ask(post(CHAT, chat(tools=[TOOL])))
    assert found.header(b"x-yardstick-reason") == b"only-model"
