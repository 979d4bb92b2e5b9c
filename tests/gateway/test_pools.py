"""Pools of several endpoints: who gets a request, who is left out for how long, and who stands in."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from tests.conftest import StartFake, StartGateway
from tests.fakes.client import chat, get, post, until
from tests.fakes.gateway import LONG, SHORT, RunningGateway
from tests.fakes.server import FakeServer, Seen, answer, chunk, chunked_head, content_frame, says, silence, unary

CHAT = "/v1/chat/completions"
GOOD = says(answer(unary()))
BROKEN = says(answer(b'{"error":{"message":"engine died"}}', 500))


async def ask(gateway: RunningGateway, **fields: Any) -> Any:
    return await gateway.ask(post(CHAT, chat(**fields)))


def endpoint_of(gateway: RunningGateway, fake: FakeServer) -> Any:
    return next(endpoint for endpoint in gateway.endpoints() if endpoint.port == fake.port)


# -- load and affinity --------------------------------------------------------------------------------------------


async def test_a_long_prompt_weighs_more_than_a_short_one(fakes: StartFake, serving: StartGateway) -> None:
    one, two = await fakes(silence), await fakes(silence)
    gateway = await serving([one, two])
    async with gateway.client() as heavy:
        heavy.send(post(CHAT, chat(content="x = 1\n" * 3000)))
        await until(lambda: one.requests or two.requests)
        light: list[Any] = []
        for _ in range(3):
            client = gateway.client()
            await client.__aenter__()
            client.send(post(CHAT, chat()))
            light.append(client)
        await until(lambda: len(one.requests) + len(two.requests) == 4)
        assert sorted(len(fake.requests) for fake in (one, two)) == [1, 3]
        for client in light:
            client.drop()
        heavy.drop()
    await gateway.quiet()
    assert all(endpoint.load == 0 for endpoint in gateway.endpoints())


async def test_a_conversation_meets_its_endpoint_again(fakes: StartFake, serving: StartGateway) -> None:
    three = [await fakes(GOOD) for _ in range(3)]
    gateway = await serving(three)
    met = {}
    for talk in range(12):
        messages = [{"role": "user", "content": f"{talk} " + "mend this. " * 200}]
        for turn in range(4):
            found = await gateway.ask(post(CHAT, chat(messages=messages)))
            met.setdefault(talk, set()).add(found.header(b"x-yardstick-endpoint"))
            messages += [{"role": "assistant", "content": "ok"}, {"role": "user", "content": f"more {turn}"}]
    assert all(len(endpoints) == 1 for endpoints in met.values())
    assert len(set.union(*met.values())) > 1


async def test_a_pool_without_affinity_gives_each_prompt_to_the_least_loaded(
    fakes: StartFake, serving: StartGateway
) -> None:
    two = [await fakes(GOOD) for _ in range(2)]
    gateway = await serving(
        two, pools=[{"model": SHORT, "endpoints": [{"url": fake.url} for fake in two], "affinity": False}]
    )
    for _ in range(4):
        await ask(gateway, content="mend this. " * 200)
    assert [len(fake.requests) for fake in two] == [2, 2]


async def test_one_hot_conversation_spills_over_before_its_endpoint_is_overrun(
    fakes: StartFake, serving: StartGateway
) -> None:
    one, two = await fakes(silence, window=4096), await fakes(silence, window=4096)
    gateway = await serving([one, two])
    body = post(CHAT, chat(content="again " * 250, max_tokens=2000))
    clients = [gateway.client() for _ in range(8)]
    for client in clients:
        await client.__aenter__()
        client.send(body)
    await until(lambda: len(one.requests) + len(two.requests) == 8)
    assert min(len(one.requests), len(two.requests)) >= 2
    for client in clients:
        client.drop()
    await gateway.quiet()


async def test_one_of_several_workers_chooses_between_two_drawn(fakes: StartFake, serving: StartGateway) -> None:
    """It sees its own load only: if each went to the one that looks best, all would go to the same."""
    gateway = await serving([await fakes() for _ in range(4)], workers=2)
    (pool,) = gateway.gateway.pools.values()
    for number, endpoint in enumerate(pool.endpoints):
        endpoint.load = 1000 * number
    picked = {pool.endpoints.index(endpoint) for _ in range(200) if (endpoint := pool.pick(0.0)) is not None}
    assert picked == {0, 1, 2}  # of two that differ the more loaded never wins
    talk = {pool.pick(0.0, affinity=7) for _ in range(20)}
    assert len(talk) == 1
    for endpoint in pool.endpoints:
        endpoint.load = 0


# -- ejection -----------------------------------------------------------------------------------------------------


async def test_an_endpoint_that_fails_is_left_out_and_comes_back(fakes: StartFake, serving: StartGateway) -> None:
    bad, good = await fakes(BROKEN), await fakes(GOOD)
    gateway = await serving([bad, good])
    statuses = [(await ask(gateway)).status for _ in range(12)]
    assert statuses.count(500) == 3
    assert len(bad.requests) == 3
    assert any("is ejected for 5 s" in line and bad.address in line for line in gateway.said)
    endpoint_of(gateway, bad).health.ejected_until = 0.0  # as if the seconds had passed
    bad.script = GOOD
    statuses = [(await ask(gateway)).status for _ in range(4)]
    assert statuses == [200] * 4
    assert len(bad.requests) > 3
    metrics = (await gateway.ask(get("/metrics"))).body.decode()
    assert f'yardstick_ejections_total{{endpoint="{bad.address}",model="{SHORT}"}} 1.0' in metrics


@pytest.mark.parametrize("status", [400, 404, 413, 422])
async def test_a_clients_fault_never_ejects(status: int, fakes: StartFake, serving: StartGateway) -> None:
    one, two = [await fakes(says(answer(b'{"error":{"message":"no"}}', status))) for _ in range(2)]
    gateway = await serving([one, two])
    for _ in range(12):
        await ask(gateway)
    assert len(one.requests) == len(two.requests) == 6


@pytest.mark.parametrize(
    "script",
    [
        says(b"not HTTP at all\r\n\r\n"),
        says(answer(unary())[:-4], then="close"),
        says(then="reset"),
        says(chunked_head(), chunk(content_frame("a")), then="reset"),
    ],
    ids=["garbage", "truncated", "reset", "mid-stream"],
)
async def test_every_way_to_break_off_counts(script: Any, fakes: StartFake, serving: StartGateway) -> None:
    bad, good = await fakes(script), await fakes(GOOD)
    gateway = await serving([bad, good])
    for connection in endpoint_of(gateway, bad).idle:
        connection.close()  # the probes' connections: they would pass for stale ones
    for _ in range(12):
        async with gateway.client() as client:
            client.send(post(CHAT, chat()))
            await client.read()
    assert len(bad.requests) == 3
    await gateway.quiet()


async def test_the_last_one_that_is_up_is_not_ejected(fakes: StartFake, serving: StartGateway) -> None:
    bad, down = await fakes(BROKEN), await fakes(GOOD)
    gateway = await serving([bad, down])
    endpoint_of(gateway, down).up = False
    assert [(await ask(gateway)).status for _ in range(8)] == [500] * 8
    assert len(bad.requests) == 8


async def test_a_second_attempt_never_goes_to_an_ejected_endpoint(fakes: StartFake, serving: StartGateway) -> None:
    fake = await fakes(GOOD)
    gateway = await serving([fake], ejection={"failures": 2, "share": 1.0})
    await fake.stop()
    codes = [(await ask(gateway)).error["code"] for _ in range(3)]
    assert codes == ["endpoint_unreachable", "no_endpoint_up", "no_endpoint_up"]


async def test_leaving_says_nothing_of_the_endpoint(fakes: StartFake, serving: StartGateway) -> None:
    one, two = await fakes(silence), await fakes(silence)
    gateway = await serving([one, two])
    for number in range(1, 11):
        async with gateway.client() as client:
            client.send(post(CHAT, chat()))
            await until(lambda: len(one.requests) + len(two.requests) == number)  # noqa: B023
            client.drop()
        await gateway.quiet()
    assert len(one.requests) == len(two.requests) == 5
    assert all(endpoint.health.failures == 0 for endpoint in gateway.endpoints())


# -- back-pressure ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 503])
async def test_a_busy_endpoint_is_left_alone_while_another_is_free(
    status: int, fakes: StartFake, serving: StartGateway
) -> None:
    busy = await fakes(says(answer(b'{"error":{"message":"full"}}', status, extra=b"retry-after: 3\r\n")))
    free = await fakes(GOOD)
    gateway = await serving([busy, free])
    assert [(await ask(gateway)).status for _ in range(6)] == [200] * 6
    assert len(busy.requests) == 1  # and the client saw nothing of it
    assert 2 < endpoint_of(gateway, busy).health.held_until - gateway.gateway.clock.now <= 3
    endpoint_of(gateway, busy).health.held_until = 0.0  # as if they had passed
    assert [(await ask(gateway)).status for _ in range(4)] == [200] * 4
    assert len(busy.requests) == 2
    assert endpoint_of(gateway, busy).health.failures == 0


async def test_where_all_are_busy_the_client_is_told(fakes: StartFake, serving: StartGateway) -> None:
    full = says(answer(b'{"error":{"message":"full"}}', 429, extra=b"retry-after: 3\r\n"))
    one, two = await fakes(full), await fakes(full)
    gateway = await serving([one, two])
    found = await ask(gateway)
    assert (found.status, found.header(b"retry-after")) == (429, b"3")
    assert found.json["error"]["message"] == "full"
    assert (len(one.requests), len(two.requests)) == (1, 1)
    await gateway.quiet()


# -- fallback -----------------------------------------------------------------------------------------------------


async def test_short_prompts_go_long_only_if_configured(fakes: StartFake, serving: StartGateway) -> None:
    short, long = await fakes(GOOD), await fakes(GOOD, name=LONG, window=131072)
    strict = await serving([short], [long])
    lenient = await serving([short], [long], routing={"fallback": "down"})
    await short.stop()
    found = await ask(strict)
    assert (found.status, found.error["code"]) == (503, "endpoint_unreachable")
    for _ in range(2):  # refused at first, then known to be down
        found = await ask(lenient)
        assert found.status == 200
        assert found.header(b"x-yardstick-model") == LONG.encode()
        assert found.header(b"x-yardstick-reason") == b"short-unavailable"
        await lenient.gateway.discovery.look_once()
    assert json.loads(long.requests[-1].body)["model"] == LONG
    assert "stop_token_ids" not in json.loads(long.requests[-1].body)  # the short model's defaults are not the long's
    assert (await ask(lenient, model=SHORT)).status == 503  # who names a model gets it or nothing
    decisions = [
        line
        for line in (await lenient.ask(get("/metrics"))).body.decode().splitlines()
        if line.startswith("yardstick_decisions_total") and "short-" in line
    ]
    assert sum(float(line.split()[-1]) for line in decisions) == 2


async def test_long_never_goes_short(fakes: StartFake, serving: StartGateway) -> None:
    short, long = await fakes(GOOD, window=131072), await fakes(GOOD, name=LONG, window=131072)
    gateway = await serving([short], [long], routing={"fallback": "busy", "threshold": 100})
    await long.stop()
    found = await ask(gateway, content="word " * 5000)
    assert found.status == 503
    assert short.requests == []


async def test_busy_short_endpoints_send_short_prompts_long(fakes: StartFake, serving: StartGateway) -> None:
    full = says(answer(b'{"error":{"message":"full"}}', 503))
    short, long = await fakes(full), await fakes(GOOD, name=LONG, window=131072)
    down = await serving([short], [long], routing={"fallback": "down"})
    assert (await ask(down)).status == 503
    busy = await serving([short], [long], routing={"fallback": "busy"})
    found = await ask(busy, stream=True)
    assert (found.status, found.header(b"x-yardstick-reason")) == (200, b"short-unavailable")
    await busy.quiet()
    assert all(endpoint.load == 0 for endpoint in busy.endpoints())


# -- probes -------------------------------------------------------------------------------------------------------


async def test_a_sick_endpoint_is_down_after_two_probes_and_up_after_one(
    fakes: StartFake, serving: StartGateway
) -> None:
    sick, well = await fakes(GOOD), await fakes(GOOD)
    gateway = await serving([sick, well])
    look = gateway.gateway.discovery.look_once
    sick.health = 503
    await look()
    assert endpoint_of(gateway, sick).up
    await look()
    assert not endpoint_of(gateway, sick).up
    for _ in range(4):
        assert (await ask(gateway)).status == 200
    assert not sick.requests
    sick.health = 200
    await look()
    assert endpoint_of(gateway, sick).up


async def test_a_server_without_a_health_route_is_judged_by_its_models(fakes: StartFake, serving: StartGateway) -> None:
    fake = await fakes(GOOD)
    fake.health = 404
    gateway = await serving([fake])
    assert endpoint_of(gateway, fake).up
    assert (await ask(gateway)).status == 200


async def test_a_slow_prompt_does_not_make_its_endpoint_look_down(fakes: StartFake, serving: StartGateway) -> None:
    """An answer that takes its time is no failure, and the prompt's own deadline grows with its length."""

    async def slow(seen: Seen) -> None:
        await released.wait()
        await seen.wire.send(answer(unary()))

    released = asyncio.Event()
    fake, other = await fakes(slow), await fakes(slow)
    gateway = await serving([fake, other])
    async with gateway.client() as client:
        client.send(post(CHAT, chat(SHORT, content="x = 1\n" * 10_000)))
        await until(lambda: fake.requests or other.requests)
        gateway.pass_time(59)
        released.set()
        assert (await client.answer()).status == 200
    assert all(endpoint.health.failures == 0 for endpoint in gateway.endpoints())
