"""Many requests at once: whatever clients do, nothing stays in flight and no answer holds another's bytes."""

from __future__ import annotations

import asyncio
import json
import random

from tests.conftest import StartFake, StartGateway
from tests.fakes.client import chat, post
from tests.fakes.gateway import RunningGateway
from tests.fakes.server import DONE, Seen, answer, content_frame, stream, unary

CHAT = "/v1/chat/completions"


async def test_random_interleavings(fakes: StartFake, serving: StartGateway) -> None:
    chance = random.Random(7)

    async def script(seen: Seen) -> None:
        body = json.loads(seen.body)
        name = body["messages"][0]["content"]
        if body.get("stream"):
            await seen.wire.send(*stream([content_frame(f"{name} {number}") for number in range(5)] + [DONE]))
        else:
            await seen.wire.send(answer(unary(name)))

    gateway = await serving([await fakes(script), await fakes(script)])

    async def one(gateway: RunningGateway, name: str) -> None:
        async with gateway.client() as client:
            for turn in range(3):
                streamed, leaves, waits = chance.random() < 0.5, chance.random() < 0.3, chance.randrange(20)
                client.send(post(CHAT, chat(content=f"{name}.{turn}", stream=streamed)))
                for _ in range(waits):
                    await asyncio.sleep(0)
                if leaves:
                    client.drop()
                    return
                text = f"{name}.{turn}"
                expected = [content_frame(f"{text} {number}") for number in range(5)] + [DONE]
                assert (await client.answer()).body == (b"".join(expected) if streamed else unary(text))

    async with asyncio.TaskGroup() as group:
        for number in range(100):
            group.create_task(one(gateway, f"client-{number}"))
    await gateway.quiet()


async def test_leaving_while_the_prompt_is_counted(fakes: StartFake, serving: StartGateway) -> None:
    asked, never = asyncio.Event(), asyncio.Event()

    async def tokenize(body: bytes) -> bytes:
        asked.set()
        await never.wait()
        return b""

    fake = await fakes(tokenize=tokenize)
    gateway = await serving([fake], routing={"exact": "always"})
    async with gateway.client() as client:
        client.send(post(CHAT, chat(content="x" * 5000)))
        await asyncio.wait_for(asked.wait(), 5)
        client.drop()
        await gateway.quiet()
    assert not fake.requests
