"""The gateway in front of real vLLM: the longest prompts, clients that leave, gaps that are filled in."""

from __future__ import annotations

import asyncio
import json
from random import Random
from typing import Any

import pytest
from tokenizers import Tokenizer

from gateway.families import MODELS
from tests.fakes.client import post
from tests.fakes.completions import CHAT, COMPLETIONS
from tests.fakes.gateway import LONG, SHORT
from tests.fakes.http import read_message

from .gateways import ask, eventually, in_front_of
from .servers import RunningVllm, VllmServers

_MOST_STOPS = 4  # vLLM's limit: further marks are bad words
_COLD_SECONDS = 1000.0  # 100,000 tokens take 70 to 150 on two cores that have nothing else to do
_FREED_SECONDS = 120.0  # vLLM ends the step that it is in


def code(server: RunningVllm, tokens: int, seed: int) -> str:
    """Lines of code that no prefix cache has seen, of at least so many tokens."""
    random, tokenizer = Random(seed), Tokenizer.from_file(str(server.tokenizer))
    lines: list[str] = []
    found = 0
    while found < tokens:
        more = [f"value_{random.randrange(10**6)} = call({random.randrange(10**6)})\n" for _ in range(50)]
        found += len(tokenizer.encode("".join(more)).ids)
        lines += more
    return "".join(lines)


async def test_a_prompt_of_over_100_000_tokens_reaches_loop(start_vllm: VllmServers) -> None:
    short, long = start_vllm(SHORT), start_vllm(LONG)
    text = code(long, 102_000, seed=1)
    body = {"model": "auto", "messages": [{"role": "user", "content": text}], "max_tokens": 3, "stream": True}
    body["stream_options"] = {"include_usage": True}
    settings = {"timeouts": {"stream_keep_alive": 5.0, "first_byte": _COLD_SECONDS}}
    async with in_front_of(short, long, **settings) as gateway, gateway.client() as client:
        async with asyncio.timeout(_COLD_SECONDS):
            client.send(post(CHAT, json.dumps(body).encode()))
            answer = await read_message(client.reader)
    assert answer is not None
    assert answer.status == 200, answer.body[:1000]
    assert answer.header(b"x-yardstick-model") == LONG.encode()
    frames = answer.body.split(b"\n\n")
    assert frames[-2:] == [b"data: [DONE]", b""]
    usage = json.loads(frames[-3].removeprefix(b"data: "))["usage"]
    assert usage["prompt_tokens"] > 100_000
    assert answer.header(b"x-yardstick-prompt-tokens") == str(usage["prompt_tokens"]).encode()
    assert usage["completion_tokens"] == 3
    assert frames.index(b": keep-alive") < next(at for at, frame in enumerate(frames) if frame.startswith(b"data: "))


def _is_busy(server: RunningVllm) -> bool:
    return server.metric("vllm:num_requests_running") == 1 and server.metric("vllm:kv_cache_usage_perc") > 0


def _is_free(server: RunningVllm) -> bool:
    names = ("vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc")
    return all(server.metric(name) == 0 for name in names)


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("at", ["the prompt", "the answer"])
@pytest.mark.parametrize("model", [SHORT, LONG])
async def test_who_leaves_frees_the_engine(start_vllm: VllmServers, model: str, at: str, stream: bool) -> None:
    server = start_vllm(model)
    prompt = code(server, 30_000, seed=2 + stream) if at == "the prompt" else "x = 1\n"
    room = 2_000 if at == "the prompt" else 20_000
    asked = {"model": model, "messages": [{"role": "user", "content": prompt}], "stream": stream}
    assert await eventually(lambda: _is_free(server), _FREED_SECONDS)
    generated = server.metric("vllm:generation_tokens_total")
    async with in_front_of(server) as gateway:
        async with gateway.client() as client:
            client.send(post(CHAT, json.dumps({**asked, "max_tokens": room, "ignore_eos": True}).encode()))
            assert await eventually(lambda: _is_busy(server))
            if at == "the answer":
                assert await eventually(lambda: server.metric("vllm:generation_tokens_total") > generated + 5)
            client.drop()
            assert await eventually(lambda: _is_free(server), _FREED_SECONDS)
        await gateway.quiet()
    made = server.metric("vllm:generation_tokens_total") - generated
    assert made == 0 if at == "the prompt" else 5 < made < room


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("model", [SHORT, LONG])
async def test_no_mark_is_in_a_filled_gap(start_vllm: VllmServers, model: str, stream: bool) -> None:
    """Whatever mark the model goes on with, the answer ends before it. A mark that is a bad word can't be made."""
    server, fim = start_vllm(model), MODELS[model].fim
    assert fim is not None
    tokenizer = Tokenizer.from_file(str(server.tokenizer))
    marks = {tokenizer.token_to_id(mark) for mark in fim.markers if mark not in fim.stops[_MOST_STOPS:]}
    assert None not in marks
    gap: dict[str, Any] = {"model": model, "prompt": "def f(", "suffix": "    return x\n", "max_tokens": 5}
    answers = {}
    async with in_front_of(server) as gateway:
        for mark in sorted(marks | {*fim.stop_token_ids}):
            body = {**gap, "allowed_token_ids": [mark], "stream": stream}
            answers[mark] = _completed((await ask(gateway.port, COMPLETIONS, body)).body, stream)
        letters = {**gap, "allowed_token_ids": [tokenizer.token_to_id("x")], "stream": stream}
        assert _completed((await ask(gateway.port, COMPLETIONS, letters)).body, stream) == ("xxxxx", "length")
    assert {mark: answer for mark, answer in answers.items() if answer != ("", "stop")} == {}


def _completed(body: bytes, stream: bool) -> tuple[str, Any]:
    """An answer's text, and why it ended."""
    frames = [frame.removeprefix(b"data: ") for frame in body.split(b"\n\n")] if stream else [body]
    choices = [choice for frame in frames if frame.startswith(b"{") for choice in json.loads(frame)["choices"]]
    return "".join(choice["text"] for choice in choices), choices[-1]["finish_reason"]
