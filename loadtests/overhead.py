"""What the gateway itself costs: CPU of its process tree per request, per chunk and per 400 KB body.

Starts two fake model servers and `yardstick serve` on free ports of 127.0.0.1, with an API key, `auto` decided and
metrics and log lines on. Answers are compared byte by byte with a direct call's. Figures of one run on one
machine compare with each other, not with another machine's; CPU time bears a busy machine better than latency does.
"""

from __future__ import annotations

import argparse
import asyncio
import functools
import hashlib
import http.client
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from typing import cast

import uvloop
from rich.console import Console
from rich.progress import track
from rich.table import Table

HERE = pathlib.Path(__file__).parent
KEY = "sk-ys-overhead-benchmark"
TICKS = os.sysconf("SC_CLK_TCK")
_UNLIMITED = 1 << 40
QUESTION = "Write a function that parses an ISO 8601 date string. Explain the corner cases."


@dataclass(frozen=True)
class Scenario:
    """``chunks`` 0: a plain answer. ``pause``: milliseconds between chunks. ``size``: bytes of source in the prompt."""

    name: str
    requests: int
    concurrency: int
    chunks: int = 0
    pause: int = 0
    size: int = 0

    def body(self) -> bytes:
        source = ""
        if self.size:
            files = sorted(pathlib.Path(json.__file__).parent.parent.glob("*.py"))
            source = "".join(path.read_text(errors="replace") for path in files)[: self.size]
        body = {"model": "auto", "max_tokens": self.chunks or 16, "seed": self.pause, "stream": bool(self.chunks)}
        if self.chunks:
            body["stream_options"] = {"include_usage": True}
        messages = [{"role": "user", "content": f"{QUESTION}\n{source}"}]
        return json.dumps({**body, "messages": messages}, separators=(",", ":")).encode()


SCENARIOS = (
    Scenario("unary, 16 at once", 12_000, 16),
    Scenario("unpaced stream of 128 chunks, 16 at once", 600, 16, chunks=128),
    Scenario("paced stream of 128 chunks, 300 at once", 600, 300, chunks=128, pause=10),
    Scenario("400 KB body, 4 at once", 800, 4, size=385_000),
)


@dataclass
class Result:
    scenario: str
    requests: int
    exact: int
    cpu_us_per_request: float
    cpu_us_per_chunk: float | None
    peak_mb: float


class Client(asyncio.Protocol):
    """One connection that sends its request again and again; answers are read to their end and hashed."""

    def __init__(self, request: bytes, budget: list[int], expected: bytes | None, over: asyncio.Future[None]) -> None:
        self.request, self.budget, self.expected, self.over = request, budget, expected, over
        self.buffer = bytearray()
        self.exact = self.done = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._next()

    def _next(self) -> None:
        if self.budget[0] <= 0:
            self.transport.close()
            return
        self.budget[0] -= 1
        self.buffer.clear()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head = self.buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        chunked = b"transfer-encoding: chunked" in self.buffer[:head]
        if chunked and not self.buffer.endswith(b"0\r\n\r\n"):
            return
        if not chunked:
            at = self.buffer.index(b"content-length: ") + 16
            if len(self.buffer) < head + 4 + int(self.buffer[at : self.buffer.index(b"\r", at)]):
                return
        self.done += 1
        self.exact += digest(bytes(self.buffer)) == self.expected
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self.over.set_result(None)


def digest(answer: bytes) -> bytes:
    """Of the body, whatever pieces it was sent in; the head has a request id."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if b"transfer-encoding: chunked" in head:
        pieces = []
        while body:
            size, _, rest = body.partition(b"\r\n")
            pieces.append(rest[: int(size, 16)])
            body = rest[int(size, 16) + 2 :]
        body = b"".join(pieces)
    return hashlib.blake2b(body, digest_size=16).digest()


def request(port: int, body: bytes) -> bytes:
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
    return f"{head}authorization: Bearer {KEY}\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


async def load(port: int, scenario: Scenario, expected: bytes | None, seconds: float = 0.0) -> list[Client]:
    """As many requests as the scenario has, or for so many seconds."""
    budget = [scenario.requests]
    loop = asyncio.get_running_loop()
    if seconds:
        budget[0] = _UNLIMITED
        loop.call_later(seconds, budget.__setitem__, 0, 0)
    clients = []
    for _ in range(min(scenario.concurrency, scenario.requests)):
        client = Client(request(port, scenario.body()), budget, expected, loop.create_future())
        await loop.create_connection(functools.partial(_same, client), "127.0.0.1", port)
        clients.append(client)
    async with asyncio.timeout(seconds + 120):
        for client in clients:
            await client.over
    return clients


def _same(client: Client) -> Client:
    return client


async def sample(port: int, scenario: Scenario) -> bytes:
    """The digest of one direct answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", "/v1/chat/completions", scenario.body(), {"content-type": "application/json"})
    return hashlib.blake2b(connection.getresponse().read(), digest_size=16).digest()


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its children, in seconds."""
    total = 0.0
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(entry.name) == pid or int(fields[1]) == pid:
            total += (int(fields[11]) + int(fields[12])) / TICKS
    return total


def resident_mb(pid: int) -> float:
    lines = pathlib.Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_ready(port: int, process: subprocess.Popen[bytes], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
            connection.request("GET", "/health/ready")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise SystemExit("the gateway did not become ready")


def measure(gateway: int, pid: int, upstream: int, scenario: Scenario) -> Result:
    expected = uvloop.run(sample(upstream, scenario))
    warm = Scenario(**{**asdict(scenario), "requests": scenario.concurrency})
    uvloop.run(load(gateway, warm, None))
    before = cpu_seconds(pid)
    clients = uvloop.run(load(gateway, scenario, expected))
    spent = 1e6 * (cpu_seconds(pid) - before)
    done = sum(client.done for client in clients)
    exact = sum(client.exact for client in clients)
    chunk = spent / done / scenario.chunks if scenario.chunks else None
    return Result(scenario.name, done, exact, spent / done, chunk, resident_mb(pid))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of a table")
    options = parser.parse_args()
    console = Console(stderr=options.json)
    upstreams, port = [free_port(), free_port()], free_port()
    servers = [subprocess.Popen([sys.executable, str(HERE / "fake_model_server.py"), str(p)]) for p in upstreams]
    with tempfile.TemporaryDirectory() as folder:
        keys = pathlib.Path(folder) / "keys"
        keys.write_text(f"bench:sha256:{hashlib.sha256(KEY.encode()).hexdigest()}\n")
        keys.chmod(0o600)
        models = ("codegeex4-all-9b", "iquest-coder-v1-40b-loop-instruct")
        endpoints = [f"--endpoint={model}=http://127.0.0.1:{p}" for model, p in zip(models, upstreams, strict=True)]
        yardstick = pathlib.Path(sys.executable).parent / "yardstick"
        command = [str(yardstick), "serve", "--port", str(port), "--api-key-file", str(keys), *endpoints]
        with open(pathlib.Path(folder) / "log", "wb") as log:
            servers.append(subprocess.Popen(command, stdout=log, stderr=log))
            try:
                wait_ready(port, servers[-1])
                found = [
                    measure(port, servers[-1].pid, upstreams[bool(scenario.size)], scenario)
                    for scenario in track(SCENARIOS, "measuring", console=console)
                ]
            finally:
                for server in servers:
                    server.terminate()
                    server.wait()
    show(found, console, as_json=options.json)
    return 0 if all(result.exact == result.requests for result in found) else 1


def show(found: list[Result], console: Console, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps([asdict(result) for result in found], indent=2) + "\n")
        return
    table = Table("scenario", "requests", "byte-exact", "CPU us/request", "CPU us/chunk", "memory, MB")
    for result in found:
        chunk = "" if result.cpu_us_per_chunk is None else f"{result.cpu_us_per_chunk:.1f}"
        exact = f"{100 * result.exact / result.requests:.0f} %"
        cells = (result.scenario, str(result.requests), exact, f"{result.cpu_us_per_request:.0f}", chunk)
        table.add_row(*cells, f"{result.peak_mb:.0f}")
    console.print(table)


if __name__ == "__main__":
    raise SystemExit(main())
