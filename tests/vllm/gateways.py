"""A gateway in the test's own loop, in front of real model servers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

from gateway.config import Config
from tests.fakes.client import Client, post
from tests.fakes.gateway import LONG, SHORT, RunningGateway, running
from tests.fakes.http import Message, read_message

from .servers import RunningVllm, until

SECONDS = 300.0  # for an answer of two busy cores


@contextlib.asynccontextmanager
async def in_front_of(*servers: RunningVllm, **settings: Any) -> AsyncIterator[RunningGateway]:
    """Counts every prompt, with each server's own tokenizer."""
    pools = [
        {"model": server.model, "endpoints": [{"url": server.url}], "tokenizer": str(server.tokenizer)}
        for server in servers
    ]
    models = [server.model for server in servers]
    routing = {"short": SHORT if SHORT in models else models[0], "long": LONG if LONG in models else models[0]}
    config = {"pools": pools, "routing": {**routing, "exact": "always"}, **settings}
    async with running(Config.model_validate(config)) as gateway:
        yield gateway
        for endpoint in gateway.endpoints():
            for connection in endpoint.idle:
                connection.close()
        await asyncio.sleep(0)  # closed connections are told so in the loop's next turn


async def ask(port: int, path: str, body: dict[str, Any], seconds: float = SECONDS) -> Message:
    """One request to a gateway, or to a model server itself."""
    async with Client(port) as client, asyncio.timeout(seconds):
        client.send(post(path, json.dumps(body).encode()))
        answer = await read_message(client.reader)
    assert answer is not None, "the connection was closed without an answer"
    return answer


async def eventually(condition: Callable[[], bool], seconds: float = SECONDS) -> bool:
    """`until`, beside the loop in which the gateway runs."""
    return await asyncio.to_thread(until, condition, seconds)
