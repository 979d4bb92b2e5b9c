"""Secrets in prompts, answers, keys, headers and metadata are in no log line, metric, span or event, and not stored.

Keys are clients' and a model server's. The store holds answers until they are scored, by design, without what looks
like a secret: see `gateway/shadow`. Here it keeps them, so that there is something to look through.
"""

from __future__ import annotations

import asyncio
import json
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.keys import key_line, new_key
from gateway.shadow.store import StoreUnavailable, open_store
from gateway.shadow.suites.load import load
from tests.conftest import StartFake
from tests.fakes.client import chat, get, post, until
from tests.fakes.gateway import SHORT
from tests.fakes.otlp import Received
from tests.fakes.process import ServeProcess, serve_process, write_config
from tests.fakes.server import (
    DONE,
    Seen,
    answer,
    chunk,
    chunked_head,
    content_frame,
    silence,
    stream,
    unary,
    usage_frame,
)
from tests.gateway.shadow.walls import need_any

CHAT = "/v1/chat/completions"
FIVE = load("five")
TASK = FIVE.tasks[sorted(FIVE.tasks)[0]]
COMPLETIONS = "/v1/completions"
SERVER_KEY = "PLANTED-key-of-the-model-server"
LOOKS_SECRET = "sk-proj-" + "Zx9" * 16
IN_ANSWERS = "PLANTED-ANSWER"
KEPT = "PLANTED-AND-STORED"
"""An answer's, which looks like no secret: it shows that the store was looked through."""
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PLANTED_HEADERS = (
    ("traceparent", f"00-{TRACE}-00f067aa0ba902b7-01"),
    ("tracestate", "vendor=PLANTED-tracestate"),
    ("baggage", "user=PLANTED-baggage"),
    ("cookie", "session=PLANTED-cookie"),
    ("x-api-key", "PLANTED-api-key"),
    ("user-agent", "PLANTED-agent"),
    ("x-yardstick-model", "PLANTED-own"),
)
FIELDS_OF_BOTH: dict[str, Any] = {"metadata": {"note": "PLANTED-metadata"}, "user": "PLANTED-user"}
FIELDS: dict[str, Any] = {
    **FIELDS_OF_BOTH,
    "safety_identifier": "PLANTED-identifier",
    "tools": [{"type": "function", "function": {"name": "f", "description": "PLANTED-tool"}}],
}


def text(asked: str) -> str:
    secret = f"    key = '{LOOKS_SECRET}'  # {KEPT}\n"
    return f"{asked}\n```python\n{TASK.complete_prompt}{secret}{TASK.canonical_solution}\n```\n"


async def script(seen: Seen) -> None:
    """Does what the prompt asks for; answers have secrets in them, and so have errors."""
    wire, body = seen.wire, seen.body
    if b"PLEASE-FAIL" in body:
        await wire.send(answer(f'{{"error":{{"message":"{IN_ANSWERS} {LOOKS_SECRET}"}}}}'.encode(), 500))
    elif b"PLEASE-REFUSE" in body:
        await wire.send(answer(f'{{"error":{{"message":"{IN_ANSWERS}","code":"{IN_ANSWERS}"}}}}'.encode(), 400))
    elif b"PLEASE-BREAK" in body:
        await wire.send(chunked_head(), chunk(content_frame(IN_ANSWERS)))
        wire.close()
    elif b"PLEASE-WAIT" in body:
        await wire.send(chunked_head(), chunk(content_frame(IN_ANSWERS)))
        await silence(seen)
    elif json.loads(body).get("stream"):
        await wire.send(*stream([content_frame(text("streamed")), usage_frame(), DONE]))
    else:
        await wire.send(answer(unary(text("whole"))))


@dataclass
class Scene:
    gateway: ServeProcess
    key: str

    def request(self, content: str, path: str = CHAT, **fields: Any) -> bytes:
        body = chat(**{"content": content, **FIELDS, **fields})
        return post(path, body, [("authorization", f"Bearer {self.key}"), *PLANTED_HEADERS])

    def infill(self) -> bytes:
        body = {"model": "auto", "prompt": "PLANTED-prefix", "suffix": f"PLANTED-suffix {LOOKS_SECRET}"}
        headers = [("authorization", f"Bearer {self.key}"), *PLANTED_HEADERS]
        return post(COMPLETIONS, json.dumps(body | FIELDS_OF_BOTH).encode(), headers)

    async def status(self, request: bytes) -> int:
        return (await self.gateway.ask(request)).status

    async def all_kinds(self) -> None:
        plain, streamed = f"{TASK.instruct_prompt}", {"stream": True}
        assert await self.status(self.request(plain)) == 200
        assert await self.status(self.request(plain, **streamed)) == 200
        assert await self.status(self.infill()) == 200
        assert await self.status(self.request(f"{plain} PLANTED-prompt {LOOKS_SECRET}")) == 200
        assert await self.status(self.request("PLANTED-prompt that is no task", **streamed)) == 200
        assert await self.status(self.request("PLEASE-FAIL PLANTED-prompt")) >= 500
        assert await self.status(self.request("PLEASE-REFUSE PLANTED-prompt")) == 400
        assert await self.status(self.request("PLEASE-BREAK PLANTED-prompt", **streamed)) == 200
        assert await self.status(self.request("x", model="PLANTED-model")) == 404
        assert await self.status(self.request("x", path="/v1/PLANTED-path?key=PLANTED-query")) == 404
        broken = post(
            CHAT, b'{"model": "auto", "messages": [{"PLANTED-broken', [("authorization", f"Bearer {self.key}")]
        )
        assert await self.status(broken) == 400
        assert await self.status(post(CHAT, chat(), [("authorization", "Bearer PLANTED-wrong-key")])) == 401
        async with self.gateway.client() as client:
            client.send(self.request("PLEASE-WAIT PLANTED-prompt", **streamed))
            await client.head()
            client.drop()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("protocol", ["http/protobuf"], indirect=True)
async def test_nothing_secret_is_in_logs_metrics_traces_or_the_store(
    tmp_path: Path, fakes: StartFake, received: Received
) -> None:
    need_any()
    key = new_key()
    keys, log, store = tmp_path / "keys", tmp_path / "log", tmp_path / "store" / "shadow.db"
    keys.write_text(key_line("team", key) + "\n")
    keys.chmod(0o600)
    store.parent.mkdir()
    shadow = {"keys": {"team": 1.0}, "most_per_second": 1000, "store": f"sqlite:///{store}", "keep": {"answers": 1}}
    fake = await fakes(script=script, tool_parser=True)
    config = write_config(
        tmp_path / "yardstick.yaml",
        {},
        pools=[{"model": SHORT, "endpoints": [{"url": fake.url, "api_key_env": "MODEL_SERVER_KEY"}]}],
        routing={"short": SHORT, "long": SHORT},
        api_key_file=str(keys),
        shadow=shadow,
        access_log=True,
        traces={"sample": 1.0, "by_clients": 1000},
    )
    environment = {
        "XDG_DATA_HOME": str(tmp_path / "data"),
        "OTEL_EXPORTER_OTLP_HEADERS": "x-token=PLANTED-token",
        "MODEL_SERVER_KEY": SERVER_KEY,
    }
    async with serve_process(config, environment=environment, log=log) as gateway:
        await gateway.says("shadow-eval: scoring at level", seconds=200)
        scene = Scene(gateway, key)
        await tapped(scene)
        await scene.all_kinds()
        await until(lambda: "cancelled" in outcomes(received), seconds=30)
        await asyncio.to_thread(received.wait_for, 1)
        await scored(store, 3)
        metrics = (await gateway.ask(get("/metrics"))).body
        gateway.signal(signal.SIGTERM)
        assert await gateway.ended() == 0
    assert {seen.header(b"authorization") for seen in fake.requests} == {f"Bearer {SERVER_KEY}".encode()}
    assert any(b"PLANTED-suffix" in seen.body for seen in fake.requests)
    kept = [*store.parent.iterdir(), *(tmp_path / "data").rglob("*")]
    stored = b"".join(each.read_bytes() for each in kept if each.is_file())
    lines = log.read_bytes() + "\n".join(gateway.said).encode()
    telemetry = b"".join((*received.traces, *received.bodies))
    assert {"ok", "client_error", "upstream_error", "cancelled"} <= outcomes(received)
    assert received.events
    expect(lines, b'"outcome":"cancelled"', b'"outcome":"upstream_error"', b'"key":"team"')
    expect(metrics, b"yardstick_shadow_sampled_total", b"yardstick_traces_total", b'outcome="client_error"')
    expect(telemetry, bytes.fromhex(TRACE), b"gen_ai.evaluation.result")
    expect(stored, KEPT.encode())
    for name, found in {"log lines": lines, "metrics": metrics, "telemetry": telemetry}.items():
        refuse(name, found, b"PLANTED", LOOKS_SECRET.encode(), key.encode(), TASK.canonical_solution.strip().encode())
    refuse("the store", stored.replace(KEPT.encode(), b""), b"PLANTED", LOOKS_SECRET.encode(), key.encode())
    assert key.encode() not in config.read_bytes()


async def tapped(scene: Scene) -> None:
    """The first requests may come before the process beside listens; those are lost, and counted."""
    async with asyncio.timeout(30):
        while True:
            await scene.status(scene.request("x"))
            text = (await scene.gateway.ask(get("/metrics"))).body.decode()
            if 'yardstick_shadow_dropped_total{reason="no shadow process"}' not in text:
                return
            sampled = text.partition('yardstick_shadow_sampled_total{model="')[2].partition("} ")[2].split("\n")[0]
            lost = text.partition('yardstick_shadow_dropped_total{reason="no shadow process"} ')[2].split("\n")[0]
            if float(sampled or 0) > float(lost or 0):
                return


async def scored(path: Path, count: int) -> None:
    """Waits until so many answers have verdicts, and none waits for one."""

    def look() -> bool:
        try:
            with open_store(f"sqlite:///{path}") as store:
                found = list(store.evidence.samples())
        except StoreUnavailable:  # it is just being made
            return False
        return len(found) >= count and not any(each.open for each in found)

    async with asyncio.timeout(150):
        while not await asyncio.to_thread(look):  # noqa: ASYNC110 (another process does it)
            await asyncio.sleep(0.1)  # a look takes a core, which what is waited for needs


def outcomes(received: Received) -> set[str]:
    return {span.attributes.get("yardstick.outcome", "") for span in received.spans}


def expect(found: bytes, *parts: bytes) -> None:
    """Or what is refused would be looked for in the wrong place."""
    assert [part for part in parts if part not in found] == []


def refuse(name: str, found: bytes, *secrets: bytes) -> None:
    assert [secret for secret in secrets if secret in found] == [], name
