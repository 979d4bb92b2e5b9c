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


async def test_the_only_model_gets_them_whatever_it_can(fakes: StartFake, serving: StartGateway) -> None:
    fake = await fakes()
    gateway = await serving([fake])
    found = await gateway.ask(post(CHAT, chat(tools=[TOOL])))
    assert found.header(b"x-yardstick-reason") == b"only-model"
