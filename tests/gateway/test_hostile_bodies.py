"""Hostile request bodies: what is no JSON, what is absurd, what has the wrong type, on every route that reads one."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.conftest import StartFake, StartGateway
from tests.fakes.client import chat, post
from tests.fakes.gateway import SHORT, RunningGateway
from tests.fakes.http import Message

CHAT, COMPLETIONS, ROUTE, TOKENIZE = "/v1/chat/completions", "/v1/completions", "/v1/route", "/tokenize"
DEEP = 100_000
OK = "ok"


def with_member(member: bytes) -> bytes:
    return chat()[:-1] + b"," + member + b"}"


def with_content(content: bytes) -> bytes:
    return b'{"model":"auto","messages":[{"role":"user","content":"%b"}]}' % content


NO_JSON = {
    "nothing": b"",
    "blanks": b" \t\r\n",
    "3 MB of blanks": b" " * 3_000_000,
    "NUL": b"\0",
    "an array": b"[]",
    "a number": b"1",
    "a text": b'"x"',
    "null": b"null",
    "cut off": b'{"model":',
    "something behind it": chat() + b"x",
    "two of them": chat() * 2,
    "a comma too many": chat()[:-1] + b",}",
    "single quotes": b"{'model':'auto'}",
    "NaN": with_member(b'"temperature":NaN'),
    "Infinity": with_member(b'"temperature":Infinity'),
    "minus Infinity": with_member(b'"temperature":-Infinity'),
    "a number that begins with 0": with_member(b'"temperature":01'),
    "a number that begins with a plus": with_member(b'"temperature":+1'),
    "deep arrays": b"[" * DEEP + b"]" * DEEP,
    "deep arrays without end": b"[" * DEEP,
    "deep objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "a deep member": with_member(b'"a":' + b"[" * DEEP + b"]" * DEEP),
    "deep messages": b'{"model":"auto","messages":' + b"[" * DEEP + b"]" * DEEP + b"}",
    "deep tools": with_member(b'"tools":' + b"[" * DEEP + b"]" * DEEP),
    "a byte order mark": b"\xef\xbb\xbf" + chat(),
    "UTF-16": chat().decode().encode("utf-16"),
    "UTF-16 without a mark": chat().decode().encode("utf-16-le"),
    "UTF-32": chat().decode().encode("utf-32"),
    "gzip": bytes.fromhex("1f8b08000000000000ff"),
    "a line end in a text": with_member(b'"user":"a\nb"'),
    "a control character in a text": with_member(b'"user":"a\x01b"'),
    "an escape that is none": with_member(b'"user":"\\x41"'),
    "half a surrogate pair": with_member(b'"user":"\\ud800"'),
    "the other half": with_member(b'"user":"\\udc00"'),
    "half a pair as content": with_content(b"\\ud83d"),
    "half a pair as a key": with_member(b'"\\ud83d":1'),
    "a key that is no text": b'{1:2,"model":"auto","messages":[]}',
}
REPEATED = {
    "a key twice": with_member(b'"model":"other"'),
    "a key twice, escaped": with_member(b'"mod\\u0065l":"other"'),
    "messages twice": with_member(b'"messages":[]'),
}
# Read by the model server alone: the gateway passes each of them on as it is.
PASSED_ON = {
    "a number beyond any double": with_member(b'"temperature":1e999'),
    "a number of a million digits": with_member(b'"seed":' + b"9" * 1_000_000),
    "a fraction of a million digits": with_member(b'"temperature":0.' + b"9" * 1_000_000),
    "a key of 1 MB": with_member(b'"' + b"k" * 1_000_000 + b'":1'),
    "a text of 1 MB": with_member(b'"user":"' + b"k" * 1_000_000 + b'"'),
    "an empty key": with_member(b'"":1'),
    "NUL, escaped": with_member(b'"user":"\\u0000"'),
    "20,000 keys": with_member(b",".join(b'"k%d":1' % number for number in range(20_000))),
    "an absurd n": with_member(b'"n":' + b"9" * 30),
    "n of 0": with_member(b'"n":0'),
    "content of bytes that are no text": with_content(b"\xff\xfe"),
    "messages that are empty": b'{"model":"auto","messages":[]}',
}

VALUES: list[Any] = [
    *(None, True, 0, -1, 1.5, 1.0, 1e308, 10**30, -(10**30), 2**31, 2**63, 2**64, "", "x", "\0", [], {}, [None], [[]]),
    *([{}], [1], [-1], [10**30], [True], ["a"], [1, "a"], [[1], "a"], [[1], [None]], {"a": 1}, {"include_usage": 3}),
    [{"role": 1, "content": [None]}],
    [{"role": [], "content": {}}],
    [{"role": "user", "content": [{"type": "text", "text": 5}, {"type": "image_url"}, {"type": []}]}],
    [{"role": "assistant", "tool_calls": [{"function": {"arguments": 5}}, None, 3]}],
]
# Every field that the gateway looks at, and a few that it does not.
FIELDS = (
    *("model", "messages", "prompt", "suffix", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n"),
    *("tools", "truncate_prompt_tokens", "temperature", "chat_template", "add_special_tokens", "tool_choice"),
    *("chat_template_kwargs", "priority", "response_format", "echo", "stop"),
)


def check(found: Message) -> None:
    """A whole answer: the model's, or a 4xx in the one shape, whose text is no longer than a person would read."""
    assert found.whole
    assert found.status == 200 or 400 <= found.status < 500, found.raw[:500]
    if found.status != 200:
        assert found.error["type"] in ("invalid_request_error", "not_found_error")
        assert len(found.body) < 8000, found.body[:300]


async def each(gateway: RunningGateway, cases: dict[str, bytes], path: str, expected: set[str]) -> None:
    """Sends them one after the other on one connection, which stays usable. ``expected``: codes, or OK."""
    async with gateway.client() as client:
        for name, body in cases.items():
            try:
                found = await client.ask(post(path, body))
                check(found)
                assert (OK if found.status == 200 else found.error["code"]) in expected, found.raw[:500]
            except Exception as error:
                error.add_note(f"the case: {name}")
                raise
    assert gateway.in_flight() == 0


@pytest.mark.parametrize("path", [CHAT, ROUTE, TOKENIZE])
async def test_what_is_no_json_object_is_said_to_be_none(path: str, fakes: StartFake, serving: StartGateway) -> None:
    fake = await fakes()
    await each(await serving([fake]), NO_JSON, path, {"invalid_json"})
    assert not fake.requests


async def test_half_a_surrogate_pair_is_called_that(fakes: StartFake, serving: StartGateway) -> None:
    gateway = await serving([await fakes()])
    for half in (b"\\ud83d", b"\\uDC00x", b"\\ud83d\\ud83d"):
        assert "half a surrogate pair" in (await gateway.ask(post(CHAT, with_content(half)))).error["message"]
    assert (await gateway.ask(post(CHAT, with_content(b"\\ud83d\\ude00")))).status == 200


@pytest.mark.parametrize("path", [CHAT, ROUTE, TOKENIZE])
async def test_repeated_keys(path: str, fakes: StartFake, serving: StartGateway) -> None:
    fake = await fakes()
    await each(await serving([fake]), REPEATED, path, {"duplicate_key"})
    assert not fake.requests


async def test_what_is_the_model_servers_business_is_passed_on(fakes: StartFake, serving: StartGateway) -> None:
    fake = await fakes()
    gateway = await serving([fake])
    await each(gateway, PASSED_ON, CHAT, {OK})
    for seen, sent in zip(fake.requests, PASSED_ON.values(), strict=True):
        assert seen.body.endswith(sent.replace(b'"auto"', json.dumps(SHORT).encode(), 1)[1:])  # behind the defaults
    await each(gateway, PASSED_ON, ROUTE, {OK})


async def test_11_mb_of_spaces(fakes: StartFake, serving: StartGateway) -> None:
    """As a text they are short: too large by the limit, a 400 where the limit allows it, never an endless count."""
    spaces = with_content(b" " * 11_000_000)
    found = await (await serving([await fakes()])).ask(post(CHAT, spaces))
    assert (found.status, found.error["code"]) == (413, "request_too_large")
    gateway = await serving([await fakes()], limits={"body_bytes": 16 * 1024 * 1024})
    found = await gateway.ask(post(CHAT, spaces))
    assert (found.status, found.error["code"]) == (400, "context_length_exceeded")
    found = await gateway.ask(post(CHAT, chat() + b" " * 11_000_000))
    assert found.status == 200


@pytest.mark.parametrize("value", ["1e30", "-1", "1.5", "1e308", '"5"', "true", "[]", "9" * 4000, "9" * 1_000_000])
@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_absurd_lengths_of_the_answer(name: str, value: str, fakes: StartFake, serving: StartGateway) -> None:
    fake = await fakes()
    gateway = await serving([fake])
    for path in (CHAT, ROUTE):
        found = await gateway.ask(post(path, with_member(f'"{name}":{value}'.encode())))
        check(found)
        assert found.status == 400, found.raw
        assert found.error["param"] in (name, "messages")
    assert not fake.requests


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS, ROUTE, TOKENIZE])
@pytest.mark.parametrize("model", ["auto", SHORT])
async def test_wrong_types_in_every_field(path: str, model: str, fakes: StartFake, serving: StartGateway) -> None:
    gateway = await serving([await fakes()])
    async with gateway.client() as client:
        for field in FIELDS:
            for value in VALUES:
                own = {"prompt": "x"} if path == COMPLETIONS else {"messages": [{"role": "user", "content": "x"}]}
                body = json.dumps({"model": model, "stream": True, **own, field: value}).encode()
                try:
                    check(await client.ask(post(path, body)))
                except Exception as error:
                    error.add_note(f"the body: {body!r}")
                    raise
    assert gateway.in_flight() == 0


@pytest.mark.parametrize("name", ["x" * 1_000_000, "\U0001f600" * 100_000, "a\r\nx: y\0", "\ud800", "../../x", ""])
@pytest.mark.parametrize("path", [CHAT, ROUTE, TOKENIZE])
async def test_models_of_odd_names(name: str, path: str, fakes: StartFake, serving: StartGateway) -> None:
    gateway = await serving([await fakes()])
    found = await gateway.ask(post(path, chat(name)))
    check(found)
    assert found.status in (400, 404)
