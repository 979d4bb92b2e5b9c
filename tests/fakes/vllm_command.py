"""A `vllm` command that serves no model: it prints, answers on its port, ends and fails as it is told.

What it does stands as JSON in $FAKE_VLLM: `prints` (lines), `exits` (with this code instead of serving), `hangs` (never
listens), `names` (the model that it says it serves), `health` (status of /health), `faults` (in how many starts that
holds; later ones are well), `later` (more of these, from the second start on), `ends_after` (answers of /health,
then it crashes), `outlives` (SIGTERM is ignored),
`drains` (SIGTERM is obeyed once /release was asked), `children` (another process, which ignores SIGTERM), `leaves` (one
in a session of its own, which keeps our output open; its id is printed), `starts` (a file that gets a line with the
process ids for each start). Imports nothing but the standard library.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

_FAULTS = ("exits", "hangs", "names", "health", "ends_after")
_CHILD = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"


class Server(ThreadingHTTPServer):
    """``orders`` is what it was told."""

    daemon_threads = True

    def __init__(self, address: tuple[str, int], model: str, orders: dict[str, Any]) -> None:
        super().__init__(address, Handler)
        self.model = model
        self.orders = orders
        self.healthy_answers = 0
        self.released = threading.Event()


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        orders = self.server.orders
        if self.path == "/health":
            self._answer(orders.get("health", 200))
            self.server.healthy_answers += 1
            if self.server.healthy_answers == orders.get("ends_after"):
                os._exit(3)
        elif self.path == "/v1/models":
            key = os.environ.get("VLLM_API_KEY")
            allowed = key is None or self.headers["Authorization"] == f"Bearer {key}"
            name = orders.get("names", self.server.model)
            self._answer(200 if allowed else 401, {"data": [{"id": name, "max_model_len": 4096}]})
        elif self.path == "/release":
            self._answer(200)
            self.server.released.set()

    def _answer(self, status: int, body: Any = None) -> None:
        data = json.dumps(body).encode() if body is not None else b""
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        pass


def main(arguments: list[str]) -> None:
    orders = json.loads(os.environ.get("FAKE_VLLM", "{}"))
    if orders.get("outlives"):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    _note_start(orders)
    if orders.get("leaves"):
        child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"], start_new_session=True)
        print(f"left {child.pid}", flush=True)
    for line in orders.get("prints", ()):
        print(line, end="" if line.endswith("\r") else "\n", flush=True)
    if "exits" in orders:
        sys.exit(orders["exits"])
    if orders.get("hangs"):
        signal.pause()
    host, port, model = (arguments[arguments.index(name) + 1] for name in ("--host", "--port", "--served-model-name"))
    server = Server((host, int(port)), model, orders)
    if not orders.get("outlives"):
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=_drain, args=(server,)).start())
    server.serve_forever()
    print("complete", flush=True)


def _note_start(orders: dict[str, Any]) -> None:
    pids = [os.getpid()]
    if orders.get("children"):
        child = subprocess.Popen([sys.executable, "-c", _CHILD], stdout=subprocess.PIPE)
        assert child.stdout is not None
        child.stdout.readline()
        pids.append(child.pid)
    if "starts" in orders:
        path = Path(orders["starts"])
        with path.open("a") as file:
            file.write(" ".join(map(str, pids)) + "\n")
        started = len(path.read_text().splitlines())
        if started > orders.get("faults", 10**6):
            for name in _FAULTS:
                orders.pop(name, None)
        if started > 1:
            orders.update(orders.get("later", {}))


def _drain(server: Server) -> None:
    if server.orders.get("drains"):
        print("draining", flush=True)
        server.released.wait()
    server.shutdown()


if __name__ == "__main__":
    main(sys.argv[1:])
