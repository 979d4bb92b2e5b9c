"""The step that fetches weights: once, and whole; against a hub at the wire."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.deploy.manifests.tools import K8S

_SCRIPT = K8S / "base/pools/fetch_weights.py"
_COMMIT = "0123456789abcdef0123456789abcdef01234567"
_WEIGHTS = b"weights" * 1000


class Hub(ThreadingHTTPServer):
    """Has one repository, of one file. ``refuses``: answers 503."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []
        self.refuses = False


class _Handler(BaseHTTPRequestHandler):
    server: Hub

    def do_GET(self) -> None:
        self._answer(whole=True)

    def do_HEAD(self) -> None:
        self._answer(whole=False)

    def _answer(self, *, whole: bool) -> None:
        self.server.asked.append(self.path)
        body, status, headers = b"", 404, {}
        if self.server.refuses:
            status = 503
        elif self.path.startswith("/api/models/org/name/revision/"):
            status, body = (
                200,
                json.dumps({"id": "org/name", "sha": _COMMIT, "siblings": [{"rfilename": "w.bin"}]}).encode(),
            )
        elif "/tree/" in self.path:
            status, body = (
                200,
                json.dumps([{"type": "file", "path": "w.bin", "size": len(_WEIGHTS), "oid": "1"}]).encode(),
            )
        elif self.path.endswith("/w.bin"):
            status, body, headers = 200, _WEIGHTS, {"X-Repo-Commit": _COMMIT, "ETag": '"1"'}
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if whole:
            self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def hub() -> Iterator[Hub]:
    server = Hub()
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def _fetch(hub: Hub, home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    address = f"http://127.0.0.1:{hub.server_port}"
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "HF_HOME": str(home), "HF_ENDPOINT": address}
    command = [sys.executable, str(_SCRIPT), "org/name", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)


def test_it_fetches_once_and_then_needs_no_hub(hub: Hub, tmp_path: Path) -> None:
    first = _fetch(hub, tmp_path)
    assert first.returncode == 0, first.stderr
    (weights,) = tmp_path.glob("hub/models--org--name/snapshots/*/w.bin")
    assert weights.read_bytes() == _WEIGHTS
    hub.asked.clear()
    hub.refuses = True
    again = _fetch(hub, tmp_path)
    assert again.returncode == 0, again.stderr
    assert "there already" in again.stdout
    assert not hub.asked


def test_another_revision_is_fetched(hub: Hub, tmp_path: Path) -> None:
    assert _fetch(hub, tmp_path).returncode == 0
    hub.asked.clear()
    assert _fetch(hub, tmp_path, "v2").returncode == 0
    assert any(path.startswith("/api/models/org/name/revision/v2") for path in hub.asked)


def test_what_could_not_be_fetched_is_not_taken_for_complete(hub: Hub, tmp_path: Path) -> None:
    hub.refuses = True
    assert _fetch(hub, tmp_path).returncode != 0
    hub.refuses = False
    assert _fetch(hub, tmp_path).returncode == 0
