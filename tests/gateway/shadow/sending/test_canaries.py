from __future__ import annotations

import asyncio

from gateway.shadow.store import Counter, State, Store
from tests.conftest import StartFake
from tests.fakes.server import answer, says, silence, unary
from tests.gateway.shadow.sending.worlds import SAYS, Sent, bodies, by_model, error, too_long
from tests.gateway.shadow.store.evidence import Time


async def send(sent: Sent, time: Time, count: int, **settings: object) -> None:
    """So many canaries, one after another; all were answered."""
    async with sent.canaries(**settings) as steps:
        for number in range(1, count + 1):
            time.now += 60
            before = len(sent.gateway.requests)
            await steps.step()
            while len(sent.gateway.requests) < before + 2:
                await sent.gateway.arrived.wait()
                sent.gateway.arrived.clear()
            await answered(sent, number)


async def answered(sent: Sent, count: int) -> None:
    while True:
        runs = [scored.run for drawn in await asyncio.to_thread(sent.drawn) for scored in drawn.runs]
        if len(runs) >= 2 * count and not any(run.state is State.ASKED for run in runs):
            return


async def test_pairs_and_controls_arrive(fakes: StartFake, store: Store, time: Time) -> None:
    sent = Sent(store, time, await fakes(says(SAYS)))
    await send(sent, time, 2)
    drawn = sent.drawn()
    assert [each.sample.request_id[-1] for each in drawn] == ["0", "1"]
    for each in drawn:
        assert [scored.run.state for scored in each.runs] == [State.WAITING] * 2
        assert {scored.run.answer for scored in each.runs} == {"def f():\n    return 1\n"}
    first, second, *_ = bodies(sent.gateway)
    assert first["messages"] == second["messages"]
    assert first["cache_salt"] == second["cache_salt"] != bodies(sent.gateway)[2]["cache_salt"]
    controls = [each for each in store.evidence.samples() if each.sample.control is not None]
    assert sorted((each.sample.control, each.sample.form) for each in controls) == [
        *((False, "complete"), (False, "instruct"), (True, "complete"), (True, "instruct"))
    ]
    assert {(total.model, total.value) for total in store.evidence.totals() if total.counter is Counter.TOKENS} == {
        ("codegeex4-all-9b", 20),
        ("iquest-coder-v1-40b-loop-instruct", 20),
    }


async def test_numbers_and_budget_outlive_a_restart(fakes: StartFake, store: Store, time: Time) -> None:
    sent = Sent(store, time, await fakes(says(SAYS)))
    await send(sent, time, 1)
    sent.source = "two"
    async with sent.canaries() as steps:
        time.now += 60
        await steps.step()
        await answered(sent, 2)
    assert [each.sample.request_id[-1] for each in sent.drawn()] == ["0", "1"]
    sent.source = "three"
    first = {"family": "codegeex", "model": "codegeex4-all-9b", "daily_tokens": 20}
    async with sent.canaries(first=first) as steps:
        time.now += 60
        await steps.step()
        await steps.waited()
    assert len(sent.gateway.requests) == 4
    assert "canary budget" in {total.reason for total in store.evidence.totals()}


async def test_they_come_after_people_where_servers_know_priorities(fakes: StartFake, store: Store, time: Time) -> None:
    sent = Sent(store, time, await fakes(says(SAYS)), priority=7)
    await send(sent, time, 1)
    assert [body["priority"] for body in bodies(sent.gateway)] == [7, 7]


async def test_shed_and_beyond_a_window(fakes: StartFake, store: Store, time: Time) -> None:
    sent = Sent(store, time, await fakes(by_model(c=answer(error, 503), i=answer(too_long, 400))))
    await send(sent, time, 1)
    states = {scored.run.state for each in sent.drawn() for scored in each.runs}
    assert states == {State.SHED, State.BEYOND_WINDOW}


async def test_nothing_is_sent_when_off_or_not_due(fakes: StartFake, store: Store, time: Time) -> None:
    sent = Sent(store, time, await fakes(says(SAYS)))
    async with sent.canaries() as steps:
        await steps.step()
        await steps.waited()
    async with sent.canaries(enabled=False):
        pass
    assert not sent.gateway.requests
    assert not list(store.evidence.samples())


async def test_cancelled_under_way(fakes: StartFake, store: Store, time: Time) -> None:
    sent = Sent(store, time, await fakes(silence))
    before = asyncio.all_tasks()
    async with sent.canaries() as steps:
        time.now += 60
        await steps.step()
        await sent.gateway.arrived.wait()
    assert {scored.run.state for each in sent.drawn() for scored in each.runs} == {State.CANCELLED}
    await sent.gateway.stop()
    assert asyncio.all_tasks() == before


async def test_secrets_in_answers_are_cut(fakes: StartFake, store: Store, time: Time) -> None:
    key = "ghp_" + "a1" * 18
    sent = Sent(store, time, await fakes(says(answer(unary(f"x = {key}")))))
    await send(sent, time, 1)
    runs = [scored.run for each in sent.drawn() for scored in each.runs]
    assert [(run.answer, run.redacted) for run in runs] == [("x = [redacted]", True)] * 2


async def test_inflated(fakes: StartFake, store: Store, time: Time) -> None:
    sent = Sent(store, time, await fakes(says(SAYS)))
    lengths = [{"up_to": 4_096, "weight": 1.0}]
    await send(sent, time, 1, lengths=lengths, inflation={"enabled": True, "targets": [4_000]})
    (drawn,) = sent.drawn()
    assert drawn.sample.target_tokens == 4_000
    assert 3_900 <= drawn.sample.prompt_tokens <= 4_000
