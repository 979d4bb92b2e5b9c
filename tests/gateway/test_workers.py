"""Several processes on one port: one truth in /metrics, whoever answers, whoever dies."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
from collections import Counter
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.parser import text_string_to_metric_families

from gateway.telemetry import names, shared
from gateway.telemetry.log import LineLog, _pieces
from gateway.telemetry.shared import HALF, Family, Slots
from gateway.telemetry.states import ConfigState
from gateway.telemetry.totals import Totals
from tests.conftest import StartFake
from tests.fakes.client import Client, chat, get, post, until
from tests.fakes.gateway import SHORT
from tests.fakes.process import ServeProcess, serve_process, write_config
from tests.fakes.server import LAST, Seen, chunk, chunked_head, content_frame, silence

CHAT = "/v1/chat/completions"
OK = ("yardstick_requests_total", (("model", SHORT), ("outcome", "ok"), ("route", CHAT)))


def snapshot_of(count: int, worker: int = 0, *, seconds: float = 0.2) -> shared.Snapshot:
    totals = Totals()
    for _ in range(count):
        totals.requests[CHAT, SHORT, "ok"] += 1
        totals.models[SHORT].of_length(700).duration.observe(seconds)
    registry = CollectorRegistry()
    registry.register(totals)
    registry.register(ConfigState(lambda: "abc", lambda: 8192))
    return shared.snapshot(registry, worker)


def value(found: shared.Snapshot, name: str, **labels: str) -> float:
    """Of the one sample that has this name and these labels."""
    matching = [
        value
        for family in found.values()
        for (sample, pairs), value in family.samples.items()
        if sample == name and labels.items() <= dict(pairs).items()
    ]
    (only,) = matching
    return only


class TestSnapshots:
    def test_counters_and_histograms_add_up(self) -> None:
        found = shared.merged([snapshot_of(3), snapshot_of(4, 1, seconds=3.0)])
        assert value(found, "yardstick_requests_total") == 7
        assert value(found, "yardstick_request_seconds_count") == 7
        assert value(found, "yardstick_request_seconds_bucket", le="0.25") == 3
        assert value(found, "yardstick_request_seconds_bucket", le="5.0") == 7
        assert value(found, "yardstick_request_seconds_sum") == pytest.approx(12.6)
        assert value(found, "yardstick_config_in_use") == 2

    def test_what_every_worker_sees_for_itself_does_not(self) -> None:
        up = names.ENDPOINT_UP.name
        labels = (("endpoint", "h"), ("model", SHORT))
        workers = [{up: Family(up, "", "gauge", {(up, labels): state})} for state in (1.0, 0.0, 1.0)]
        assert value(shared.merged(workers), up) == 1

    def test_a_process_has_its_own(self) -> None:
        registry = CollectorRegistry()
        registry.register(Totals())
        from prometheus_client import PROCESS_COLLECTOR

        registry.register(PROCESS_COLLECTOR)
        found = shared.merged([shared.snapshot(registry, worker) for worker in (0, 1)])
        assert {dict(labels)["worker"] for _, labels in found["process_open_fds"].samples} == {"0", "1"}
        assert "process_open_fds" not in shared.lasting(found)

    def test_what_lasts_is_continued(self) -> None:
        left = shared.lasting(snapshot_of(5))
        assert names.CONFIG_IN_USE.name not in left
        found = shared.continued(left, snapshot_of(2))
        assert (value(found, "yardstick_requests_total"), value(found, "yardstick_config_in_use")) == (7, 1)

    def test_the_text_is_prometheus_s(self) -> None:
        text = shared.exposition(snapshot_of(2)).decode()
        families = {family.name: family for family in text_string_to_metric_families(text)}
        assert families["yardstick_request_seconds"].type == "histogram"
        assert families["yardstick_requests"].type == "counter"
        assert OK in [(s.name, tuple(sorted(s.labels.items()))) for s in families["yardstick_requests"].samples]


class TestSlots:
    def test_the_newest_is_read(self) -> None:
        slots = Slots(2)
        assert slots.read(0) == {}
        for count in (1, 2, 3):
            slots.write(0, snapshot_of(count))
            assert value(slots.read(0), "yardstick_requests_total") == count
        assert slots.read(1) == {}

    def test_a_writer_killed_midway_spoils_nothing(self) -> None:
        slots = Slots(1)
        slots.write(0, snapshot_of(1))
        slots.write(0, snapshot_of(2))
        other_half = shared._SPACE + HALF  # the number is 2, so that the next one is written here
        slots._memory[other_half : other_half + 64] = b"\xff" * 64
        assert value(slots.read(0), "yardstick_requests_total") == 2

    @pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")  # the child touches nothing but the memory
    def test_readers_in_another_process_see_whole_snapshots(self) -> None:
        slots = Slots(1)
        slots.write(0, snapshot_of(1))
        pid = os.fork()
        if not pid:
            snapshots = [snapshot_of(count) for count in range(1, 300)]
            for found in snapshots:
                for _ in range(20):
                    slots.write(0, found)
            os._exit(0)
        seen = 0.0
        while not os.waitpid(pid, os.WNOHANG)[0]:
            found = slots.read(0)
            assert value(found, "yardstick_requests_total") == value(found, "yardstick_request_seconds_count") >= seen
            seen = value(found, "yardstick_requests_total")
        assert value(slots.read(0), "yardstick_requests_total") == 299

    def test_too_large_is_an_error(self) -> None:
        family = Family("x", "x" * HALF, "gauge", {})
        with pytest.raises(ValueError, match="more than"):
            Slots(1).write(0, {"x": family})

    def test_settled(self) -> None:
        slots = Slots(1)
        slots.write(0, snapshot_of(3))
        slots.settle(0)
        assert slots.read(0) == shared.lasting(snapshot_of(3))


def test_lines_for_a_shared_pipe_are_whole() -> None:
    lines = [b"x" * size + b"\n" for size in (10, 10, 30, 5, 5, 5)]
    assert list(_pieces(b"".join(lines), 25)) == [lines[0] + lines[1], lines[2], lines[3] + lines[4] + lines[5]]
    reader, writer = os.pipe()
    log = LineLog(writer, at_once=25)
    for line in lines:
        log.append(line)
    log.close()
    assert os.read(reader, 1000) == b"".join(lines)
    os.close(reader)
    os.close(writer)


# -- in processes -----------------------------------------------------------------------------------------------------


async def counted(client: Client) -> float:
    """How many requests were answered well, as one worker says."""
    text = (await client.ask(get("/metrics"))).body.decode()
    found = re.search(r'^yardstick_requests_total\{.*outcome="ok".*\} (\S+)$', text, re.MULTILINE)
    return float(found[1]) if found else 0.0


async def worker_of(client: Client) -> bytes:
    """Which process has the connection: each of them has its own beginning of request ids."""
    found = (await client.ask(get("/health/live"))).header(b"x-request-id")
    assert found is not None
    return found.partition(b"-")[0]


async def one_client_each(stack: AsyncExitStack, process: ServeProcess, workers: int) -> dict[bytes, Client]:
    """A connection to each of the workers."""
    found: dict[bytes, Client] = {}
    while len(found) < workers:
        client = await stack.enter_async_context(process.client())
        found.setdefault(await worker_of(client), client)
    return found


async def all_workers_there(process: ServeProcess, workers: int) -> None:
    async with AsyncExitStack() as stack, asyncio.timeout(20):
        await one_client_each(stack, process, workers)


async def test_metrics_are_the_same_whoever_is_asked(tmp_path: Path, fakes: StartFake) -> None:
    fake = await fakes()
    config = write_config(tmp_path / "y.yaml", {SHORT: [fake.url]}, workers=3)
    async with serve_process(config) as process, AsyncExitStack() as stack, asyncio.timeout(60):
        clients = await one_client_each(stack, process, 3)
        by_worker: Counter[bytes] = Counter()
        for number, (worker, client) in enumerate(clients.items(), 1):
            for _ in range(10 * number):
                assert (await client.ask(post(CHAT, chat()))).status == 200
                by_worker[worker] += 1
        assert sorted(by_worker.values()) == [10, 20, 30]
        for client in clients.values():
            while (seen := await counted(client)) < 60:  # the others' may be a second old
                pass
            assert seen == 60 == len(fake.requests)
            text = (await client.ask(get("/metrics"))).body.decode()
            assert re.search(r'^yardstick_config_in_use\{hash="[0-9a-f]{12}"\} 3\.0$', text, re.MULTILINE)
            assert f'yardstick_endpoint_up{{endpoint="{fake.address}",model="{SHORT}"}} 1.0' in text
            assert f'yardstick_in_flight{{endpoint="{fake.address}",model="{SHORT}"}} 0.0' in text
            assert len(re.findall(r"^process_resident_memory_bytes\{", text, re.MULTILINE)) == 3
            assert text.count("# HELP yardstick_requests_total") == 1
        assert len([line for line in process.said if "serves" in line]) == 1  # what all of them say is said once


async def test_a_killed_worker_is_replaced_and_nothing_is_uncounted(tmp_path: Path, fakes: StartFake) -> None:
    fake = await fakes()
    config = write_config(tmp_path / "y.yaml", {SHORT: [fake.url]}, workers=3)
    async with serve_process(config) as process, AsyncExitStack() as stack, asyncio.timeout(60):
        clients = await one_client_each(stack, process, 3)
        for client in clients.values():
            for _ in range(10):
                assert (await client.ask(post(CHAT, chat()))).status == 200
        shown = max([await counted(client) for client in clients.values()])
        while shown < 30:
            shown = await counted(next(iter(clients.values())))
        victim = process.children()[0]
        os.kill(victim, signal.SIGKILL)
        await process.says(rf"worker 0 \(pid {victim}\) was ended by SIGKILL; another takes its place")
        alive = []
        for client in clients.values():
            client.send(post(CHAT, chat()))
            found = await client.read()
            alive += [client] if found is not None and found.status == 200 else []
        assert len(alive) == 2  # the others serve
        last = 30.0
        while last < 32:
            now = await counted(alive[0])
            assert now >= last
            last = now
        await until(lambda: len(process.children()) == 3)
        assert victim not in process.children()
        fresh = await one_client_each(stack, process, 3)
        for client in fresh.values():
            assert (await client.ask(post(CHAT, chat()))).status == 200
            assert await counted(client) >= 32
        while await counted(alive[0]) < 35:
            pass
        assert [await counted(client) for client in alive] == [35, 35]
        process.signal(signal.SIGINT)
        assert await process.ended() == 0


async def test_a_stuck_worker_does_not_hold_up_a_scrape(tmp_path: Path, fakes: StartFake) -> None:
    fake = await fakes()
    config = write_config(tmp_path / "y.yaml", {SHORT: [fake.url]}, workers=2)
    async with serve_process(config) as process, AsyncExitStack() as stack, asyncio.timeout(60):
        clients = list((await one_client_each(stack, process, 2)).values())
        for client in clients:
            assert (await client.ask(post(CHAT, chat()))).status == 200
        for client in clients:
            while await counted(client) < 2:
                pass
        stuck, *_ = process.children()
        os.kill(stuck, signal.SIGSTOP)
        for client in clients:
            client.send(get("/metrics"))
        answers = [asyncio.ensure_future(client.answer()) for client in clients]
        done, waiting = await asyncio.wait(answers, return_when=asyncio.FIRST_COMPLETED)
        assert b'outcome="ok",route="/v1/chat/completions"} 2.0' in done.pop().result().body
        os.kill(stuck, signal.SIGCONT)
        await asyncio.gather(*waiting)


async def test_all_workers_reload_together_or_not_at_all(tmp_path: Path, fakes: StartFake) -> None:
    old, new = await fakes(), await fakes()
    path = write_config(tmp_path / "y.yaml", {SHORT: [old.url]}, workers=2)
    async with serve_process(path) as process, AsyncExitStack() as stack, asyncio.timeout(60):
        clients = (await one_client_each(stack, process, 2)).values()
        write_config(path, {SHORT: [new.url]}, workers=3)
        process.signal(signal.SIGHUP)
        await process.says("workers is 2 and can't become 3 while running.*not reloaded")
        write_config(path, {SHORT: [new.url]}, workers=2)
        process.signal(signal.SIGHUP)
        await process.says("reloaded$")
        for client in clients:
            found = await client.ask(post(CHAT, chat()))
            assert found.header(b"x-yardstick-endpoint") == new.address.encode()
            text = (await client.ask(get("/metrics"))).body.decode()
            assert 'yardstick_config_reloads_total{outcome="applied"} 1.0' in text
            assert 'yardstick_config_reloads_total{outcome="refused"} 1.0' in text
        assert len([line for line in process.said if "reloaded" in line]) == 2
        assert process.threads() == 1  # without threads, it may fork
        # a worker that comes later begins with what is current
        os.kill(process.children()[0], signal.SIGKILL)
        await process.says("another takes its place")
        fresh = await one_client_each(stack, process, 2)
        for client in fresh.values():
            found = await client.ask(post(CHAT, chat()))
            assert found.header(b"x-yardstick-endpoint") == new.address.encode()


async def test_they_drain_together(tmp_path: Path, fakes: StartFake) -> None:
    go = asyncio.Event()

    async def script(seen: Seen) -> None:
        await seen.wire.send(chunked_head(), chunk(content_frame("one")))
        await go.wait()
        await seen.wire.send(chunk(content_frame("two")), chunk(b"data: [DONE]\n\n"), LAST)

    fake = await fakes(script)
    config = write_config(tmp_path / "y.yaml", {SHORT: [fake.url]}, workers=2, drain={"delay": 0})
    async with serve_process(config) as process, AsyncExitStack() as stack, asyncio.timeout(60):
        clients = await one_client_each(stack, process, 2)
        for client in clients.values():
            client.send(post(CHAT, chat(stream=True)))
            await client.head()
            await client.frame()
        # as service managers and terminals do: to all processes of the group, and more than once to a worker
        os.killpg(process.pid, signal.SIGTERM)
        await process.says("shutting down")
        for pid in process.children():
            os.kill(pid, signal.SIGTERM)
        await process.refuses()
        go.set()
        for client in clients.values():
            rest = await client.reader.read()
            assert content_frame("two") in rest
            assert rest.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
        assert await process.ended() == 0


async def test_a_second_signal_ends_them_at_once(tmp_path: Path, fakes: StartFake) -> None:
    fake = await fakes(silence)
    config = write_config(tmp_path / "y.yaml", {SHORT: [fake.url]}, workers=2)
    async with serve_process(config) as process, process.client() as client:
        client.send(post(CHAT, chat()))
        await fake.arrived.wait()
        process.signal(signal.SIGTERM)
        await process.says("shutting down")
        process.signal(signal.SIGTERM)
        assert await process.ended() == 1
        assert await client.closed()


async def test_workers_end_with_their_supervisor(tmp_path: Path, fakes: StartFake) -> None:
    fake = await fakes()
    config = write_config(tmp_path / "y.yaml", {SHORT: [fake.url]}, workers=2)
    async with serve_process(config) as process:
        await all_workers_there(process, 2)
        workers = process.children()
        process.signal(signal.SIGKILL)
        assert await process.ended() == -signal.SIGKILL
        await until(lambda: not any(_runs(pid) for pid in workers))
        with socket.create_server(("127.0.0.1", process.port)):  # and the port is free again
            pass


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
