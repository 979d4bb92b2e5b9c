"""Every registered metric at once: two workers, the process beside them, requests of every outcome, a policy."""

from __future__ import annotations

import asyncio
import inspect
import json
import re

import pytest

from gateway.shadow.canary.ledger import Reason
from gateway.shadow.live import intake, process
from gateway.shadow.sending import canaries, mirrors
from gateway.shadow.sending.mirrors import Mirrors
from gateway.shadow.sending.writing import DROPPED
from gateway.shadow.store import open_store
from gateway.telemetry import names
from tests.conftest import StartFake
from tests.fakes.client import chat, get, post
from tests.fakes.gateway import LONG, SHORT
from tests.fakes.otlp import HTTP, receiver
from tests.fakes.process import ServeProcess, serve_process
from tests.fakes.server import DONE, Seen, content_frame, stream, usage_frame
from tests.gateway.emitted import Families, assert_as_registered, emitted, value
from tests.gateway.shadow.gate.worlds import POLICY
from tests.gateway.shadow.live.test_beside import CHAT, TASK, Beside, beside, right_or_wrong
from tests.gateway.shadow.report.planted import world
from tests.gateway.shadow.walls import need_any

__all__ = ["beside"]  # a fixture
ONE_A_DAY = {"enabled": True, "daily_tokens": 1}
"""So that the second mirrored request comes to nothing."""


async def as_asked(seen: Seen) -> None:
    body = json.loads(seen.body)
    content = body["messages"][0]["content"]
    if content == "silence":
        await seen.wire.gone()
    elif content == "break":
        seen.wire.reset()
    elif body.get("stream"):
        await seen.wire.send(*stream([*(content_frame(str(number)) for number in range(4)), usage_frame(), DONE]))
    else:
        await right_or_wrong(seen)


async def ask_in_every_way(gateway: ServeProcess) -> None:
    assert (await gateway.ask(post(CHAT, chat(content=TASK.instruct_prompt)))).status == 200
    assert (await gateway.ask(post(CHAT, chat(content="Who is there?", stream=True)))).status == 200
    assert (await gateway.ask(post(CHAT, chat("nobody")))).status == 404
    assert (await gateway.ask(post(CHAT, chat(content="break")))).status == 502
    async with gateway.client() as client:
        client.send(post(CHAT, chat(content="silence")))
        client.half_close()
        await client.closed()


async def all_there(gateway: ServeProcess) -> Families:
    """Asks until every metric has a sample."""
    async with asyncio.timeout(150):
        while True:
            await ask_in_every_way(gateway)
            found = emitted((await gateway.ask(get("/metrics"))).body)
            if all(name.name in found and found[name.name].samples for name in names.ALL):
                return found
            await asyncio.sleep(0.2)  # what is waited for needs the CPU


@pytest.mark.timeout(300)
async def test_all_is_emitted_as_it_is_registered(fakes: StartFake, beside: Beside) -> None:
    need_any()
    with open_store(f"sqlite:///{beside.store}") as store:
        world(store)
    beside.config.with_name("policy.yaml").write_text(POLICY)
    short, long = await fakes(as_asked), await fakes(as_asked, name=LONG)
    urls = {SHORT: [short.url], LONG: [long.url]}
    config = beside.write(urls, workers=2, mirror=ONE_A_DAY, gate="policy.yaml")
    with receiver(HTTP) as received:
        environment = {**beside.environment, "OTEL_EXPORTER_OTLP_ENDPOINT": received.url}
        async with serve_process(config, environment=environment) as gateway:
            await gateway.says("shadow-eval: scoring at level", seconds=200)
            found = await all_there(gateway)
    assert_as_registered(found, names.ALL)
    for outcome in ("ok", "client_error", "upstream_error", "cancelled"):
        assert value(found, "yardstick_requests_total", outcome=outcome) > 0, outcome
    assert value(found, "yardstick_shadow_gate", evidence="canary", suite="five", form="complete") == 2
    assert value(found, "yardstick_shadow_gate_pairs", bucket="2048") == 40
    assert value(found, "yardstick_shadow_lost_total", model=LONG, reason="mirror budget") > 0
    assert value(found, "yardstick_config_in_use") == 2


def test_why_things_are_lost_is_as_it_is_written_where_that_happens() -> None:
    written = {DROPPED}
    for part in (intake, process):
        written.update(re.findall(r'Counter\.DROPPED, [^,]+, "([^"]+)"', inspect.getsource(part)))
    written.update(f"{mirrors.REASON} {why}" for why in re.findall(r'"(\w+)"', inspect.getsource(Mirrors._refusal)))
    written.update(f"{canaries.REASON} {why}" for why in Reason if why is not Reason.OFF)  # it would not even run
    of_canaries = re.findall(r'reason=f"\{REASON\} ([^{"]+)"', inspect.getsource(canaries))
    written.update(f"{canaries.REASON} {why}" for why in of_canaries)
    assert written == set(names.SHADOW_LOST.values["reason"])
