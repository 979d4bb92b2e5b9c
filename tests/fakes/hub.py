"""A hub's dataset viewer, as far as its rows route goes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


class Hub(ThreadingHTTPServer):
    """Serves `tasks` under any name. `refusals` are statuses that come first; `changes` go over every page."""

    daemon_threads = True

    def __init__(self, tasks: list[dict[str, Any]]) -> None:
        super().__init__(("127.0.0.1", 0), _Rows)
        self.tasks = tasks
        self.refusals: list[int] = []
        self.changes: dict[str, Any] = {}
        self.body: bytes | None = None
        self.asked: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Rows(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        split = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(split.query).items()}
        self.server.asked.append(query)
        if self.server.refusals:
            self._answer(self.server.refusals.pop(0), json.dumps({"error": "The server is busier."}).encode())
        elif split.path != "/rows":
            self._answer(404, b"no such route")
        else:
            self._answer(200, self.server.body or json.dumps(self._page(query) | self.server.changes).encode())

    def _page(self, query: dict[str, str]) -> dict[str, Any]:
        offset, length = int(query["offset"]), min(int(query["length"]), 100)
        rows = enumerate(self.server.tasks[offset : offset + length], offset)
        return {
            "features": [],
            "rows": [{"row_idx": index, "row": row, "truncated_cells": []} for index, row in rows],
            "num_rows_total": len(self.server.tasks),
            "num_rows_per_page": 100,
            "partial": False,
        }

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serving_hub(tasks: list[dict[str, Any]]) -> Iterator[Hub]:
    with Hub(tasks) as hub:
        thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield hub
        finally:
            hub.shutdown()
            thread.join()
