"""Headers both ways, and the list of permitted changes to a request, which is exhaustive."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import StartFake, StartGateway
from tests.fakes.client import chat, post
from tests.fakes.server import Seen, answer, says, unary

CHAT = "/v1/chat/completions"
DEFAULTS = b'"stop_token_ids":[151329,151336,151338],'
USAGE = b'"stream_options":{"include_usage":true},'


async def test_the_request_goes_up_as_it_came(fakes: StartFake, serving: StartGateway) -> None:
    fake = await fakes(name="org/CodeGeeX4-ALL-9B")
    gateway = await serving([fake])
    body = (
        b' {"messages" : [{"role":"user","content":"\\u00e9\xc3\xa9 \\/"}],\n "x":1e2 , "model":\t"auto" , "n":1.0}\n'
    )
    request = post(CHAT, body, [("X-Own", "kept  as it is"), ("Traceparent", "00-1-2-01"), ("X-Request-Id", "abc.1")])
    assert (await gateway.ask(request)).status == 200
    (seen,) = fake.requests
    changed = body.replace(b'"auto"', b'"org/CodeGeeX4-ALL-9B"').replace(b"{", b"{" + DEFAULTS, 1)
    head = (
        f"POST {CHAT} HTTP/1.1\r\nhost: {fake.address}\r\naccept-encoding: identity\r\nx-own: kept  as it is\r\n"
        f"traceparent: 00-1-2-01\r\nx-request-id: abc.1\r\ncontent-type: application/json\r\n"
        f"content-length: {len(changed)}\r\n\r\n"
    )
    assert seen.raw == head.encode() + changed


@pytest.mark.parametrize(
    ("sent", "came"),
    [
        (b'{"model":"auto","messages":[]}', b"{" + DEFAULTS + b'"model":"M","messages":[]}'),
        (b'{"model":"auto","messages":[],"stop_token_ids":null}', b'{"model":"M","messages":[],"stop_token_ids":null}'),
        (b'{"model":"M","stop_token_ids":[1],"messages":[]}', b'{"model":"M","stop_token_ids":[1],"messages":[]}'),
        (
            b'{"model":"M","stream":true,"messages":[]}',
            b"{" + USAGE + DEFAULTS + b'"model":"M","stream":true,"messages":[]}',
        ),
        (
            b'{"model":"M","stream":true,"stop_token_ids":[],"stream_options":null,"messages":[]}',
            b'{"model":"M","stream":true,"stop_token_ids":[],"stream_options":{"include_usage":true},"messages":[]}',
        ),
        (
            b'{"model":"M","stream":true,"stop_token_ids":[],"stream_options":{"include_usage":false},"messages":[]}',
            b'{"model":"M","stream":true,"stop_token_ids":[],"stream_options":{"include_usage":true},"messages":[]}',
        ),
        (
            b'{"model":"M","stream":true,"stop_token_ids":[],"stream_options":{"continuous_usage_stats":true},"messages":[]}',
            b'{"model":"M","stream":true,"stop_token_ids":[],"stream_options":{"include_usage":true},"messages":[]}',
        ),
        (
            b'{"model":"M","stream":true,"stop_token_ids":[],"stream_options":{"include_usage": true},"messages":[]}',
            b'{"model":"M","stream":true,"stop_token_ids":[],"stream_options":{"include_usage": true},"messages":[]}',
        ),
        (
            b'{"model":"M","stream":false,"stop_token_ids":[],"messages":[]}',
            b'{"model":"M","stream":false,"stop_token_ids":[],"messages":[]}',
        ),
        (
            b'{"mod\\u0065l":"auto","stop_token_ids":1,"messages":[]}',
            b'{"mod\\u0065l":"M","stop_token_ids":1,"messages":[]}',
        ),
    ],
)
async def test_the_permitted_changes_to_a_body(
    sent: bytes, came: bytes, fakes: StartFake, serving: StartGateway
) -> None:
    fake = await fakes()
    gateway = await serving([fake])
    name = b"codegeex4-all-9b"
    assert (await gateway.ask(post(CHAT, sent.replace(b'"M"', b'"%b"' % name)))).status == 200
    assert fake.requests[0].body == came.replace(b'"M"', b'"%b"' % name)


async def test_any_body_keeps_its_other_bytes(fakes: StartFake, serving: StartGateway) -> None:
    fake = await fakes()
    gateway = await serving([fake])
    values = st.recursive(
        st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text(st.characters(exclude_categories=["Cs"])),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
    )
    bodies: list[bytes] = []

    @given(st.dictionaries(st.text("xyz", min_size=1, max_size=4), values, max_size=4), st.sampled_from([None, 1]))
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    def collect(fields: dict[str, Any], indent: int | None) -> None:
        value = {"stop_token_ids": [], "model": "auto", "messages": [], **fields}
        bodies.append(json.dumps(value, indent=indent, ensure_ascii=indent is None).encode())

    collect()
    async with gateway.client() as client:
        for body in bodies:
            assert (await client.ask(post(CHAT, body))).status == 200
    for body, seen in zip(bodies, fake.requests, strict=True):
        assert seen.body == body.replace(b'"auto"', b'"codegeex4-all-9b"', 1)


async def test_what_is_not_sent_up(fakes: StartFake, serving: StartGateway) -> None:
    fake = await fakes()
    gateway = await serving([fake])
    dropped = [
        ("Authorization", "Bearer client-secret"),
        ("Cookie", "session=secret"),
        ("X-Api-Key", "secret"),
        ("Api-Key", "secret"),
        ("Proxy-Authorization", "secret"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("TE", "trailers"),
        ("Trailer", "x"),
        ("Accept-Encoding", "gzip, br"),
        ("X-Yardstick-Model", "secret"),
        ("X-Yardstick-Anything", "secret"),
        ("X-Data-Parallel-Rank", "3"),
        ("Connection", "keep-alive, X-Named, x-second"),
        ("X-Named", "secret"),
        ("X-Second", "secret"),
    ]
    kept = [("Accept", "*/*"), ("User-Agent", "me"), ("X-Other", "1"), ("X-Other", "2"), ("X-Empty", "")]
    assert (await gateway.ask(post(CHAT, chat(), [*dropped, *kept]))).status == 200
    (seen,) = fake.requests
    assert b"secret" not in seen.raw
    assert [pair for pair in seen.message.headers if pair[0] not in (b"host", b"x-request-id", b"content-length")] == [
        (b"accept-encoding", b"identity"),
        (b"accept", b"*/*"),
        (b"user-agent", b"me"),
        (b"x-other", b"1"),
        (b"x-other", b"2"),
        (b"x-empty", b""),
        (b"content-type", b"application/json"),
    ]
    assert seen.header(b"host") == fake.address.encode()


@pytest.mark.parametrize(
    "connection", ["close", "keep-alive", "Keep-Alive", "close, X-Named", " X-Named ,, close", "X-Named"]
)
async def test_headers_named_by_connection_are_dropped(
    connection: str, fakes: StartFake, serving: StartGateway
) -> None:
    fake = await fakes(says(answer(unary(), extra=b"connection: X-Gone, keep-alive\r\nx-gone: 1\r\nx-stays: 2\r\n")))
    gateway = await serving([fake])
    found = await gateway.ask(post(CHAT, chat(), [("connection", connection), ("x-named", "1"), ("x-kept", "2")]))
    assert (b"x-named" in fake.requests[0].message.names) == ("named" not in connection.lower())
    assert fake.requests[0].header(b"x-kept") == b"2"
    assert b"x-gone" not in found.names
    assert found.header(b"x-stays") == b"2"


async def test_a_body_header_cant_be_named_away(fakes: StartFake, serving: StartGateway) -> None:
    fake = await fakes()
    gateway = await serving([fake])
    named = "content-length, content-type, host, x-request-id"
    assert (await gateway.ask(post(CHAT, chat(), [("connection", named)]))).status == 200
    (seen,) = fake.requests
    assert {b"content-length", b"content-type", b"host", b"x-request-id"} <= set(seen.message.names)


async def test_what_is_not_sent_down(fakes: StartFake, serving: StartGateway) -> None:
    extra = (
        b"Server: uvicorn\r\nDate: today\r\nX-Own: kept\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
        b"Keep-Alive: timeout=5\r\n"
        b"X-Yardstick-Model: forged\r\nX-Request-Id: forged\r\nProxy-Authenticate: x\r\nTrailer: y\r\n"
    )
    gateway = await serving([await fakes(says(answer(unary(), extra=extra)))])
    found = await gateway.ask(post(CHAT, chat(), [("x-request-id", "mine")]))
    assert b"forged" not in found.raw
    assert found.header(b"x-request-id") == b"mine"
    assert found.header(b"server") == b"uvicorn"
    assert found.header(b"date") == b"today"
    assert [value for name, value in found.headers if name == b"set-cookie"] == [b"a=1", b"b=2"]
    assert not {b"keep-alive", b"proxy-authenticate", b"trailer", b"transfer-encoding"} & set(found.names)


async def test_the_decision_is_in_the_headers(fakes: StartFake, serving: StartGateway) -> None:
    short, long = await fakes(), await fakes(name="iquest-coder-v1-40b-loop-instruct", window=131072)
    gateway = await serving([short], [long])
    found = await gateway.ask(post(CHAT, chat()))
    assert found.header(b"x-yardstick-model") == b"codegeex4-all-9b"
    assert found.header(b"x-yardstick-endpoint") == short.address.encode()
    assert int(found.header(b"x-yardstick-prompt-tokens") or b"") > 0
    assert found.header(b"x-yardstick-counted") == b"bounded"
    assert found.header(b"x-yardstick-threshold") == b"8192"
    assert found.header(b"x-yardstick-reason") == b"short-prompt"
    found = await gateway.ask(post(CHAT, chat(content="word " * 30_000)))
    assert found.header(b"x-yardstick-model") == b"iquest-coder-v1-40b-loop-instruct"
    assert found.header(b"x-yardstick-endpoint") == long.address.encode()
    assert found.header(b"x-yardstick-reason") == b"long-prompt"


async def test_request_ids(fakes: StartFake, serving: StartGateway) -> None:
    fake = await fakes()
    gateway = await serving([fake])
    given = ["abc", "A-b_c.d:1", "x" * 128]
    refused = ["x" * 129, "a b", "a;b", "é", "", 'a"b', "a\tb"]
    for name in given + refused:
        found = await gateway.ask(post(CHAT, chat(), [("x-request-id", name)]))
        seen = fake.requests[-1].header(b"x-request-id")
        assert found.header(b"x-request-id") == seen
        if name in given:
            assert seen == name.encode()
        else:
            assert re.fullmatch(rb"[0-9a-f]{16}-[0-9a-f]+", seen or b"")
    ids = [json.loads(line)["request_id"] for line in await gateway.log_lines()]
    assert ids == [(seen.header(b"x-request-id") or b"").decode() for seen in fake.requests]
    assert len(set(ids)) == len(given + refused)


async def test_errors_carry_the_id_too(fakes: StartFake, serving: StartGateway) -> None:
    gateway = await serving([await fakes()], limits={"body_bytes": 1000, "header_bytes": 4096})
    mine = ("x-request-id", "mine-1")
    for request in (
        post(CHAT, b"{", [mine]),
        post(CHAT, b"x" * 2000, [mine]),
        post(CHAT, chat(), [mine, ("x", "y" * 5000)]),
        post("/nope", b"", [mine]),
    ):
        found = await gateway.ask(request)
        assert found.status >= 400
        assert found.header(b"x-request-id") == b"mine-1", found.raw


async def test_the_endpoints_own_key_is_sent(fakes: StartFake, serving: StartGateway) -> None:
    fake = await fakes()
    authorizations = []

    async def script(seen: Seen) -> None:
        authorizations.append(seen.header(b"authorization"))
        await seen.wire.send(answer(unary()))

    fake.script = script
    pools = [{"model": "codegeex4-all-9b", "endpoints": [{"url": fake.url + "/v1/", "api_key": "endpoint-key"}]}]
    gateway = await serving([fake], pools=pools)
    assert (await gateway.ask(post(CHAT, chat(), [("authorization", "Bearer theirs")]))).status == 200
    assert authorizations == [b"Bearer endpoint-key"]
    assert fake.requests[0].path == CHAT.encode()
