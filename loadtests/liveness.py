"""How long GET /health/live waits while ten prompts of 400 KB are in flight; exit code 1 if ever over 50 ms.

Two loads, one after the other: prompts whose length an estimate settles (`auto`), and prompts that must be counted in
full (a named model, and so many tokens asked for that the prompt only just fits). No two prompts share a piece, so that
no count is remembered. Each of the ten connections sends its next request as soon as it has its answer.

Without --url a gateway is started in front of a model server that answers at once, so that what is measured is the
gateway. With --url any running one is measured; its model servers then do their part of the work on the same cores.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import re
import socket
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

SHORT, LONG = "codegeex4-all-9b", "iquest-coder-v1-40b-loop-instruct"
WINDOW = 131_072
PROMPT_BYTES = 400_000
SENDERS = 10
LIMIT = 0.050  # seconds
SLACK = 1.01  # of the room over the prompt: shuffled lines differ by less, and an estimate seldom settles it
EXPECTED = 0.9  # share of a load's requests that have to be decided as it is named
REPEATED = 20  # times that each request of the estimated load is sent: nothing is remembered of them
_PAUSE = 0.001  # seconds between two looks at /health/live


# -- prompts ------------------------------------------------------------------------------------------------------


class Texts:
    """The same lines of the standard library's sources in ever another order: of one length, with nothing shared."""

    def __init__(self) -> None:
        folder = Path(sysconfig.get_paths()["stdlib"])
        lines: list[str] = []
        size = 0
        for path in sorted(folder.glob("*.py")):
            for line in path.read_text("utf-8", errors="ignore").splitlines():
                if size >= PROMPT_BYTES:
                    break
                if line.strip() and line.isascii():
                    lines.append(line)
                    size += len(line) + 1
        self._lines = lines

    def prompt(self, number: int) -> str:
        lines = list(self._lines)
        random.Random(number).shuffle(lines)
        return "\n".join(lines)


def bodies(kind: str, texts: Texts, tokens: int, count: int, first: int) -> list[bytes]:
    fields: dict[str, Any] = {"model": "auto", "max_tokens": 1}
    if kind == "counted":
        fields = {"model": LONG, "max_tokens": WINDOW - int(SLACK * tokens)}
    prompts = (texts.prompt(first + number) for number in range(count))
    made = [json.dumps({**fields, "messages": [{"role": "user", "content": prompt}]}).encode() for prompt in prompts]
    return made * (REPEATED if kind == "estimated" else 1)


# -- load and measurement -----------------------------------------------------------------------------------------


@dataclass
class Load:
    """What ten connections send, and what they were told. ``failed`` holds answers that are no 200."""

    url: str
    bodies: list[bytes]
    stop: threading.Event = field(default_factory=threading.Event)
    methods: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    _taken: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def _next(self) -> bytes | None:
        with self._lock:
            if self._taken == len(self.bodies):
                return None
            self._taken += 1
            return self.bodies[self._taken - 1]

    def send(self) -> None:
        connection = connect(self.url)
        while not self.stop.is_set() and (body := self._next()) is not None:
            connection.request("POST", "/v1/chat/completions", body, {"content-type": "application/json"})
            response = connection.getresponse()
            data = response.read()
            if response.status == 200:
                self.methods[response.headers["x-yardstick-counted"]] += 1
            else:
                self.failed.append(f"{response.status} {data[:200].decode(errors='replace')}")
        connection.close()


def connect(url: str) -> http.client.HTTPConnection:
    address = urlsplit(url)
    return http.client.HTTPConnection(address.hostname or "", address.port or 80, timeout=60)


def look(connection: http.client.HTTPConnection) -> float:
    started = time.perf_counter()
    connection.request("GET", "/health/live")
    response = connection.getresponse()
    response.read()
    if response.status != 200:
        raise RuntimeError(f"GET /health/live answered {response.status}")
    return time.perf_counter() - started


def measure(load: Load) -> list[float]:
    """Seconds of each GET /health/live as long as all ten connections are busy."""
    senders = [threading.Thread(target=load.send) for _ in range(SENDERS)]
    connection = connect(load.url)
    look(connection)
    for sender in senders:
        sender.start()
    waits = []
    while all(sender.is_alive() for sender in senders):
        waits.append(look(connection))
        time.sleep(_PAUSE)
    load.stop.set()
    for sender in senders:
        sender.join()
    connection.close()
    return waits


def idle(url: str) -> list[float]:
    connection = connect(url)
    waits = []
    for _ in range(500):
        waits.append(look(connection))
        time.sleep(_PAUSE)
    connection.close()
    return waits


def tokens_of(url: str, text: str) -> int:
    connection = connect(url)
    body = json.dumps({"model": LONG, "messages": [{"role": "user", "content": text}]})
    connection.request("POST", "/tokenize", body, {"content-type": "application/json"})
    answer = json.loads(connection.getresponse().read())
    connection.close()
    return int(answer["count"])


# -- a gateway to measure -----------------------------------------------------------------------------------------


class Instant(BaseHTTPRequestHandler):
    """A model server that answers each request at once."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        cards = [{"id": model, "object": "model", "max_model_len": WINDOW} for model in (SHORT, LONG)]
        self._answer({"object": "list", "data": cards})

    def do_POST(self) -> None:
        left = int(self.headers["content-length"])
        while left > 0:
            left -= len(self.rfile.read(min(left, 1 << 20)))
        choice = {"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}
        self._answer({"id": "x", "object": "chat.completion", "created": 0, "model": LONG, "choices": [choice]})

    def _answer(self, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def serve_instantly() -> None:
    """Says its port in its first line, and serves until it is ended."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Instant)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    server.serve_forever()


@contextmanager
def started(*command: str, stdout: Any = subprocess.DEVNULL) -> Iterator[subprocess.Popen[str]]:
    child = subprocess.Popen([sys.executable, *command], stdout=stdout, text=True)
    try:
        yield child
    finally:
        child.terminate()
        child.wait()


@contextmanager
def gateway() -> Iterator[str]:
    """The address of a gateway with demo-bpe as the tokenizer of both pools, trained quickly on little text."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder, started(__file__, "--instant", stdout=subprocess.PIPE) as instant:
        assert instant.stdout
        server = f"http://127.0.0.1:{int(instant.stdout.readline())}"
        tokenizer = Path(folder) / "tokenizer.json"
        code = "import sys, pathlib; from gateway.tokens.demo import train; train(pathlib.Path(sys.argv[1]))"
        subprocess.run([sys.executable, "-c", code, str(tokenizer)], check=True)
        pools = [{"model": name, "endpoints": [{"url": server}], "tokenizer": str(tokenizer)} for name in (SHORT, LONG)]
        config = Path(folder) / "yardstick.yaml"
        config.write_text(json.dumps({"port": port, "pools": pools, "access_log": False}))  # JSON is YAML
        with started("-m", "gateway", "serve", "--config", str(config)) as child:
            await_ready(url, child)
            yield url


def await_ready(url: str, child: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            connection = connect(url)
            connection.request("GET", "/health/ready")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        if child.poll() is not None or time.monotonic() > deadline:
            raise SystemExit("the gateway does not start")
        time.sleep(0.05)


# -- report -------------------------------------------------------------------------------------------------------


def summary(waits: list[float]) -> dict[str, float]:
    ordered = sorted(waits)
    milliseconds = [1e3 * ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.99, 1)]
    return dict(zip(("p50_ms", "p99_ms", "max_ms"), (round(value, 2) for value in milliseconds), strict=True))


def run(url: str, requests: int) -> dict[str, dict[str, Any]]:
    texts = Texts()
    tokens = tokens_of(url, texts.prompt(0))
    results: dict[str, dict[str, Any]] = {"idle": {"looks": 500, **summary(idle(url))}}
    for place, kind in enumerate(("estimated", "counted")):
        load = Load(url, bodies(kind, texts, tokens, requests, 1 + place * requests))
        waits = measure(load)
        found: dict[str, Any] = {"looks": len(waits), **summary(waits), "answered": dict(load.methods)}
        wrong = load.failed[:3]
        if load.methods[kind] < EXPECTED * load.methods.total():
            wrong.append(f"only {load.methods[kind]} of {load.methods.total()} requests were {kind}")
        results[kind] = {**found, "wrong": wrong, "prompt_tokens": tokens, "prompt_bytes": PROMPT_BYTES}
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--url", help="of a running gateway without keys; default: one is started")
    parser.add_argument("--requests", type=int, default=100, help="of each kind")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--instant", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.instant:
        serve_instantly()
        return
    if options.url:
        results = run(re.sub(r"/(v1/?)?$", "", options.url), options.requests)
    else:
        with gateway() as url:
            results = run(url, options.requests)
    worst = max(found["max_ms"] for found in results.values())
    wrong = [line for found in results.values() for line in found.get("wrong", ())]
    if options.json:
        print(json.dumps({"limit_ms": 1e3 * LIMIT, "worst_ms": worst, "results": results}, indent=2))
    else:
        print(f"GET /health/live beside {SENDERS} requests of {PROMPT_BYTES:,} bytes; limit {1e3 * LIMIT:.0f} ms")
        for kind, found in results.items():
            print(f"  {kind:<10}" + "  ".join(f"{name} {value}" for name, value in found.items() if value != []))
    if wrong or worst > 1e3 * LIMIT:
        sys.exit("; ".join([*wrong, f"the longest wait was {worst} ms"]))


if __name__ == "__main__":
    main()
