"""The official Python and Node clients against a gateway in front of two model servers: the same tests for each."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.fakes.started import free_port

from .conftest import LONG, PYTHON, PYTHON_ASYNC, SHORT, SHORT_WINDOW, Running
from .official import Client, ClientError, Driver, Pending

LONG_PROMPT = "def add(left, right):\n    return left + right\n\n\n" * 300  # beyond the short model's window
SLOW_PROMPT = "def add(left, right):\n    return left + right\n\n\n" * 800  # seconds of prefill
ENDLESS: dict[str, Any] = {"max_tokens": 1900, "ignore_eos": True}
WEATHER = {
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
RAINING: dict[str, Any] = {
    "model": LONG,
    "messages": asking('What is the weather in "Bergen"?'),
    "tools": [WEATHER],
    "tool_choice": "required",
}


@contextmanager
def raises(name: str) -> Iterator[pytest.ExceptionInfo[ClientError]]:
    with pytest.raises(ClientError) as caught:
        yield caught
    assert caught.value.name == name, caught.value


# -- answers ------------------------------------------------------------------------------------------------------


def test_chat(client: Client) -> None:
    answer = client.chat(model="auto", messages=QUESTION)
    assert answer["model"] == SHORT
    assert "def " in answer["choices"][0]["message"]["content"]
    assert answer["choices"][0]["finish_reason"] == "stop"
    usage = answer["usage"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]


def test_stream_is_the_whole_answer_in_pieces(client: Client) -> None:
    whole = client.chat(model="auto", messages=QUESTION)
    chunks = list(client.stream_chat(model="auto", messages=QUESTION))
    choices = [chunk["choices"][0] for chunk in chunks]
    assert "".join(choice["delta"].get("content") or "" for choice in choices) == text_of(whole)
    assert [choice["finish_reason"] for choice in choices if choice["finish_reason"]] == ["stop"]
    assert all(chunk.get("usage") is None for chunk in chunks), "usage that was not asked for"


def text_of(answer: Any) -> str:
    return str(answer["choices"][0]["message"]["content"])


def test_stream_with_usage(client: Client) -> None:
    whole = client.chat(model="auto", messages=QUESTION)
    chunks = list(client.stream_chat(model="auto", messages=QUESTION, stream_options={"include_usage": True}))
    assert chunks[-1]["choices"] == []
    for name in ("prompt_tokens", "completion_tokens"):
        assert chunks[-1]["usage"][name] == whole["usage"][name]


def test_stream_helper_puts_it_together(client: Client) -> None:
    final = client.put_together(model="auto", messages=QUESTION)
    assert text_of(final) == text_of(client.chat(model="auto", messages=QUESTION))


def test_several_at_once(client: Client) -> None:
    stream = client.stream_chat(model="auto", messages=QUESTION)
    answers = [client.begin("chat.completions.create", {"model": "auto", "messages": QUESTION}) for _ in range(3)]
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in stream)
    assert [text_of(pending.answer()[0]) for pending in answers] == [text] * 3


def test_completions(client: Client) -> None:
    asked = {"model": "auto", "prompt": "def binary_search(", "max_tokens": 40}
    whole = client.complete(**asked)
    assert whole["model"] == SHORT
    assert whole["usage"]["completion_tokens"] == 40
    pieces = client.stream_completion(**asked)
    assert "".join(chunk["choices"][0]["text"] for chunk in pieces) == whole["choices"][0]["text"]
    several = client.complete(model="auto", prompt=["def one(", "def two("], max_tokens=5)
    assert [choice["index"] for choice in several["choices"]] == [0, 1]


@pytest.mark.parametrize("model", [SHORT, LONG])
def test_fill_in_the_middle(client: Client, model: str) -> None:
    asked = {"model": model, "prompt": "def mean(numbers):\n    ", "suffix": "\n    return total / len(numbers)\n"}
    whole = client.complete(**asked, max_tokens=60)["choices"][0]["text"]
    assert whole.strip()
    assert not re.search(r"<\|\w+\|>", whole), "a template's token is in the text"
    pieces = client.stream_completion(**asked, max_tokens=60)
    assert "".join(chunk["choices"][0]["text"] for chunk in pieces) == whole


def test_tools(client: Client) -> None:
    answer = client.chat(**RAINING)
    assert answer["choices"][0]["finish_reason"] == "tool_calls"
    (call,) = answer["choices"][0]["message"]["tool_calls"]
    assert (call["type"], call["function"]["name"]) == ("function", "get_weather")
    assert isinstance(json.loads(call["function"]["arguments"])["city"], str)
    result = {"role": "tool", "tool_call_id": call["id"], "content": "12 degrees, rain"}
    history = [*RAINING["messages"], answer["choices"][0]["message"], result]
    after = client.chat(**{**RAINING, "messages": history, "tool_choice": "none"})
    assert text_of(after)
    assert not after["choices"][0]["message"].get("tool_calls")


def test_tools_streamed(client: Client) -> None:
    (whole,) = client.chat(**RAINING)["choices"][0]["message"]["tool_calls"]
    (call,) = client.put_together(**RAINING)["choices"][0]["message"]["tool_calls"]
    assert call["function"]["name"] == "get_weather"
    assert call["function"]["arguments"] == whole["function"]["arguments"]


def test_logprobs(client: Client) -> None:
    answer = client.chat(model="auto", messages=QUESTION, logprobs=True, top_logprobs=3, max_tokens=5)
    entries = answer["choices"][0]["logprobs"]["content"]
    assert len(entries) == 5
    assert all(entry["logprob"] <= 0 and len(entry["top_logprobs"]) == 3 for entry in entries)
    old = client.complete(model="auto", prompt="def f(", max_tokens=5, logprobs=2)
    assert len(old["choices"][0]["logprobs"]["tokens"]) == 5


def test_n(client: Client) -> None:
    answer = client.chat(model="auto", messages=QUESTION, n=3, max_tokens=20)
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    stream = client.stream_chat(model="auto", messages=QUESTION, n=2, max_tokens=20)
    assert {choice["index"] for chunk in stream for choice in chunk["choices"]} == {0, 1}


def test_response_format(client: Client) -> None:
    properties = {"name": {"type": "string"}, "year": {"type": "integer"}}
    schema = {"type": "object", "properties": properties, "required": ["name", "year"]}
    strict = {"type": "json_schema", "json_schema": {"name": "release", "schema": schema}}
    asked = {"model": "auto", "messages": asking("Name a release as JSON.")}
    value = json.loads(text_of(client.chat(**asked, response_format=strict)))
    assert (type(value["name"]), type(value["year"])) == (str, int)
    assert isinstance(json.loads(text_of(client.chat(**asked, response_format={"type": "json_object"}))), dict)


def test_models(client: Client) -> None:
    assert {"auto", "gpt-4o", SHORT, LONG} == {model["id"] for model in client.call("models.list")["data"]}
    found = client.call("models.retrieve", SHORT)
    assert (found["id"], found["object"], found["max_model_len"]) == (SHORT, "model", SHORT_WINDOW)
    with raises("NotFoundError"):
        client.call("models.retrieve", "gpt-17")


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
def test_headers_say_the_decision(
    client: Client, running: Running, name: str, text: str, model: str, reason: str
) -> None:
    asked = {"model": name, "messages": asking(text), "max_tokens": 5}
    options = {"headers": {"X-Request-Id": "of-the-client"}}
    answer, headers = client.begin("chat.completions.create", asked, options=options).answer()
    assert answer["model"] == model
    assert headers["x-request-id"] == "of-the-client"
    assert headers["x-yardstick-model"] == model
    assert headers["x-yardstick-endpoint"] == running.servers[model].url.removeprefix("http://")
    assert headers["x-yardstick-reason"] == reason
    assert headers["x-yardstick-threshold"] == "512"
    assert int(headers["x-yardstick-prompt-tokens"]) > 0
    assert headers["x-yardstick-counted"] in ("bounded", "estimated", "counted")


# -- errors by class ----------------------------------------------------------------------------------------------


def test_wrong_key(driver: Driver, guarded: Running) -> None:
    stranger = Client(driver, guarded.base_url, "wrong")
    with raises("AuthenticationError") as caught:
        stranger.chat(model=LONG, messages=QUESTION)
    assert caught.value.code == "invalid_api_key"
    with raises("AuthenticationError"):
        stranger.call("models.list")


def test_right_key(guarded_client: Client) -> None:
    assert guarded_client.chat(model=LONG, messages=QUESTION, max_tokens=5)["usage"]
    assert guarded_client.call("models.list")["data"]


def test_unknown_model_is_told_how_to_become_an_alias(client: Client) -> None:
    with raises("NotFoundError") as caught:
        client.chat(model="gpt-17", messages=QUESTION)
    error = caught.value
    assert (error.code, error.param) == ("model_not_found", "model")
    assert SHORT in error.message
    assert LONG in error.message
    assert "aliases: {'gpt-17': auto}" in error.body["message"]


@pytest.mark.parametrize("stream", [False, True])
def test_overflow(client: Client, stream: bool) -> None:
    with raises("BadRequestError") as caught:
        client.chat(model=SHORT, messages=asking(LONG_PROMPT), stream=stream)
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
        {"stream": "yes"},
        {"priority": 1},
    ],
    ids=str,
)
def test_bad_values(client: Client, fields: dict[str, Any]) -> None:
    with raises("BadRequestError") as caught:
        client.chat(**{"model": "auto", "messages": QUESTION, **fields})
    assert set(caught.value.body) == {"message", "type", "param", "code"}
    assert caught.value.body["message"]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, "BadRequestError"),
        (409, "ConflictError"),
        (422, "UnprocessableEntityError"),
        (429, "RateLimitError"),
        (500, "InternalServerError"),
        (503, "InternalServerError"),
    ],
)
def test_a_model_servers_refusal_is_passed_on(guarded_client: Client, status: int, expected: str) -> None:
    with raises(expected) as caught:
        guarded_client.chat(model=SHORT, messages=asking(str(status)))
    assert caught.value.status == status
    assert f"told to answer {status}" in caught.value.message


def test_a_full_model_server(guarded: Running, guarded_client: Client) -> None:
    """It takes one request at a time: the second is refused while the first runs."""
    first = guarded_client.stream_chat(model=LONG, messages=QUESTION, **ENDLESS | {"max_tokens": 8000})
    next(iter(first))
    with raises("InternalServerError") as caught:
        guarded_client.chat(model=LONG, messages=QUESTION)
    assert caught.value.status == 503
    first.abort()
    first.ended()
    guarded.servers[LONG].await_requests(0)


def test_nobody_there(driver: Driver) -> None:
    with raises("APIConnectionError"):
        Client(driver, f"http://127.0.0.1:{free_port()}/v1").call("models.list")


def test_a_client_tries_again_when_it_is_told_to(driver: Driver, guarded: Running) -> None:
    """429 with a Retry-After of a second, which is longer than any client waits by itself, then an answer."""
    patient = Client(driver, guarded.base_url, guarded.key, max_retries=1)
    before = time.monotonic()
    assert text_of(patient.chat(model=SHORT, messages=asking("429 200"))) == "told to answer 200"
    assert time.monotonic() - before >= 1
    with raises("RateLimitError"):
        patient.chat(model=SHORT, messages=asking("429 429"))


# -- cancellation, seen from the model server -----------------------------------------------------------------------


def impatient(client: Client, *, stream: bool) -> Pending:
    asked = {"model": LONG, "messages": asking(SLOW_PROMPT), "max_tokens": 8, "stream": stream}
    return client.begin("chat.completions.create", asked, options={"timeout": 0.4})


def test_the_clients_own_timeout_frees_the_model_server(client: Client, running: Running) -> None:
    with raises("APITimeoutError"):
        impatient(client, stream=False).answer()
    running.servers[LONG].await_requests(0, seconds=1.5)


@pytest.mark.parametrize("driver_command", [PYTHON, PYTHON_ASYNC], indirect=True)
def test_a_silent_stream_times_out(client: Client, running: Running) -> None:
    """Python's timeout is for each read; Node's ends with the answer's head, and a stream's head comes at once."""
    with raises("APITimeoutError"):
        list(impatient(client, stream=True))
    running.servers[LONG].await_requests(0, seconds=1.5)


@pytest.mark.parametrize("stream", [False, True])
def test_aborted_before_the_first_byte(abortable: Client, running: Running, stream: bool) -> None:
    server = running.servers[LONG]
    asked = {"model": LONG, "messages": asking(SLOW_PROMPT), "max_tokens": 8, "stream": stream}
    pending = abortable.begin("chat.completions.create", asked)
    server.await_requests(1)
    pending.abort()
    server.await_requests(0, seconds=1.5)
    assert list(chunks_until_aborted(pending)) == [], "the prefill was over already"


def chunks_until_aborted(pending: Pending) -> Iterator[Any]:
    with raises("Aborted"):
        yield from pending


def test_aborted_in_the_middle_of_a_stream(client: Client, running: Running) -> None:
    server = running.servers[SHORT]
    stream = client.stream_chat(model=SHORT, messages=QUESTION, **ENDLESS)
    pieces = iter(stream)
    for _ in range(5):
        next(pieces)
    assert server.requests("running") == 1
    stream.abort()
    server.await_requests(0, seconds=1.5)
    stream.ended()


def test_aborted_while_a_whole_answer_is_written(abortable: Client, running: Running) -> None:
    server = running.servers[SHORT]
    asked = {"model": SHORT, "messages": QUESTION, **ENDLESS}
    pending = abortable.begin("chat.completions.create", asked)
    server.await_requests(1)
    pending.abort()
    server.await_requests(0, seconds=1.5)
    pending.ended()


def test_a_client_that_vanishes(mortal_driver: Driver, running: Running) -> None:
    """Its process is killed in the middle of a stream."""
    server = running.servers[SHORT]
    stream = Client(mortal_driver, running.base_url).stream_chat(model=SHORT, messages=QUESTION, **ENDLESS)
    next(iter(stream))
    mortal_driver.kill()
    server.await_requests(0, seconds=1.5)
