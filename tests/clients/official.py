"""One small interface to the official clients of every language, so that one file of tests holds for all.

Each client runs in a driver process that reads commands and writes what came of them, one JSON line each:

    > {"id": 1, "client": {base_url, api_key, max_retries, timeout}, "operation": "chat.completions.create",
       "arguments": [{...}], "options": {"timeout"?, "headers"?}}
    > {"abort": 1}
    < {"id": 1, "answer": {...}, "headers": {...}}
    < {"id": 1, "headers": {...}}, then {"id": 1, "chunk": {...}} for each, then {"id": 1, "end": true}
    < {"id": 1, "error": {"class", "status", "code", "param", "type", "message", "body"}}

Operations are named as the clients name them; ``*.stream`` is their helper, whose answer is what it put together.
Times are in seconds. Error classes have their Python names; ``Aborted`` is an abort that was asked for.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import Any

DEADLINE = 30.0  # for one line of a driver


class ClientError(Exception):
    """An error as the client raised it; ``name`` is its class."""

    def __init__(self, described: dict[str, Any]) -> None:
        super().__init__(described)
        self.name: str = described["class"]
        self.message: str = described.get("message") or ""
        self.status: int | None = described.get("status")
        self.code: str | None = described.get("code")
        self.param: str | None = described.get("param")
        self.type: str | None = described.get("type")
        self.body: Any = described.get("body")


class Driver:
    """A driver process. ``kill`` is what a user's crash looks like."""

    def __init__(self, command: list[str]) -> None:
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._numbers = count(1)
        self._lines: dict[int, SimpleQueue[dict[str, Any]]] = {}
        self._writing = Lock()
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            said = json.loads(line)
            self._lines[said["id"]].put(said)

    def _write(self, command: dict[str, Any]) -> None:
        assert self._process.stdin
        with self._writing:
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()

    def start(self, command: dict[str, Any]) -> int:
        number = next(self._numbers)
        self._lines[number] = SimpleQueue()
        self._write({"id": number, **command})
        return number

    def line(self, number: int) -> dict[str, Any]:
        """The next line of that command. Raises its `ClientError`."""
        try:
            said = self._lines[number].get(timeout=DEADLINE)
        except Empty:
            raise AssertionError(f"the driver says nothing (its exit code: {self._process.poll()})") from None
        if "error" in said:
            raise ClientError(said["error"])
        return said

    def abort(self, number: int) -> None:
        self._write({"abort": number})

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe
            pipe.close()


@dataclass(frozen=True)
class Pending:
    """A request on its way. Iterating gives a stream's chunks; ``answer`` waits for a whole answer."""

    driver: Driver
    number: int

    def answer(self) -> tuple[Any, dict[str, str]]:
        said = self.driver.line(self.number)
        return said["answer"], said["headers"]

    def __iter__(self) -> Iterator[Any]:
        while not (said := self.driver.line(self.number)).get("end"):
            if "chunk" in said:
                yield said["chunk"]

    def abort(self) -> None:
        self.driver.abort(self.number)

    def ended(self) -> None:
        """Reads on to the end of what was aborted; fails if it ends otherwise."""
        try:
            while not self.driver.line(self.number).get("end"):
                pass
        except ClientError as error:
            if error.name != "Aborted":
                raise
            return
        raise AssertionError("it ended by itself")


@dataclass(frozen=True)
class Client:
    """An official client with its settings. Keywords of a call are the request's fields."""

    driver: Driver
    base_url: str
    api_key: str = "any"
    max_retries: int = 0

    def begin(self, operation: str, *given: Any, options: dict[str, Any] | None = None) -> Pending:
        settings = {"base_url": self.base_url, "api_key": self.api_key, "max_retries": self.max_retries, "timeout": 30}
        command = {"client": settings, "operation": operation, "arguments": list(given), "options": options or {}}
        return Pending(self.driver, self.driver.start(command))

    def call(self, operation: str, *given: Any) -> Any:
        return self.begin(operation, *given).answer()[0]

    def chat(self, **fields: Any) -> Any:
        return self.call("chat.completions.create", fields)

    def complete(self, **fields: Any) -> Any:
        return self.call("completions.create", fields)

    def stream_chat(self, **fields: Any) -> Pending:
        return self.begin("chat.completions.create", {**fields, "stream": True})

    def stream_completion(self, **fields: Any) -> Pending:
        return self.begin("completions.create", {**fields, "stream": True})

    def put_together(self, **fields: Any) -> Any:
        """A chat stream as the client's own helper puts it together."""
        return self.call("chat.completions.stream", fields)
