"""Another configuration while running: all of it or nothing, and no request notices."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from gateway.config_file import Flags, load
from gateway.generation import Material
from gateway.keys import key_line
from gateway.process import follow
from gateway.reload import Refused, Source, Watch
from tests.conftest import StartFake
from tests.fakes.client import chat, get, post, until
from tests.fakes.gateway import LONG, SHORT, RunningGateway, running
from tests.fakes.process import serve_process, write_config
from tests.fakes.server import Script, Seen, answer, chunk, chunked_head, content_frame, says, unary

CHAT = "/v1/chat/completions"


def echo(name: str) -> Script:
    """Answers with the name and the prompt."""

    async def script(seen: Seen) -> None:
        prompt = json.loads(seen.body)["messages"][0]["content"]
        await seen.wire.send(answer(unary(f"{name}: {prompt}")))

    return script


@contextlib.asynccontextmanager
async def following(source: Source) -> AsyncIterator[tuple[RunningGateway, Callable[[], None]]]:
    """A gateway that reloads when it is told to: the second value is what SIGHUP calls."""
    hangup = asyncio.Event()
    async with running(load(source.path, source.flags).config) as gateway:
        task = asyncio.ensure_future(follow(source, gateway.gateway, hangup, gateway.said.append))
        try:
            yield gateway, hangup.set
        finally:
            task.cancel()


def content(found: Any) -> str:
    return str(found.json["choices"][0]["message"]["content"])


class TestWatch:
    def test_a_change_is_told_once_and_when_it_is_over(self) -> None:
        now: dict[str, object] = {"a": 1, "b": 1}
        watch = Watch([Path("a"), Path("b")], lambda path: now[str(path)])
        assert not watch.look()
        now["b"] = 2
        assert not watch.look()  # it may still be being written
        now["b"] = 3
        assert not watch.look()
        assert watch.look()
        assert not watch.look()

    def test_a_file_that_goes_and_comes_back_as_it_was_is_no_news(self) -> None:
        now: list[object] = [1]
        watch = Watch([Path("a")], lambda path: now[0])
        now[0] = None
        assert not watch.look()
        now[0] = 1
        assert not watch.look()
        assert not watch.look()

    def test_the_files_that_kubernetes_swaps_by_a_link(self, tmp_path: Path) -> None:
        for version in ("1", "2"):
            (tmp_path / version).mkdir()
            (tmp_path / version / "yardstick.yaml").write_text(version)
        (tmp_path / "..data").symlink_to("1")
        (tmp_path / "yardstick.yaml").symlink_to("..data/yardstick.yaml")
        watch = Watch([tmp_path / "yardstick.yaml"])
        assert not watch.look()
        (tmp_path / "..data_tmp").symlink_to("2")
        (tmp_path / "..data_tmp").replace(tmp_path / "..data")
        assert [watch.look(), watch.look(), watch.look()] == [False, True, False]


class TestSource:
    def material(self, source: Source) -> Material:
        return Material.read(load(source.path, source.flags).config)

    def test_flags_still_override_the_file(self, tmp_path: Path) -> None:
        source = Source(write_config(tmp_path / "y.yaml", {SHORT: ["http://h"]}), Flags(port=1, threshold=5))
        before = self.material(source)
        write_config(tmp_path / "y.yaml", {SHORT: ["http://other"]}, port=2, routing={"threshold": 9})
        config = source.read_again(before).config
        assert (config.port, config.routing.threshold) == (1, 5)
        assert config.pools[0].endpoints[0].url == "http://other"

    @pytest.mark.parametrize(("setting", "value"), [("port", 1), ("host", "::1"), ("workers", 2), ("access_log", True)])
    def test_what_cannot_change_refuses_the_whole_file(self, tmp_path: Path, setting: str, value: Any) -> None:
        source = Source(write_config(tmp_path / "y.yaml", {SHORT: ["http://h"]}), Flags())
        before = self.material(source)
        write_config(tmp_path / "y.yaml", {SHORT: ["http://h"]}, **{setting: value})
        with pytest.raises(Refused, match=rf"y\.yaml: {setting} is .* while running"):
            source.read_again(before)

    def test_a_change_of_shadow_eval_is_refused_without_quoting_its_store(self, tmp_path: Path) -> None:
        def write(store: str) -> Source:
            return Source(write_config(tmp_path / "y.yaml", {SHORT: ["http://h"]}, shadow={"store": store}), Flags())

        before = self.material(write("postgresql://u:a-secret@h/one"))
        with pytest.raises(Refused, match=r"y\.yaml: shadow can't change while running") as refused:
            write("postgresql://u:another-secret@h/two").read_again(before)
        assert "secret" not in str(refused.value)

    def test_a_file_that_is_gone(self, tmp_path: Path) -> None:
        source = Source(write_config(tmp_path / "y.yaml", {SHORT: ["http://h"]}), Flags())
        before = self.material(source)
        (tmp_path / "y.yaml").unlink()
        with pytest.raises(Refused, match=r"y\.yaml"):
            source.read_again(before)

    def test_a_tokenizer_is_read_again_only_if_it_changed(self, tmp_path: Path) -> None:
        def save(*words: str) -> None:
            tokenizer = Tokenizer(WordLevel({word: place for place, word in enumerate(words)}, unk_token=words[0]))
            tokenizer.save(str(tmp_path / "t.json"))

        save("<unk>", "a")
        pools = [{"model": SHORT, "endpoints": [{"url": "http://h"}], "tokenizer": "t.json"}]
        source = Source(write_config(tmp_path / "y.yaml", {}, pools=pools), Flags())
        first = self.material(source)
        second = source.read_again(first)
        assert second.counter(SHORT) is first.counter(SHORT) is not None
        save("<unk>", "a", "bc")
        assert source.read_again(second).counter(SHORT) is not first.counter(SHORT)
        (tmp_path / "t.json").write_text("{}")
        with pytest.raises(Refused, match=r"t\.json"):
            source.read_again(second)


async def test_an_endpoint_moves_and_an_answer_under_way_stays(tmp_path: Path, fakes: StartFake) -> None:
    go = asyncio.Event()

    async def slow(seen: Seen) -> None:
        await seen.wire.send(chunked_head(), chunk(content_frame("one")))
        await go.wait()
        await seen.wire.send(chunk(content_frame("two")), chunk(b"data: [DONE]\n\n"), b"0\r\n\r\n")

    old, new = await fakes(slow), await fakes(echo("new"))
    source = Source(write_config(tmp_path / "y.yaml", {SHORT: [old.url]}), Flags())
    async with following(source) as (gateway, hang_up):
        before = gateway.gateway.generation
        async with gateway.client() as client:
            client.send(post(CHAT, chat(stream=True)))
            await client.head()
            await client.frame()
            write_config(tmp_path / "y.yaml", {SHORT: [new.url]})
            hang_up()
            await until(lambda: gateway.gateway.generation is not before)
            assert content(await gateway.ask(post(CHAT, chat(content="x")))) == "new: x"
            metrics = (await gateway.ask(get("/metrics"))).body.decode()
            assert f'yardstick_in_flight{{endpoint="{old.address}",model="{SHORT}"}} 1.0' in metrics
            assert f'yardstick_in_flight{{endpoint="{new.address}",model="{SHORT}"}} 0.0' in metrics
            go.set()
            assert await client.frame() == content_frame("two")
            assert await client.frame() == b"data: [DONE]\n\n"
        assert len(old.requests) == 1
        await until(lambda: old.wires[-1].closed.is_set())  # it is not kept for anybody
        await until(lambda: f'"{old.address}"' not in str(gateway.gateway._retired))


async def test_what_did_not_change_is_handed_over(tmp_path: Path, fakes: StartFake) -> None:
    kept, moved, other = await fakes(), await fakes(name=LONG), await fakes(name=LONG)
    source = Source(write_config(tmp_path / "y.yaml", {SHORT: [kept.url], LONG: [moved.url]}), Flags())
    async with following(source) as (gateway, hang_up):
        assert (await gateway.ask(post(CHAT, chat(SHORT)))).status == 200
        before = gateway.gateway.generation
        write_config(tmp_path / "y.yaml", {SHORT: [kept.url], LONG: [other.url]}, routing={"threshold": 1})
        hang_up()
        await until(lambda: gateway.gateway.generation is not before)
        after = gateway.gateway.generation
        assert after.pools[SHORT].endpoints[0] is before.pools[SHORT].endpoints[0]
        assert after.pools[SHORT].tokens is before.pools[SHORT].tokens
        assert after.pools[LONG].endpoints[0] is not before.pools[LONG].endpoints[0]
        assert (await gateway.ask(post(CHAT, chat(SHORT)))).status == 200
        assert not kept.requests[0].wire.closed.is_set()  # the connection was kept
        routed = (await gateway.ask(post("/v1/route", chat()))).json
        assert (routed["threshold"], routed["model"]) == (1, LONG)
        said = [line for line in gateway.said if kept.address in line]
        assert len(said) == 1  # what was known is not said again


async def test_a_revoked_key_is_refused_and_a_bad_key_file_changes_nothing(tmp_path: Path, fakes: StartFake) -> None:
    fake = await fakes()
    keys = tmp_path / "keys"
    alice, bob = "alice-has-this-key", "bob-has-another-key"
    keys.write_text(key_line("alice", alice) + "\n" + key_line("bob", bob) + "\n")
    source = Source(write_config(tmp_path / "y.yaml", {SHORT: [fake.url]}, api_key_file="keys"), Flags())

    def ask(key: str) -> bytes:
        return post(CHAT, chat(), [("authorization", f"Bearer {key}")])

    async with following(source) as (gateway, hang_up), gateway.client() as kept:
        assert (await kept.ask(ask(bob))).status == 200
        keys.write_text("bob in plain text\n")
        hang_up()
        await until(lambda: any("not reloaded" in line and "keys:1" in line for line in gateway.said))
        assert (await kept.ask(ask(bob))).status == 200
        keys.write_text(key_line("alice", alice) + "\n")
        hang_up()
        await until(lambda: any(line.endswith("y.yaml: reloaded") for line in gateway.said))
        assert (await kept.ask(ask(bob))).status == 401  # on the connection that it had
        assert (await gateway.ask(ask(alice))).status == 200
        metrics = (await gateway.ask(get("/metrics"))).body.decode()
        for outcome in ("applied", "refused"):
            assert f'yardstick_config_reloads_total{{outcome="{outcome}"}} 1.0' in metrics


@pytest.mark.parametrize("workers", [1, 2])
async def test_twenty_reloads_under_load(tmp_path: Path, fakes: StartFake, workers: int) -> None:
    """Each request gets one answer, its own, and reaches a model server once."""
    servers = [await fakes(echo(name)) for name in ("one", "two")]
    path = write_config(tmp_path / "y.yaml", {SHORT: [servers[0].url]}, workers=workers)
    answered = 0
    over = asyncio.Event()

    async def load_it(name: str) -> None:
        nonlocal answered
        number = 0
        while not over.is_set():
            async with process.client() as client:
                for _ in range(10):
                    number += 1
                    found = await client.ask(post(CHAT, chat(content=f"{name}-{number}")))
                    assert (found.status, found.whole) == (200, True)
                    assert content(found).partition(": ")[2] == f"{name}-{number}"
                    answered += 1

    async with serve_process(path) as process:
        async with asyncio.TaskGroup() as group:
            for name in "abcd":
                group.create_task(load_it(name))
            for turn in range(1, 21):
                write_config(path, {SHORT: [servers[turn % 2].url]}, workers=workers, routing={"threshold": turn})
                process.signal(signal.SIGHUP)
                await process.says("y.yaml: reloaded", times=turn)
            over.set()
        counted = f'model="{SHORT}",outcome="ok",route="{CHAT}"}} {answered}.0'
        async with asyncio.timeout(10):
            while counted not in (await process.ask(get("/metrics"))).body.decode():
                pass  # another worker's last tick may be a moment ago
    assert answered > 40
    assert sum(len(server.requests) for server in servers) == answered
    assert min(len(server.requests) for server in servers) > 0


async def test_a_bad_file_is_refused_and_a_good_one_taken_by_itself(tmp_path: Path, fakes: StartFake) -> None:
    old, new = await fakes(says(answer(unary("old")))), await fakes(says(answer(unary("new"))))
    path = write_config(tmp_path / "y.yaml", {SHORT: [old.url]})
    async with serve_process(path) as process:
        good = path.read_text()
        path.write_text(good + "prot: 1\n")
        line = await process.says("not reloaded")
        number = good.count("\n") + 1
        assert f"y.yaml:{number}:1: prot: unknown key (did you mean 'port'?)" in line
        assert content(await process.ask(post(CHAT, chat()))) == "old"
        write_config(path, {SHORT: [new.url]})  # nobody says so: it looks at the file now and then
        await process.says("y.yaml: reloaded")
        assert content(await process.ask(post(CHAT, chat()))) == "new"
        assert len([line for line in process.said if "reloaded" in line]) == 2
