"""What is asked of each endpoint, and what its answer means."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.discovery import choose_served
from gateway.upstream_connection import Broken
from tests.conftest import StartFake, StartGateway
from tests.fakes.client import chat, get, post


def cards(*names: Any, **more: Any) -> bytes:
    return json.dumps({"data": [{"id": name, **more} for name in names]}).encode()


@pytest.mark.parametrize(
    ("names", "configured", "served"),
    [
        (["m"], None, "m"),
        (["other"], None, "other"),
        (["org/M"], None, "org/M"),
        (["a", "m"], None, "m"),
        (["a", "b/m"], None, "b/m"),
        (["m", "b/m"], None, "m"),
        (["a", "b"], None, None),
        (["a/m", "b/m"], None, None),
        ([], None, None),
        (["a", "b"], "b", "b"),
        (["a"], "b", None),
    ],
)
def test_the_served_name(names: list[str], configured: str | None, served: str | None) -> None:
    if served is None:
        with pytest.raises(Broken):
            choose_served(cards(*names), "m", configured)
    else:
        assert choose_served(cards(*names, max_model_len=7), "m", configured) == (served, 7)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"null", b'{"data":1}', b'{"data":[1]}', b'{"data":[{}]}', b'{"data":{"a":1}}']
)
def test_nonsense_is_no_list_of_models(body: bytes) -> None:
    with pytest.raises(Broken):
        choose_served(body, "m", None)


async def test_endpoints_come_and_go(fakes: StartFake, serving: StartGateway) -> None:
    one, two = await fakes(window=4096), await fakes(window=9000)
    await one.stop()
    gateway = await serving([one, two])
    pool = gateway.gateway.pools["codegeex4-all-9b"]
    assert [endpoint.up for endpoint in pool.endpoints] == [False, True]
    assert pool.window == 9000
    await one.start()
    await gateway.gateway.discovery.look_once()
    assert pool.up
    assert pool.window == 4096
    assert (await gateway.ask(get("/health/ready"))).status == 200
    await one.stop()
    await two.stop()
    await gateway.gateway.discovery.look_once()
    found = await gateway.ask(get("/health/ready"))
    assert (found.status, found.error["code"]) == (503, "not_ready")
    assert (await gateway.ask(post("/v1/chat/completions", chat()))).status == 503


async def test_ready_may_mean_that_any_pool_is(fakes: StartFake, serving: StartGateway) -> None:
    """Where many gateways share the pools, all would be taken out of service while one of two pools is away."""
    short, long = await fakes(), await fakes(name="iquest-coder-v1-40b-loop-instruct")
    gateway = await serving([short], [long])
    assert (await gateway.ask(get("/health/ready?pools=any"))).status == 200
    await long.stop()
    await gateway.gateway.discovery.look_once()
    assert (await gateway.ask(get("/health/ready?pools=any"))).status == 200
    for path in ("/health/ready", "/health/ready?pools=all"):
        found = await gateway.ask(get(path))
        assert (found.status, found.error["code"]) == (503, "not_ready")
    await short.stop()
    await gateway.gateway.discovery.look_once()
    found = await gateway.ask(get("/health/ready?pools=any"))
    assert (found.status, found.error["code"]) == (503, "not_ready")
    assert (await gateway.ask(get("/health/ready?pools=some"))).status == 400
