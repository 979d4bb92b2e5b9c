"""The registry of metrics beside what a gateway emits: both ways, for every outcome, whatever clients send."""

from __future__ import annotations

import inspect
import json
import random
import re
import string
from itertools import product
from pathlib import Path

from prometheus_client import CollectorRegistry

from gateway.clock import Clock
from gateway.families import MODELS
from gateway.keys import key_line, new_key
from gateway.shadow.tap import tap
from gateway.telemetry import names, page, shared
from gateway.telemetry.states import ConfigState, States
from gateway.telemetry.totals import Totals
from gateway.upstream import Endpoint, EndpointNow
from tests.conftest import StartFake, StartGateway
from tests.fakes.client import chat, get, post, until
from tests.fakes.gateway import LONG, SHORT, RunningGateway
from tests.fakes.server import DONE, Seen, answer, chunk, chunked_head, content_frame, stream, unary, usage_frame
from tests.gateway.emitted import Families, assert_as_registered, emitted, value

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
OF_GATEWAY = (*names.OF_REQUESTS, *names.OF_GATEWAY)


async def scrape(gateway: RunningGateway) -> Families:
    await gateway.quiet()
    return emitted((await gateway.ask(get("/metrics"))).body)


async def as_asked(seen: Seen) -> None:
    """What the prompt says: a stream or a whole answer, broken or not."""
    body = json.loads(seen.body)
    what = body["messages"][0]["content"]
    if what == "silence":
        await seen.wire.gone()
    elif what == "break":
        await seen.wire.send(chunked_head(), chunk(content_frame("a")), chunk(content_frame("b")))
        seen.wire.reset()
    elif what == "begin":
        await seen.wire.send(chunked_head(), chunk(content_frame("a")))
        await seen.wire.gone()
    elif what == "500":
        await seen.wire.send(answer(b'{"error":{"message":"no","type":"x","code":500}}', 500))
    elif body.get("stream"):
        frames = [content_frame(str(number)) for number in range(5)]
        await seen.wire.send(*stream([*frames, usage_frame(prompt=5000, completion=5), DONE]))
    else:
        await seen.wire.send(answer(unary()))


async def cancel(gateway: RunningGateway, fake_has: list[Seen], content: str, *, began: bool) -> None:
    before = len(fake_has)
    async with gateway.client() as client:
        client.send(post(CHAT, chat(content=content, stream=True)))
        await until(lambda: len(fake_has) > before)
        if began:
            await client.head()
            await client.frame()
        client.drop()
        await gateway.quiet()


class TestRegistry:
    def test_names_say_type_and_unit(self) -> None:
        assert len({name.name for name in names.ALL}) == len(names.ALL)
        for name in names.ALL:
            assert name.name.startswith("yardstick_")
            assert not name.name.endswith(("_total", "_count", "_sum", "_bucket")), name.name
            for unit in ("seconds", "tokens", "bytes"):
                assert name.name.endswith(f"_{unit}") == (name.unit == unit), name.name
            assert bool(name.buckets) == (name.type == "histogram"), name.name
            assert list(name.buckets) == sorted(set(name.buckets)), name.name

    def test_every_label_has_a_meaning(self) -> None:
        used = {label for name in names.ALL for label in name.labels}
        assert used == set(names.MEANINGS)
        assert all(set(name.values) <= set(name.labels) for name in names.ALL)

    def test_buckets_reach_what_long_prompts_take(self) -> None:
        assert min(names.FIRST_CHUNK.buckets[-1], names.DURATION.buckets[-1]) >= 600
        assert names.PROMPT_LENGTH.buckets[-1] == max(names.LENGTH_BOUNDS) == 128 * 1024
        assert names.OVERHEAD.buckets[0] == 50e-6

    def test_why_samples_are_dropped_is_as_the_tap_says(self) -> None:
        written = re.findall(r'dropped\["([^"]+)"\]', inspect.getsource(tap))
        assert set(written) == set(names.SHADOW_DROPPED.values["reason"])

    def test_the_page_is_as_the_registry(self) -> None:
        told = "run: python -m gateway.telemetry.page"
        assert page.FILE.read_text(encoding="utf-8") == page.page(), told


async def test_every_outcome_both_ways(fakes: StartFake, serving: StartGateway) -> None:
    fake = await fakes(as_asked)
    gateway = await serving([fake])
    assert (await gateway.ask(post(CHAT, chat()))).status == 200
    assert (await gateway.ask(post(CHAT, chat(stream=True)))).status == 200
    assert (await gateway.ask(post(CHAT, chat("nobody")))).status == 404
    assert (await gateway.ask(get(CHAT))).status == 405
    assert (await gateway.ask(post(CHAT, chat(content="500")))).status == 500
    assert b'"error"' in (await gateway.ask(post(CHAT, chat(content="break", stream=True)))).body
    await cancel(gateway, fake.requests, "silence", began=False)
    await cancel(gateway, fake.requests, "begin", began=True)
    found = await scrape(gateway)
    assert_as_registered(found, OF_GATEWAY)
    outcomes = {"ok": 2, "upstream_error": 2, "cancelled": 2, "client_error": 1}
    requests = {
        outcome: value(found, "yardstick_requests_total", route=CHAT, outcome=outcome)
        for outcome in names.REQUESTS.values["outcome"]
    }
    assert requests == {"gateway_error": 0, **outcomes}
    assert value(found, "yardstick_requests_total", route="refused", model="", outcome="client_error") == 1
    assert value(found, "yardstick_probes_total", model=SHORT, outcome="up") >= 1
    assert value(found, "yardstick_threshold_tokens") == 8192


async def test_histograms_take_what_they_are_true_of(fakes: StartFake, serving: StartGateway) -> None:
    """One stream for each way to end, and a whole answer."""
    fake = await fakes(as_asked)
    gateway = await serving([fake])
    await gateway.ask(post(CHAT, chat(stream=True)))
    await gateway.ask(post(CHAT, chat()))
    await gateway.ask(post(CHAT, chat(content="break", stream=True)))
    await gateway.ask(post(CHAT, chat(content="500")))
    await gateway.ask(post(CHAT, chat("nobody")))
    await cancel(gateway, fake.requests, "silence", began=False)
    await cancel(gateway, fake.requests, "begin", began=True)
    found = await scrape(gateway)
    counts = {name: value(found, f"{name.name}_count") for name in OF_GATEWAY if name.type == "histogram"}
    assert counts == {
        names.PROMPT_LENGTH: 6,  # all but the one for nobody
        names.OVERHEAD: 6,
        names.FIRST_CHUNK: 3,  # streams that began
        names.CHUNK: 1,  # the whole stream
        names.DURATION: 2,  # whole answers
    }
    # By the model server's count where it came to that, else by the decision's.
    for name, ending in ((names.FIRST_CHUNK, "_count"), (names.DURATION, "_count"), (names.CHUNK, "_count")):
        assert value(found, f"{name.name}{ending}", length="8192") == 1, name.name
    assert value(found, "yardstick_time_to_first_chunk_seconds_count", length="1024") == 2
    assert value(found, "yardstick_prompt_tokens_total") == 5000 + 7
    assert value(found, "yardstick_output_tokens_total") == 5 + 3
    relayed = len(content_frame("a"))
    assert value(found, "yardstick_relayed_bytes_total") > len(unary()) + 4 * relayed


async def test_probes_are_counted_by_what_they_found(fakes: StartFake, serving: StartGateway) -> None:
    good, bad = await fakes(), await fakes(health=500)
    gateway = await serving([good, bad], probes={"period": 0.05, "period_down": 0.05})
    for _ in range(3):
        await gateway.gateway.discovery.look_once()
    found = await scrape(gateway)
    for fake, outcome, other in ((good, "up", "down"), (bad, "down", "up")):
        labels = {"model": SHORT, "endpoint": fake.address}
        assert value(found, "yardstick_probes_total", outcome=outcome, **labels) >= 4
        assert value(found, "yardstick_probes_total", outcome=other, **labels) == 0


# -- cardinality ------------------------------------------------------------------------------------------------------

MARK = "zzmark"


def odd(chance: random.Random, number: int) -> bytes:
    """A request that has something of the client's own in every place where a client can put something."""

    def word(letters: str = string.ascii_lowercase) -> str:
        return f"{MARK}-{number}-" + "".join(chance.choices(letters, k=chance.randrange(1, 9)))

    route = chance.choice(
        [CHAT, CHAT, COMPLETIONS, f"/v1/{word()}", f"{CHAT}/{word()}", f"{CHAT}?{word()}", f"/{word()}"]
    )
    method = chance.choice(["POST"] * 9 + ["GET", "BREW", word(string.ascii_uppercase).upper().replace("-", "")])
    body = {
        "model": chance.choice(["auto", SHORT, LONG, word(), "", None, 7, f"{SHORT}:{word()}", {"x": word()}]),
        "messages": [{"role": chance.choice(["user", word()]), "content": "x" * chance.choice([1, 9_000, 90_000])}],
        "prompt": word(),
        "stream": chance.choice([True, False, word()]),
        "user": word(),
        "max_tokens": chance.choice([1, 10**6, -1, word()]),
        word(): word(),
    }
    data = chance.choice([json.dumps(body), json.dumps(body), word(), ""]).encode()
    headers = {
        "host": word(),
        "content-type": chance.choice(["application/json"] * 9 + [word()]),
        "x-request-id": chance.choice([word(), word(string.printable[:94]).strip() or "x"]),
        "authorization": f"Bearer {word()}",
        "user-agent": word(),
        "x-yardstick-model": word(),
        "x-yardstick-canary": word(),
        "traceparent": word(),
        f"x-{word()}": word(),
        "content-length": str(len(data)),
    }
    lines = [f"{method} {route} HTTP/1.1", *(f"{name}: {text}" for name, text in headers.items()), "", ""]
    return "\r\n".join(lines).encode() + data


async def test_labels_have_fixed_values_whatever_clients_send(fakes: StartFake, serving: StartGateway) -> None:
    async def script(seen: Seen) -> None:
        streamed = b'"stream": true' in seen.body
        await seen.wire.send(
            *(stream([content_frame("a"), content_frame("b"), DONE]) if streamed else [answer(unary())])
        )

    short, long = await fakes(script), await fakes(script, name=LONG, window=131072)
    gateway = await serving([short], [long])
    chance = random.Random(11)
    statuses = set()
    for number in range(400):
        async with gateway.client() as client:
            client.send(odd(chance, number))
            found = await client.read()
            statuses.add(found.status if found is not None else 0)
    assert {200, 400, 404, 405, 415} <= statuses
    answered = await gateway.ask(get("/metrics"))
    assert MARK.encode() not in answered.body.lower()
    families = emitted(answered.body)
    assert_as_registered(families, OF_GATEWAY)  # which looks at labels with fixed values
    configured = {
        "model": {"", SHORT, LONG},
        "endpoint": {short.address, long.address},
        "hash": {gateway.gateway.generation.material.fingerprint},
        "le": {str(bound) for name in names.ALL for bound in name.buckets} | {"+Inf"},
    }
    for name in OF_GATEWAY:
        for sample in families[name.name].samples:
            for label in sample.labels.keys() - name.values.keys():
                assert sample.labels[label] in configured[label], f"{sample.name}: {label}"


async def test_keys_are_no_labels(fakes: StartFake, serving: StartGateway, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    right = new_key()
    file.write_text(key_line(MARK, right) + "\n")
    gateway = await serving([await fakes()], api_key_file=str(file))
    for key, status in ((right, 200), (f"{MARK}1", 401), (f"{MARK}2", 401)):
        assert (await gateway.ask(post(CHAT, chat(), [("authorization", f"Bearer {key}")]))).status == status
    answered = await gateway.ask(get("/metrics"))
    assert value(emitted(answered.body), "yardstick_requests_total", route="refused", outcome="client_error") == 2
    assert MARK.encode() not in answered.body
    assert right.encode() not in answered.body


def test_the_worst_case_fits_a_worker_s_slot() -> None:
    """Every model, outcome, reason and length there is, and a thousand endpoints with long names."""
    totals, clock = Totals(), Clock()
    requests, decisions = names.REQUESTS.values, names.DECISIONS.values
    for labels in product(requests["route"], ["", *MODELS], requests["outcome"]):
        totals.requests[labels] = 10**15
    for labels in product(MODELS, decisions["method"], decisions["reason"]):
        totals.decisions[labels] = 10**15
    for labels in product(MODELS, names.SHADOW_REQUESTS.values["outcome"]):
        totals.shadow_requests[labels] = 10**15
    for model, bound in product(MODELS, [*names.LENGTH_BOUNDS, 10**6]):
        times = totals.models[model].of_length(bound)
        for buckets in (times.first_chunk, times.chunk, times.duration):
            buckets.observe(1234.5678901234)
    longest = max(MODELS, key=len)
    endpoints = [Endpoint(f"model-server-{number}.{'x' * 40}.svc.cluster.local", 8000) for number in range(1000)]
    registry = CollectorRegistry()
    registry.register(totals)
    registry.register(ConfigState(lambda: "0" * 12, lambda: 8192))
    registry.register(States(lambda: [(longest, EndpointNow.of(each)) for each in endpoints], lambda: 0, clock, None))
    slots = shared.Slots(1)
    slots.write(0, shared.snapshot(registry, 0))  # raises if it does not fit
    assert slots.read(0) == shared.snapshot(registry, 0)
