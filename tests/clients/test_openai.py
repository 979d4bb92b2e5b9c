"""The official Python client against a gateway in front of two model servers."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import openai
import pytest
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from .conftest import LONG, SHORT, SHORT_WINDOW, Running, free_port

LONG_PROMPT = "def add(left, right):\n    return left + right\n\n\n" * 300  # beyond the short model's window
SLOW_PROMPT = "def add(left, right):\n    return left + right\n\n\n" * 800  # seconds of prefill
ENDLESS: Any = {"ignore_eos": True}
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def asking(text: str) -> Any:
    return [{"role": "user", "content": text}]


QUESTION = asking("Write a binary search in Python.")


@pytest.fixture
def client(running: Running) -> Iterator[OpenAI]:
    with OpenAI(base_url=running.base_url, api_key="any", max_retries=0, timeout=30) as client:
        yield client


@pytest.fixture
async def async_client(running: Running) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=running.base_url, api_key="any", max_retries=0, timeout=30) as client:
        yield client


@pytest.fixture
def guarded_client(guarded: Running) -> Iterator[OpenAI]:
    with OpenAI(base_url=guarded.base_url, api_key=guarded.key, max_retries=0, timeout=30) as client:
        yield client


# -- answers ------------------------------------------------------------------------------------------------------


def test_chat(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="auto", messages=QUESTION)
    assert answer.model == SHORT
    assert "def " in (answer.choices[0].message.content or "")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_stream_is_the_whole_answer_in_pieces(client: OpenAI) -> None:
    whole = client.chat.completions.create(model="auto", messages=QUESTION)
    chunks = list(client.chat.completions.create(model="auto", messages=QUESTION, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == whole.choices[0].message.content
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices[0].finish_reason] == ["stop"]
    assert all(chunk.usage is None for chunk in chunks), "usage that was not asked for"


def test_stream_with_usage(client: OpenAI) -> None:
    whole = client.chat.completions.create(model="auto", messages=QUESTION)
    options: Any = {"include_usage": True}
    chunks = list(client.chat.completions.create(model="auto", messages=QUESTION, stream=True, stream_options=options))
    assert chunks[-1].choices == []
    assert chunks[-1].usage
    assert whole.usage
    assert chunks[-1].usage.prompt_tokens == whole.usage.prompt_tokens
    assert chunks[-1].usage.completion_tokens == whole.usage.completion_tokens


def test_stream_helper_accumulates(client: OpenAI) -> None:
    with client.chat.completions.stream(model="auto", messages=QUESTION) as stream:
        final = stream.get_final_completion()
    assert "def " in (final.choices[0].message.content or "")


async def test_async_client(async_client: AsyncOpenAI) -> None:
    whole, stream = await asyncio.gather(
        async_client.chat.completions.create(model="auto", messages=QUESTION),
        async_client.chat.completions.create(model="auto", messages=QUESTION, stream=True),
    )
    text = "".join([chunk.choices[0].delta.content or "" async for chunk in stream])
    assert text == whole.choices[0].message.content


def test_completions(client: OpenAI) -> None:
    whole = client.completions.create(model="auto", prompt="def binary_search(", max_tokens=40)
    assert whole.model == SHORT
    assert whole.usage
    assert whole.usage.completion_tokens == 40
    stream = client.completions.create(model="auto", prompt="def binary_search(", max_tokens=40, stream=True)
    assert "".join(chunk.choices[0].text for chunk in stream) == whole.choices[0].text
    several = client.completions.create(model="auto", prompt=["def one(", "def two("], max_tokens=5)
    assert [choice.index for choice in several.choices] == [0, 1]


def test_tools(client: OpenAI) -> None:
    question = asking('What is the weather in "Bergen"?')
    answer = client.chat.completions.create(model=LONG, messages=question, tools=[WEATHER], tool_choice="required")
    assert answer.choices[0].finish_reason == "tool_calls"
    calls = answer.choices[0].message.tool_calls
    assert calls
    call = calls[0]
    assert call.type == "function"
    assert call.function.name == "get_weather"
    assert isinstance(json.loads(call.function.arguments)["city"], str)
    history = [
        *question,
        answer.choices[0].message,
        {"role": "tool", "tool_call_id": call.id, "content": "12 degrees, rain"},
    ]
    after = client.chat.completions.create(model=LONG, messages=history, tools=[WEATHER], tool_choice="none")
    assert after.choices[0].message.content
    assert not after.choices[0].message.tool_calls


def test_tools_streamed(client: OpenAI) -> None:
    question = asking('What is the weather in "Bergen"?')
    choice: Any = {"model": LONG, "messages": question, "tools": [WEATHER], "tool_choice": "required"}
    whole = client.chat.completions.create(**choice).choices[0].message.tool_calls
    assert whole
    with client.chat.completions.stream(**choice) as stream:
        message = stream.get_final_completion().choices[0].message
    assert message.tool_calls
    assert message.tool_calls[0].function.name == "get_weather"
    assert message.tool_calls[0].function.arguments == whole[0].function.arguments


def test_logprobs(client: OpenAI) -> None:
    answer = client.chat.completions.create(
        model="auto", messages=QUESTION, logprobs=True, top_logprobs=3, max_tokens=5
    )
    logprobs = answer.choices[0].logprobs
    assert logprobs
    assert logprobs.content
    assert len(logprobs.content) == 5
    assert all(entry.logprob <= 0 and len(entry.top_logprobs) == 3 for entry in logprobs.content)
    old = client.completions.create(model="auto", prompt="def f(", max_tokens=5, logprobs=2).choices[0].logprobs
    assert old
    assert len(old.tokens or ()) == 5


def test_n(client: OpenAI) -> None:
    answer = client.chat.completions.create(model="auto", messages=QUESTION, n=3, max_tokens=20)
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    stream = client.chat.completions.create(model="auto", messages=QUESTION, n=2, max_tokens=20, stream=True)
    assert {choice.index for chunk in stream for choice in chunk.choices} == {0, 1}


class Release(BaseModel):
    name: str
    year: int


def test_response_format(client: OpenAI) -> None:
    asked = asking("Name a release as JSON.")
    answer = client.chat.completions.parse(model="auto", messages=asked, response_format=Release)
    assert isinstance(answer.choices[0].message.parsed, Release)
    kind: Any = {"type": "json_object"}
    loose = client.chat.completions.create(model="auto", messages=asked, response_format=kind)
    assert isinstance(json.loads(loose.choices[0].message.content or ""), dict)


def test_models(client: OpenAI) -> None:
    assert {"auto", "gpt-4o", SHORT, LONG} == {model.id for model in client.models.list()}
    found = client.models.retrieve(SHORT)
    assert (found.id, found.object) == (SHORT, "model")
    assert found.to_dict()["max_model_len"] == SHORT_WINDOW
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-17")


# -- the decision -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "text", "model", "reason"),
    [
        ("auto", "Write a trie.", SHORT, "short-prompt"),
        ("gpt-4o", "Write a trie.", SHORT, "short-prompt"),
        ("auto", LONG_PROMPT, LONG, "long-prompt"),
        ("gpt-4o", LONG_PROMPT, LONG, "long-prompt"),
        (LONG, "Write a trie.", LONG, "named-model"),
        (SHORT, "Write a trie.", SHORT, "named-model"),
    ],
)
def test_raw_response_says_the_decision(
    client: OpenAI, running: Running, name: str, text: str, model: str, reason: str
) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model=name, messages=asking(text), max_tokens=5, extra_headers={"X-Request-Id": "of-the-client"}
    )
    assert raw.headers["x-request-id"] == "of-the-client"
    assert raw.headers["x-yardstick-model"] == model
    assert raw.headers["x-yardstick-endpoint"] == running.servers[model].url.removeprefix("http://")
    assert raw.headers["x-yardstick-reason"] == reason
    assert raw.headers["x-yardstick-threshold"] == "512"
    assert int(raw.headers["x-yardstick-prompt-tokens"]) > 0
    assert raw.headers["x-yardstick-counted"] in ("bounded", "estimated", "counted")
    answer = raw.parse()
    assert answer.model == model
    assert answer._request_id == "of-the-client"


# -- errors by class ----------------------------------------------------------------------------------------------


def test_wrong_key(guarded: Running) -> None:
    with OpenAI(base_url=guarded.base_url, api_key="wrong", max_retries=0) as client:
        with pytest.raises(openai.AuthenticationError) as caught:
            client.chat.completions.create(model=LONG, messages=QUESTION)
        assert caught.value.code == "invalid_api_key"
        with pytest.raises(openai.AuthenticationError):
            client.models.list()


def test_right_key(guarded_client: OpenAI) -> None:
    assert guarded_client.chat.completions.create(model=LONG, messages=QUESTION, max_tokens=5).usage
    assert guarded_client.models.list().data


def test_unknown_model_is_told_how_to_become_an_alias(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.chat.completions.create(model="gpt-17", messages=QUESTION)
    error = caught.value
    assert (error.code, error.param) == ("model_not_found", "model")
    assert SHORT in error.message
    assert LONG in error.message
    assert "aliases: {'gpt-17': auto}" in error.message


@pytest.mark.parametrize("stream", [False, True])
def test_overflow(client: OpenAI, stream: bool) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model=SHORT, messages=asking(LONG_PROMPT), stream=stream)
    error = caught.value
    assert (error.code, error.type, error.param) == ("context_length_exceeded", "invalid_request_error", "messages")
    assert f"maximum context length is {SHORT_WINDOW} tokens" in error.message


@pytest.mark.parametrize(
    "fields",
    [
        {"temperature": -1},
        {"top_p": 2},
        {"n": 0},
        {"max_tokens": -1},
        {"max_tokens": 0},
        {"messages": "not a list"},
        {"extra_body": {"stream": "yes"}},
        {"extra_body": {"priority": 1}},
    ],
)
def test_bad_values(client: OpenAI, fields: Any) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(**{"model": "auto", "messages": QUESTION, **fields})
    body: Any = caught.value.body
    assert set(body) == {"message", "type", "param", "code"}
    assert body["message"]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, openai.BadRequestError),
        (409, openai.ConflictError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (500, openai.InternalServerError),
        (503, openai.InternalServerError),
    ],
)
def test_a_model_servers_refusal_is_passed_on(
    guarded_client: OpenAI, status: int, expected: type[openai.APIStatusError]
) -> None:
    with pytest.raises(expected) as caught:
        guarded_client.chat.completions.create(model=SHORT, messages=asking(str(status)))
    assert caught.value.status_code == status
    assert f"told to answer {status}" in caught.value.message


def test_a_full_model_server(guarded: Running, guarded_client: OpenAI) -> None:
    """It takes one request at a time: the second is refused while the first runs."""
    server = guarded.servers[LONG]
    with guarded_client.chat.completions.create(
        model=LONG, messages=QUESTION, stream=True, max_tokens=8000, extra_body=ENDLESS
    ) as first:
        next(iter(first))
        with pytest.raises(openai.InternalServerError) as caught:
            guarded_client.chat.completions.create(model=LONG, messages=QUESTION)
        assert caught.value.status_code == 503
    server.await_requests(0)


def test_nobody_there() -> None:
    address = f"http://127.0.0.1:{free_port()}/v1"
    with OpenAI(base_url=address, api_key="any", max_retries=0) as client, pytest.raises(openai.APIConnectionError):
        client.models.list()


# -- cancellation, seen from the model server -----------------------------------------------------------------------


@pytest.mark.parametrize("stream", [False, True])
def test_the_clients_own_timeout_frees_the_model_server(client: OpenAI, running: Running, stream: bool) -> None:
    def ask() -> None:
        answer = client.chat.completions.create(
            model=LONG, messages=asking(SLOW_PROMPT), max_tokens=8, stream=stream, timeout=0.4
        )
        list(answer)  # a stream's head comes before its first event: then it is the silence that takes too long

    with pytest.raises(openai.APITimeoutError):
        ask()
    running.servers[LONG].await_requests(0, seconds=1.5)


@pytest.mark.parametrize("stream", [False, True])
async def test_cancelled_before_the_first_byte(async_client: AsyncOpenAI, running: Running, stream: bool) -> None:
    server = running.servers[LONG]

    async def ask() -> None:
        answer: Any = await async_client.chat.completions.create(
            model=LONG, messages=asking(SLOW_PROMPT), max_tokens=8, stream=stream
        )
        if stream:
            async for _ in answer:
                raise AssertionError("the prefill is over already")

    async with asyncio.TaskGroup() as group:
        task = group.create_task(ask())
        await asyncio.to_thread(server.await_requests, 1)
        task.cancel()
        await asyncio.to_thread(server.await_requests, 0, 1.5)
    assert task.cancelled()


def test_cancelled_in_the_middle_of_a_stream(client: OpenAI, running: Running) -> None:
    server = running.servers[SHORT]
    stream = client.chat.completions.create(
        model=SHORT, messages=QUESTION, max_tokens=1900, extra_body=ENDLESS, stream=True
    )
    pieces = iter(stream)
    for _ in range(5):
        next(pieces)
    assert server.requests("running") == 1
    stream.close()
    server.await_requests(0, seconds=1.5)


async def test_cancelled_while_a_whole_answer_is_written(async_client: AsyncOpenAI, running: Running) -> None:
    server = running.servers[SHORT]

    async def ask() -> None:
        await async_client.chat.completions.create(model=SHORT, messages=QUESTION, max_tokens=1900, extra_body=ENDLESS)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(ask())
        await asyncio.to_thread(server.await_requests, 1)
        task.cancel()
        await asyncio.to_thread(server.await_requests, 0, 1.5)
    assert task.cancelled()


_ENDLESS_READER = """
import sys
from openai import OpenAI
client = OpenAI(base_url=sys.argv[1], api_key="any", max_retries=0)
messages = [{"role": "user", "content": "Write a binary search in Python."}]
for chunk in client.chat.completions.create(
    model=sys.argv[2], messages=messages, stream=True, max_tokens=1900, extra_body={"ignore_eos": True}
):
    print(chunk.id, flush=True)
"""


def test_a_client_that_vanishes(running: Running) -> None:
    """Its process is killed in the middle of a stream."""
    server = running.servers[SHORT]
    command = [sys.executable, "-c", _ENDLESS_READER, running.base_url, SHORT]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as reader:
        assert reader.stdout
        assert reader.stdout.readline()
        reader.kill()
    server.await_requests(0, seconds=1.5)
