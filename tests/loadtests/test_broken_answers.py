"""A server whose answers are wrong: each way of being wrong is a failure with a name, and makes the exit code 1."""

from __future__ import annotations

import itertools
import json

import pytest

from tests.conftest import StartFake
from tests.fakes.server import (
    DONE,
    MODEL,
    Script,
    Seen,
    answer,
    chunk,
    chunked_head,
    content_frame,
    says,
    stream,
    usage_frame,
)

from .conftest import Locust

pytestmark = pytest.mark.load

RUN = ("--mix", "chat", "--users", "2", "--spawn-rate", "2", "--pace", "0.02")
END = b'data: {"id":"c-1","model":"%b","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n' % MODEL.encode()
ERROR = b'data: {"error":{"message":"the engine died","type":"api_error","code":"upstream_broke"}}\n\n'
TEXT = content_frame("def f"), content_frame("(): ...")
WHOLE = (*TEXT, END, usage_frame(), DONE)

WRONG: dict[Script, str] = {
    says(*stream((*TEXT, END, usage_frame()))): "without [DONE]",
    says(chunked_head(), *map(chunk, TEXT), then="close"): "the stream broke",
    says(chunked_head(), *map(chunk, TEXT), then="reset"): "the stream broke",
    says(*stream((*TEXT, ERROR))): "an error event: upstream_broke",
    says(*stream((END, usage_frame(), DONE))): "an empty answer",
    says(*stream((*TEXT, END, DONE))): "usage was asked for",
    says(*stream((*TEXT, usage_frame(), DONE))): "no finish_reason",
    says(*stream((TEXT[0], b"data: {nonsense\n\n", END, usage_frame(), DONE))): "the stream broke",
}


async def test_the_right_answer_is_none_of_them(fakes: StartFake, locust: Locust) -> None:
    fake = await fakes(says(*stream(WHOLE)))
    run = await locust(f"{fake.url}/v1", *RUN, "--expect", MODEL, "--api-key", "sk-own", answers=8)
    assert (run.code, run.failures) == (0, []), run.output
    body = json.loads(fake.requests[0].body)
    assert body["stream"] is True
    assert body["model"] == "auto"
    assert fake.requests[0].path == b"/v1/chat/completions"
    assert fake.requests[0].header(b"authorization") == b"Bearer sk-own"
    assert "sk-own" not in run.output
    connections = {seen.wire.number for seen in fake.requests}
    assert len(connections) < len(fake.requests)  # they are kept


async def test_different_people_begin_alike_and_then_differ(fakes: StartFake, locust: Locust) -> None:
    """A prefix cache has some thousand characters to find, and no conversation is another one's copy."""
    fake = await fakes(says(*stream(WHOLE)))
    run = await locust(fake.url, *RUN, answers=8)
    assert run.code == 0, run.output
    told: dict[int, str] = {}
    for seen in fake.requests:  # the last of each person, who has a connection of their own
        told[seen.wire.number] = "".join(each["content"] for each in json.loads(seen.body)["messages"])
    one, other = told.values()
    assert one[:4_000] == other[:4_000]
    assert one != other


async def test_each_wrong_answer_is_a_failure_with_a_name(fakes: StartFake, locust: Locust) -> None:
    turns = itertools.cycle(WRONG)

    async def wrong(seen: Seen) -> None:
        await next(turns)(seen)

    fake = await fakes(wrong)
    run = await locust(fake.url, *RUN, "--most-failed", "1", answers=3 * len(WRONG))
    assert run.code == 1, run.output
    assert len(fake.requests) > len(WRONG)
    assert run.failed == run.count("E2E", "chat") == len(fake.requests)
    for said in WRONG.values():
        assert any(said in failure for failure in run.failures), (said, run.failures)


@pytest.mark.parametrize(("allowed", "code"), [("1", 0), ("0.5", 1)])
async def test_refusals_are_allowed_up_to_a_share(fakes: StartFake, locust: Locust, allowed: str, code: int) -> None:
    refusal = b'{"error":{"message":"queue is full","type":"overloaded","code":"queue_full"}}'
    fake = await fakes(says(answer(refusal, 503)))
    run = await locust(fake.url, *RUN, "--most-failed", allowed, answers=4)
    assert run.code == code, run.output
    assert all("503 queue_full" in failure for failure in run.failures)


async def test_nobody_there_is_a_failure(locust: Locust) -> None:
    run = await locust("http://127.0.0.1:9", *RUN, answers=4)
    assert run.code == 1
    assert any("Refused" in failure for failure in run.failures), run.output


async def test_who_leaves_closes_the_connection(fakes: StartFake, locust: Locust) -> None:
    async def endless(seen: Seen) -> None:
        await seen.wire.send(chunked_head(), chunk(TEXT[0]))
        await seen.wire.gone()

    fake = await fakes(endless)
    run = await locust(fake.url, "--mix", "ide", "--users", "1", "--pace", "0.02", "--left", "1", answers=6)
    assert run.code == 0, run.output
    assert run.count("E2E", "ide, left") >= len(fake.requests) > 1  # the quickest leave before they have been read
    assert all(wire.closed.is_set() for wire in fake.wires)
    assert {seen.path for seen in fake.requests} == {b"/v1/completions"}
    for seen in fake.requests:
        body = json.loads(seen.body)
        assert body["prompt"].strip()
        assert body["suffix"].startswith("\n")  # what stands below the cursor's line
