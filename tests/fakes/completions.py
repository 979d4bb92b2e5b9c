"""Completions at the wire: requests with a suffix, what a model server answers, and what it should have been sent."""

from __future__ import annotations

import json
from typing import Any

from tests.fakes.client import post
from tests.fakes.gateway import SHORT, RunningGateway
from tests.fakes.server import DONE, Seen, answer, stream

COMPLETIONS, CHAT, ROUTE, TOKENIZE = "/v1/completions", "/v1/chat/completions", "/v1/route", "/tokenize"


def completion(**fields: Any) -> bytes:
    return json.dumps({"model": SHORT, "prompt": "def f(", "suffix": "\n    return x\n", **fields}).encode()


def choice(text: str, finish: str | None) -> dict[str, Any]:
    return {"index": 0, "text": text, "logprobs": None, "finish_reason": finish}


def whole(text: str = "x):") -> bytes:
    value = {"id": "c-1", "object": "text_completion", "created": 1, "model": SHORT, "choices": [choice(text, "stop")]}
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    return json.dumps({**value, "usage": usage}).encode()


def part(text: str) -> bytes:
    value = {"id": "c-1", "object": "text_completion", "created": 1, "model": SHORT, "choices": [choice(text, None)]}
    return b"data: " + json.dumps(value).encode() + b"\n\n"


async def completes(seen: Seen) -> None:
    if json.loads(seen.body).get("stream"):
        await seen.wire.send(*stream([part("x"), part("):"), DONE]))
    else:
        await seen.wire.send(answer(whole()))


def expected_prompt(model: str, prefix: str, suffix: str) -> str:
    if model == SHORT:
        return (
            "[gMASK]<sop><|user|>\n###PATH:\n###LANGUAGE:\n###MODE:BLOCK\n"
            f"<|code_suffix|>{suffix}<|code_prefix|>{prefix}<|code_middle|><|assistant|>\n"
        )
    return f"<|fim_prefix|>{prefix}<|fim_suffix|>{suffix}<|fim_middle|>"


async def refusal(gateway: RunningGateway, body: bytes, path: str = COMPLETIONS) -> dict[str, Any]:
    message = await gateway.ask(post(path, body))
    assert message.status == 400, message.body
    error: dict[str, Any] = json.loads(message.body)["error"]
    assert error["type"] == "invalid_request_error"
    return error
