"""Simulated model servers and a gateway in front of them, as `yardstick` processes that end with the scope.

Nothing of the gateway is imported: whatever else speaks OpenAI's protocol could stand here.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadtests.overhead import free_port

_HOST = "127.0.0.1"
_LOOK = 0.1  # seconds
_TRAINING = 120.0  # seconds: the first server trains the demo's tokenizer, once
_GRACE = 5.0

Say = Callable[[str], None]


class NotReady(Exception):
    """A server ended, or was not ready in time. The message has its last lines."""


@dataclass(frozen=True, slots=True)
class Server:
    """A simulated model server: the model's name, and further options of `yardstick engine simulate`."""

    model: str
    options: tuple[str, ...] = ()


@contextlib.contextmanager
def processes(folder: Path) -> Iterator[Processes]:
    with contextlib.ExitStack() as stack:
        yield Processes(stack, folder)


class Processes:
    """Starts them one after the other: they share the cores, and the first one's tokenizer."""

    def __init__(self, stack: contextlib.ExitStack, folder: Path) -> None:
        self._stack = stack
        self._folder = folder

    def model_server(self, server: Server) -> str:
        """Its address. Raises NotReady."""
        port = free_port()
        arguments = ["engine", "simulate", "--model", server.model, "--port", str(port), *server.options]
        url = f"http://{_HOST}:{port}"
        self._start(f"{server.model}-{port}", arguments, f"{url}/health")
        return url

    def gateway(
        self, pools: Mapping[str, Sequence[str]], *, served_name: str = "", affinity: bool = True, **settings: Any
    ) -> str:
        """Its address. ``pools``: addresses by model, which has to be served under its own name or as ``served_name``;
        ``settings``: the rest of the configuration. Raises NotReady."""
        port = free_port()
        named = {"served_name": served_name} if served_name else {}
        own: dict[str, Any] = {} if affinity else {"affinity": False}
        entries = [
            {"model": model, "endpoints": [{"url": url, **named} for url in urls], **own}
            for model, urls in pools.items()
        ]
        config = {"host": _HOST, "port": port, "access_log": False, "drain": {"delay": 0}, "pools": entries, **settings}
        file = self._folder / f"gateway-{port}.yaml"
        file.write_text(json.dumps(config))  # JSON is YAML
        url = f"http://{_HOST}:{port}"
        self._start(f"gateway-{port}", ["serve", "--config", str(file)], f"{url}/health/ready")
        return url

    def _start(self, name: str, arguments: list[str], ready: str) -> None:
        log = self._folder / f"{name}.log"
        command = [str(Path(sys.executable).parent / "yardstick"), *arguments]
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=output)
        self._stack.callback(_end, process)
        deadline = time.monotonic() + _TRAINING
        while not _answers(ready):
            if process.poll() is not None:
                raise NotReady(f"{name} ended with exit code {process.returncode}:\n{_last_lines(log)}")
            if time.monotonic() > deadline:
                raise NotReady(f"{name} was not ready after {_TRAINING:.0f} s:\n{_last_lines(log)}")
            time.sleep(_LOOK)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def _last_lines(log: Path) -> str:
    return "\n".join(log.read_text("utf-8", errors="replace").splitlines()[-12:]) or "(it said nothing)"


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
