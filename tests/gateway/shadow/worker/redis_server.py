"""A real Redis of the tests' own: Debian's binary, on a socket in a folder that goes away; it keeps nothing on disk."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import redis

_DEADLINE = 30.0


def binary() -> str | None:
    return shutil.which("redis-server")


class RedisServer:
    """Started by `start`; `kill` is SIGKILL, after which `start` has it empty. `password`: of its only user."""

    def __init__(self, binary: str, password: str = "") -> None:
        self._binary, self._password = binary, password
        self._process: subprocess.Popen[bytes] | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="ys-redis-"))  # a socket's path must be short
        self.url = f"unix://:{password}@{self.folder}/socket" if password else f"unix://{self.folder}/socket"

    def start(self) -> None:
        settings = {"port": "0", "unixsocket": f"{self.folder}/socket", "save": "", "appendonly": "no"}
        settings |= {"requirepass": self._password} if self._password else {}
        options = [part for name, value in settings.items() for part in (f"--{name}", value)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen([self._binary, *options], stdout=log, stderr=log, cwd=self.folder)
        deadline = time.monotonic() + _DEADLINE
        while True:
            try:
                with self.client() as client:
                    client.ping()
                return
            except redis.ConnectionError:
                assert time.monotonic() < deadline, (self.folder / "log").read_text()[-2000:]
                time.sleep(0.02)

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url)

    def empty(self) -> None:
        with self.client() as client:
            client.flushall()

    def kill(self) -> None:
        assert self._process
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        assert self._process
        self._process.send_signal(number)

    def stop(self) -> None:
        if self._process and self._process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
