"""`yardstick serve` with shadow-eval beside it, as processes: live requests get verdicts, and nothing ends badly."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from gateway.shadow.gate.draws import Kind, Outcome
from gateway.shadow.live.process import wall
from gateway.shadow.store import Drawn, Gap, StoreUnavailable, open_store
from gateway.shadow.suites.load import load
from tests.conftest import StartFake
from tests.fakes.client import chat, get, post, until
from tests.fakes.gateway import LONG, SHORT
from tests.fakes.otlp import HTTP, Received, receiver
from tests.fakes.process import ServeProcess, serve_process, write_config
from tests.fakes.server import Seen, answer, unary
from tests.gateway.shadow.gate.worlds import FIRST
from tests.gateway.shadow.report.planted import world
from tests.gateway.shadow.walls import need_any

CHAT = "/v1/chat/completions"
FIVE = load("five")
TASK = FIVE.tasks[sorted(FIVE.tasks)[0]]
UNKNOWN = "What is the difference between a list and a tuple?"
KEY = "sk-proj-" + "Zx9" * 16


def solution(body: str) -> bytes:
    return answer(unary(f"Here it is.\n```python\n{TASK.complete_prompt}{body}\n```\n"))


async def right_or_wrong(seen: Seen) -> None:
    """The short model solves the task, the long one does not."""
    right = json.loads(seen.body)["model"] == SHORT
    await seen.wire.send(solution(TASK.canonical_solution if right else "    return None\n"))


class Beside:
    def __init__(self, folder: Path) -> None:
        self.store = folder / "shadow.db"
        self.config = folder / "yardstick.yaml"
        self.environment = {"XDG_DATA_HOME": str(folder / "data")}

    def write(self, urls: dict[str, list[str]], *, workers: int = 1, **shadow: Any) -> Path:
        settings = {"keyless": 1.0, "most_per_second": 1000, "store": f"sqlite:///{self.store}", **shadow}
        routing = {"short": SHORT, "long": LONG if LONG in urls else SHORT}
        return write_config(self.config, urls, routing=routing, shadow=settings, workers=workers)

    async def drawn(self, wanted: Callable[[list[Drawn]], bool]) -> list[Drawn]:
        """What is stored, once it is as it is wanted."""
        found = list[Drawn]()

        def look() -> bool:
            if self.store.exists():
                try:
                    with open_store(f"sqlite:///{self.store}") as store:
                        found[:] = store.evidence.samples()
                except StoreUnavailable:  # it is just being made
                    return False
            return wanted(found)

        async with asyncio.timeout(150):
            while not await asyncio.to_thread(look):  # noqa: ASYNC110 (another process does it)
                await asyncio.sleep(0.1)  # a look takes a core, which what is waited for needs
        return found

    async def gap(self, since: float) -> Gap:
        """The first that began then or later, once it is over."""

        def look() -> list[Gap]:
            with open_store(f"sqlite:///{self.store}") as store:
                return [gap for gap in store.evidence.gaps() if gap.since >= since and gap.until is not None]

        async with asyncio.timeout(150):
            while not (found := await asyncio.to_thread(look)):  # noqa: ASYNC110 (another process does it)
                await asyncio.sleep(0.1)
        return found[0]


@pytest.fixture
def beside(tmp_path: Path) -> Beside:
    return Beside(tmp_path)


async def ask(gateway: ServeProcess, content: str = TASK.instruct_prompt, **fields: Any) -> None:
    assert (await gateway.ask(post(CHAT, chat(content=content, **fields)))).status == 200


async def ask_until_stored(gateway: ServeProcess, beside: Beside, known: int = 0) -> None:
    """The first requests may come before anybody listens: those are lost, and counted."""
    tap_is_there = asyncio.Event()

    async def asking() -> None:
        while not tap_is_there.is_set():
            await ask(gateway)

    async with asyncio.TaskGroup() as group:
        group.create_task(asking())
        await beside.drawn(lambda drawn: len(drawn) > known)
        tap_is_there.set()


async def metric_above_zero(gateway: ServeProcess, name: str, labels: dict[str, str]) -> None:
    async with asyncio.timeout(150):
        while True:
            families = text_string_to_metric_families((await gateway.ask(get("/metrics"))).body.decode())
            found = (each for family in families for each in family.samples if each.name == name)
            if any(labels.items() <= each.labels.items() and each.value > 0 for each in found):
                return


async def listened_to(gateway: ServeProcess) -> None:
    """No request is lost from now on: the process beside has told the gateway its metrics."""
    async with asyncio.timeout(150):
        while b"\nyardstick_shadow_held " not in (await gateway.ask(get("/metrics"))).body:  # noqa: ASYNC110 (as above)
            await asyncio.sleep(0.1)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def shadow_processes(gateway: ServeProcess) -> list[int]:
    """The keeper, and what it keeps."""
    return [pid for keeper in gateway.children() for pid in (keeper, *children_of(keeper))]


def children_of(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except FileNotFoundError:
        return []


@pytest.mark.timeout(300)
async def test_a_live_request_becomes_a_pair_with_verdicts(fakes: StartFake, beside: Beside) -> None:
    need_any()
    short, long = await fakes(script=right_or_wrong), await fakes(script=right_or_wrong, name=LONG)
    config = beside.write({SHORT: [short.url], LONG: [long.url]}, mirror={"enabled": True})
    async with serve_process(config, environment=beside.environment) as gateway:
        await gateway.says("shadow-eval: scoring at level", seconds=200)
        await ask_until_stored(gateway, beside)
        found = await beside.drawn(lambda drawn: any(not each.open and len(each.runs) == 2 for each in drawn))
        gateway.signal(signal.SIGTERM)
        assert await gateway.ended() == 0
    pair = next(each for each in found if not each.open and len(each.runs) == 2)
    assert pair.sample.kind is Kind.LIVE_EXACT
    assert pair.sample.task_id == TASK.task_id
    assert {scored.run.served.model: scored.outcome for scored in pair.runs} == {
        SHORT: Outcome.PASS,
        LONG: Outcome.FAIL,
    }


@pytest.mark.timeout(300)
async def test_verdicts_become_events_and_are_counted(fakes: StartFake, beside: Beside) -> None:
    need_any()
    short = await fakes(script=right_or_wrong)
    config = beside.write({SHORT: [short.url]})
    with receiver(HTTP) as received:
        environment = {**beside.environment, "OTEL_EXPORTER_OTLP_ENDPOINT": received.url}
        async with serve_process(config, environment=environment) as gateway:
            await gateway.says("shadow-eval: scoring at level", seconds=200)
            await ask_until_stored(gateway, beside)
            request = post(CHAT, chat(content=TASK.instruct_prompt), [("x-request-id", "from-the-client")])
            assert (await gateway.ask(request)).header(b"x-request-id") == b"from-the-client"
            await until(lambda: "from-the-client" in answered(received), seconds=150)
            await metric_above_zero(gateway, "yardstick_shadow_events_total", {"outcome": "sent"})
            gateway.signal(signal.SIGTERM)
            assert await gateway.ended() == 0
    (event,) = (each for each in received.events if each.attributes["gen_ai.response.id"] == "from-the-client")
    assert event.attributes["gen_ai.evaluation.score.value"] == 1.0
    assert event.attributes["yardstick.model.name"] == SHORT
    assert event.attributes["yardstick.evidence"] == "live-exact"


def answered(received: Received) -> set[str]:
    """The ids of answers that have verdicts."""
    return {event.attributes["gen_ai.response.id"] for event in received.events}


@pytest.mark.timeout(300)
async def test_rates_of_what_others_scored_are_shown(fakes: StartFake, beside: Beside) -> None:
    with open_store(f"sqlite:///{beside.store}") as store:
        world(store)
    short = await fakes(script=right_or_wrong)
    config = beside.write({SHORT: [short.url]}, scorers=0)
    async with serve_process(config, environment=beside.environment) as gateway:
        labels = {"model": FIRST.model, "suite": "five", "evidence": "canary"}
        await metric_above_zero(gateway, "yardstick_shadow_pass_at_1", labels | {"category": "debugging"})
        for interval in ("this_suite", "tasks_like_these"):
            named = labels | {"category": "all", "length": "all", "interval": interval, "bound": "lower"}
            await metric_above_zero(gateway, "yardstick_shadow_pass_at_1_bound", named)
        gateway.signal(signal.SIGTERM)
        assert await gateway.ended() == 0


@pytest.mark.timeout(300)
async def test_it_is_started_again_and_ends_with_the_gateway(fakes: StartFake, beside: Beside) -> None:
    short = await fakes(script=right_or_wrong)
    config = beside.write({SHORT: [short.url]}, scorers=0)
    async with serve_process(config, environment=beside.environment) as gateway:
        await ask_until_stored(gateway, beside)
        keeper, first = shadow_processes(gateway)
        assert os.getpriority(os.PRIO_PROCESS, first) == min(os.getpriority(os.PRIO_PROCESS, 0) + 5, 19)
        killed = wall()
        os.kill(first, signal.SIGKILL)
        await until(lambda: children_of(keeper) not in ([], [first]))
        stored = len(await beside.drawn(bool))
        await ask_until_stored(gateway, beside, stored)
        gap = await beside.gap(killed)
        assert gap.why == "no shadow process listened to the gateway"
        assert gap.until is not None
        assert killed <= gap.since < gap.until <= wall()
        second = children_of(keeper)[0]
        gateway.signal(signal.SIGKILL)
        await until(lambda: gone(keeper) and gone(second))


@pytest.mark.timeout(300)
async def test_what_is_no_known_task_is_not_mirrored(fakes: StartFake, beside: Beside) -> None:
    short, long = await fakes(script=right_or_wrong), await fakes(script=right_or_wrong, name=LONG)
    config = beside.write({SHORT: [short.url], LONG: [long.url]}, scorers=0, mirror={"enabled": True})
    async with serve_process(config, environment=beside.environment) as gateway:
        await listened_to(gateway)
        await ask(gateway, content=UNKNOWN)
        await metric_above_zero(gateway, "yardstick_shadow_unmatched_total", {"model": SHORT})
        await ask(gateway)
        await until(lambda: long.requests, 30)  # of what came later: so the first would have been mirrored by now
        gateway.signal(signal.SIGTERM)
        assert await gateway.ended() == 0
    asked = {fake.name: [prompt_of(seen) for seen in fake.requests] for fake in (short, long)}
    assert asked == {SHORT: [UNKNOWN, TASK.instruct_prompt], LONG: [TASK.instruct_prompt]}


def prompt_of(seen: Seen) -> str:
    found: str = json.loads(seen.body)["messages"][0]["content"]
    return found


@pytest.mark.timeout(300)
async def test_several_workers_share_one_process_beside(fakes: StartFake, beside: Beside) -> None:
    short = await fakes(script=right_or_wrong)
    config = beside.write({SHORT: [short.url]}, workers=2, scorers=0)
    async with serve_process(config, environment=beside.environment) as gateway:
        await ask_until_stored(gateway, beside)
        gateway.signal(signal.SIGTERM)
        assert await gateway.ended() == 0


@pytest.mark.timeout(300)
async def test_without_a_store_requests_are_answered(fakes: StartFake, beside: Beside) -> None:
    short = await fakes(script=right_or_wrong)
    beside.store.mkdir()  # where the file should be
    config = beside.write({SHORT: [short.url]}, scorers=0)
    async with serve_process(config, environment=beside.environment) as gateway:
        await gateway.says("shadow-eval: .*Trying again", seconds=30)
        await ask(gateway)
        gateway.signal(signal.SIGTERM)
        assert await gateway.ended() == 0


@pytest.mark.timeout(300)
async def test_nothing_of_a_request_is_stored_but_what_is_said_to_be(fakes: StartFake, beside: Beside) -> None:
    async def leaks(seen: Seen) -> None:
        await seen.wire.send(solution(f"    key = '{KEY}'\n    return 'PLANTED-IN-THE-ANSWER'\n"))

    short = await fakes(script=leaks)
    config = beside.write({SHORT: [short.url]}, scorers=0)
    async with serve_process(config, environment=beside.environment) as gateway:
        await ask_until_stored(gateway, beside)
        await ask(gateway, content="PLANTED-IN-A-PROMPT, which is no task")
        gateway.signal(signal.SIGTERM)
        assert await gateway.ended() == 0
    kept = b"".join(each.read_bytes() for each in beside.store.parent.glob("**/*") if each.is_file())
    assert b"PLANTED-IN-THE-ANSWER" in kept  # until it is scored
    assert KEY.encode() not in kept
    assert b"PLANTED-IN-A-PROMPT" not in kept
