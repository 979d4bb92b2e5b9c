"""Errors: one shape, and what of a model server's errors reaches a client."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import ApiError, message_of, misleading
from tests.conftest import StartFake, StartGateway
from tests.fakes.client import chat, get, post
from tests.fakes.server import answer

CHAT = "/v1/chat/completions"
PATHS = [
    "/",
    CHAT,
    "/v1/completions",
    "/v1/models",
    "/v1/models/codegeex4-all-9b",
    "/v1/models/nope",
    "/v1/route",
    "/tokenize",
    "/health/live",
    "/health/ready",
    "/health/ready?pools=some",
    "/metrics",
    "/docs",
    "/docs/assets/nope.js",
    "/docs/assets/../../../etc/passwd",
    "/docs/assets/%2e%2e/%2e%2e/pyproject.toml",
    "/openapi.json",
    "/nope",
    "/v1/nope/%ff%00",
    "/v1",
    "//",
]
METHODS = ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD", "TRACE"]


@pytest.mark.parametrize("path", PATHS)
async def test_every_error_of_every_route_has_one_shape(path: str, fakes: StartFake, serving: StartGateway) -> None:
    gateway = await serving([await fakes()])
    for method in METHODS:
        for request in (
            get(path, method=method),
            post(path, b"{").replace(b"POST", method.encode(), 1),
            post(path, b"{}").replace(b"POST", method.encode(), 1),
        ):
            found = await gateway.ask(request)
            assert found.status not in (500, 502), (method, path, found.raw)
            assert found.header(b"x-request-id"), (method, path, found.raw)
            if method == "HEAD":
                assert found.body == b""
            elif found.status >= 400:
                error = found.error
                assert error["type"] == _type(found.status), (method, path)
                if found.status == 405:
                    assert found.header(b"allow"), (method, path, found.raw)


def _type(status: int) -> str:
    return {404: "not_found_error", 503: "service_unavailable_error"}.get(status, "invalid_request_error")


async def test_an_unknown_model_is_told_what_there_is_and_the_alias(fakes: StartFake, serving: StartGateway) -> None:
    gateway = await serving([await fakes()], aliases={"fast": "auto"})
    for path, body in ((CHAT, chat("gpt-4o")), ("/v1/route", chat("gpt-4o"))):
        found = await gateway.ask(post(path, body))
        assert found.status == 404
        error = found.error
        assert error["code"] == "model_not_found"
        assert error["param"] == "model"
        assert "auto, codegeex4-all-9b, fast" in error["message"]
        assert "`aliases: {'gpt-4o': auto}`" in error["message"]


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"{}", "model"),
        (b'{"model":"auto"}', "messages"),
        (b'{"model":1,"messages":[]}', "model"),
        (b'{"model":null,"messages":[]}', "model"),
        (chat(stream="yes"), "stream"),
        (chat(stream=1), "stream"),
        (chat(max_tokens="7"), "max_tokens"),
        (chat(max_tokens=-1), "max_tokens"),
        (chat(max_tokens=True), "max_tokens"),
        (chat(max_completion_tokens=1.5), "max_completion_tokens"),
        (chat(priority=1), "priority"),
        (chat(request_id="x"), "request_id"),
        (chat(cache_salt="x"), "cache_salt"),
        (chat(kv_transfer_params={}), "kv_transfer_params"),
        (chat(chat_template="{{x}}"), "chat_template"),
    ],
)
async def test_a_wrong_request_is_a_400_that_names_the_field(
    body: bytes, param: str, fakes: StartFake, serving: StartGateway
) -> None:
    fake = await fakes()
    gateway = await serving([fake])
    found = await gateway.ask(post(CHAT, body))
    assert found.status == 400
    assert found.error["param"] == param
    assert not fake.requests


@pytest.mark.parametrize(
    ("status", "body", "expected", "code"),
    [
        (401, b'{"error":{"message":"no","type":"x","param":null,"code":401}}', 502, "upstream_unauthorized"),
        (403, b"", 502, "upstream_unauthorized"),
        (404, b'{"error":{"message":"model gone","type":"x","param":null,"code":404}}', 503, "upstream_model_missing"),
        (400, b'{"detail":"bad"}', 400, "upstream_error"),
        (422, b'{"detail":[{"loc":["body"]}]}', 422, "upstream_error"),
        (500, b"Internal Server Error", 502, "upstream_error"),
        (500, b"", 502, "upstream_error"),
        (503, b"<html>", 503, "upstream_error"),
        (429, b"slow down", 429, "upstream_error"),
        (400, b'{"error":"a text"}', 400, "upstream_error"),
        (400, b'{"error":{}}', 400, "upstream_error"),
        (400, b'{"object":"error","message":"old \\"error\\" shape","code":40001}', 400, "upstream_error"),
    ],
)
async def test_a_model_servers_error_that_would_mislead(
    status: int, body: bytes, expected: int, code: str, fakes: StartFake, serving: StartGateway
) -> None:
    fake = await fakes()

    async def script(seen: object) -> None:
        await fake.wires[-1].send(answer(body, status))

    fake.script = script
    gateway = await serving([fake])
    found = await gateway.ask(post(CHAT, chat()))
    assert found.status == expected
    assert found.error["code"] == code
    await gateway.quiet()


@pytest.mark.parametrize("status", [400, 408, 409, 413, 422, 429, 500, 503])
async def test_a_model_servers_error_in_the_right_shape_is_passed_on(
    status: int, fakes: StartFake, serving: StartGateway
) -> None:
    body = b'{"error": {"message": "as it is", "type": "Whatever", "param": null, "code": "%d"}}' % status
    fake = await fakes()

    async def script(seen: object) -> None:
        await fake.wires[-1].send(answer(body, status, extra=b"retry-after: 7\r\n"))

    fake.script = script
    gateway = await serving([fake])
    found = await gateway.ask(post(CHAT, chat()))
    assert (found.status, found.body) == (status, body)
    assert found.header(b"retry-after") == b"7"
    assert found.header(b"x-yardstick-model") == b"codegeex4-all-9b"


async def test_an_overflow_the_model_server_finds_becomes_ours(fakes: StartFake, serving: StartGateway) -> None:
    message = (
        "This model's maximum context length is 4096 tokens. However, you requested 5000 output tokens and your prompt "
        "contains 12 input tokens, for a total of 5012 tokens. Please reduce the length of the input prompt."
    )
    fake = await fakes(window=4096)
    body = json.dumps({"error": {"message": message, "type": "BadRequestError", "param": None, "code": 400}}).encode()

    async def script(seen: object) -> None:
        await fake.wires[-1].send(answer(body, 400))

    fake.script = script
    gateway = await serving([fake])
    found = await gateway.ask(post(CHAT, chat("codegeex4-all-9b", "x" * 3000, max_tokens=1000)))
    assert found.status == 400
    error = found.error
    assert error["code"] == "context_length_exceeded"
    assert error["type"] == "invalid_request_error"
    assert error["param"] == "messages"
    assert "maximum context length is 4096 tokens" in error["message"]
    assert "1000 for the completion" in error["message"]


@given(st.binary(max_size=80))
def test_any_error_body_has_a_message(body: bytes) -> None:
    assert isinstance(message_of(body), str)


@pytest.mark.parametrize(
    "value", [None, 1, [], {}, {"error": None}, {"error": {"message": None}}, {"detail": [1]}, "x"]
)
def test_odd_error_bodies_become_text(value: object) -> None:
    assert isinstance(message_of(json.dumps(value).encode()), str)


@given(st.integers(400, 599), st.text(max_size=30), st.booleans())
def test_what_is_said_instead_can_be_rendered(status: int, message: str, has_shape: bool) -> None:
    error = misleading(status, message, "a:1", has_shape=has_shape)
    if error is not None:
        assert json.loads(error.body().decode())["error"]["code"] == error.code


@given(st.text(), st.text() | st.none())
def test_an_error_fits_into_one_event(message: str, param: str | None) -> None:
    body = ApiError(400, message, code="x", param=param).body()
    assert b"\n" not in body
    assert b"\r" not in body
