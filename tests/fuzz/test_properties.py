"""The fuzzer's checks on hypothesis's inputs and on every seed, which holds what the fuzzer once found."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.properties import check_answer, check_body, check_frames, check_requests
from tests.fuzz.targets import TARGETS, Input

SEEDS = Path(__file__).parent / "seeds"
places = st.lists(st.integers(0, 4000), max_size=12)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


def mixtures(*parts: bytes) -> st.SearchStrategy[bytes]:
    """Pieces that have a meaning, in any order and number, with bytes that have none between them."""
    return st.lists(st.sampled_from(parts) | st.binary(max_size=4), max_size=30).map(b"".join)


requests = mixtures(
    *(b"GET / HTTP/1.1\r\n", b"POST /v1/chat/completions HTTP/1.1\r\n", b"CONNECT a:1 HTTP/1.1\r\n", b"HTTP/1.0"),
    *(b"host: a\r\n", b"content-length: 5\r\n", b"transfer-encoding: chunked\r\n", b"expect: 100-continue\r\n"),
    *(b"connection: upgrade\r\nupgrade: h2c\r\n", b"connection: close\r\n", b"\r\n", b"\r\n\r\n", b"hello", b"5\r\n"),
    *(b"5\r\nhello\r\n", b"0\r\n\r\n", b"0\r\nx: y\r\n\r\n", b"GET /a HTTP/1.1\r\nhost: a\r\n\r\n", b"x: y\r\n", b";e"),
)
answers = mixtures(
    *(b"HTTP/1.1 200 OK\r\n", b"HTTP/1.0 200 OK\r\n", b"HTTP/1.1 100 C\r\n\r\n", b"HTTP/1.1 204 N\r\n\r\n", b"\r\n"),
    *(b"content-length: 5\r\n", b"content-length: 0\r\n", b"transfer-encoding: chunked\r\n", b"connection: close\r\n"),
    *(b"connection: upgrade\r\nupgrade: h2c\r\n", b"\r\n\r\n", b"hello", b"5\r\nhello\r\n", b"0\r\n\r\n", b"x: y\r\n"),
)
streams = mixtures(
    *(b"data: {}\n\n", b"data: {}\r\n\r\n", b"data: [DONE]\n\n", b": c\n\n", b"\n", b"\r", b"\n\n", b"\r\n", b"data: "),
    *(b'{"choices": [],', b'"usage": {"prompt_tokens": 5}}', b'data: {"choices":[], "usage":{}}\n\n', b',"usage":null'),
)
bodies = mixtures(
    *(b"{", b"}", b"[", b"]", b'"', b":", b",", b'"a":', b'"a"', b'"b":', b'"model":"auto"', b"1", b"-", b"0", b"1e5"),
    *(b"true", b"null", b"NaN", b" ", b"\n", b"\\", b"\\u", b"\\ud83d", b"\\ude00", b"\\u0061", b"\xff", b"\xc3\xa9"),
)


@settings(max_examples=300, deadline=None)
@given(data=requests, places=places)
def test_requests(data: bytes, places: list[int], loop: asyncio.AbstractEventLoop) -> None:
    check_requests(data, places, loop)


@settings(max_examples=300, deadline=None)
@given(data=answers, places=places)
def test_answers(data: bytes, places: list[int], loop: asyncio.AbstractEventLoop) -> None:
    check_answer(data, places, loop)


@settings(max_examples=300, deadline=None)
@given(data=streams, places=places)
def test_frames(data: bytes, places: list[int]) -> None:
    check_frames(data, places)


@settings(max_examples=500, deadline=None)
@given(data=bodies)
def test_bodies(data: bytes) -> None:
    check_body(b"{" + data + b"}")
    check_body(data)


@pytest.mark.parametrize("name", TARGETS)
def test_every_seed(name: str, loop: asyncio.AbstractEventLoop) -> None:
    seeds = sorted((SEEDS / name).iterdir())
    assert seeds
    for seed in seeds:
        TARGETS[name](Input(seed.read_bytes()), loop)
