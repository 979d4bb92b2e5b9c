"""The demo's own HTTP client: plain sockets by way of http.client, one connection a request."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any

_TIMEOUT = 300.0  # seconds of silence: a CPU reads a long prompt for a minute, and longer if it is busy
_DONE = b"data: [DONE]"


@dataclass(slots=True)
class Answer:
    """What came back. Times are real seconds from the request sent; those of tokens are of streams only, as is
    ``chunks``, the number of events with text. ``left``: we went before the end.

    ``problem``: what is wrong with the answer as such (connection, framing), empty if nothing is.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    error_code: str = ""
    text: str = ""
    finish_reason: str = ""
    model: str = ""
    usage: dict[str, Any] = field(default_factory=dict)
    first_token: float | None = None
    last_token: float | None = None
    chunks: int = 0
    left: bool = False
    total: float = 0.0
    problem: str = ""


class Client:
    """Speaks to one gateway."""

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port

    def is_ready(self) -> bool:
        try:
            return self._call("GET", "/health/ready", None)[0] == 200
        except (OSError, HTTPException):
            return False

    def count(self, body: dict[str, Any]) -> int:
        """The gateway's own full count of a prompt. Raises OSError, HTTPException or ValueError."""
        status, data = self._call("POST", "/tokenize", body)
        answer = json.loads(data)
        if status != 200 or answer.get("estimated"):
            raise ValueError(f"POST /tokenize answered {status}: {data[:200].decode(errors='replace')}")
        return int(answer["count"])

    def chat(self, body: dict[str, Any]) -> Answer:
        """Sends one chat request and reads its answer to the end. Never raises on the gateway's account."""
        return self.ask("/v1/chat/completions", body)

    def ask(self, path: str, body: dict[str, Any], leave_after: int | None = None) -> Answer:
        """The same for a completion, too. ``leave_after``: so many chunks of a stream, after which we hang up."""
        answer = Answer()
        connection = self._connection()
        started = time.perf_counter()
        try:
            self._send(connection, "POST", path, body)
            response = connection.getresponse()
            answer.status = response.status
            answer.headers = {name.lower(): value for name, value in response.getheaders()}
            if answer.headers.get("content-type", "").startswith("text/event-stream"):
                _read_stream(response, answer, started, leave_after)
            else:
                _read_whole(response.read(), answer)
        except (OSError, HTTPException, ValueError, LookupError, TypeError) as error:
            answer.problem = f"{type(error).__name__}: {error}"
        finally:
            connection.close()
        answer.total = time.perf_counter() - started
        return answer

    def _call(self, method: str, path: str, body: dict[str, Any] | None) -> tuple[int, bytes]:
        connection = self._connection()
        try:
            self._send(connection, method, path, body)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def _connection(self) -> HTTPConnection:
        return HTTPConnection(self._host, self._port, timeout=_TIMEOUT)

    @staticmethod
    def _send(connection: HTTPConnection, method: str, path: str, body: dict[str, Any] | None) -> None:
        data = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        connection.request(method, path, data, {} if data is None else {"content-type": "application/json"})


def _read_whole(data: bytes, answer: Answer) -> None:
    value = json.loads(data)
    if answer.status != 200:
        answer.error_code = str(value["error"]["code"])
        answer.problem = str(value["error"]["message"])
        return
    choice = value["choices"][0]
    answer.model, answer.usage = value["model"], value["usage"]
    text = choice["text"] if "text" in choice else choice["message"]["content"]
    answer.text, answer.finish_reason = text, choice["finish_reason"]


def _read_stream(response: HTTPResponse, answer: Answer, started: float, leave_after: int | None) -> None:
    """Events up to [DONE], and then the end of the body."""
    pieces: list[str] = []
    done = False
    while line := response.readline():
        line = line.rstrip()
        if line == _DONE:
            done = True
        elif line.startswith(b"data: "):
            _read_event(json.loads(line.removeprefix(b"data: ")), answer, pieces, started)
            if leave_after is not None and answer.chunks >= leave_after:
                answer.left = True
                response.close()
                return
    answer.text = "".join(pieces)
    if not done and not answer.problem:
        answer.problem = "the stream ended without [DONE]"


def _read_event(event: dict[str, Any], answer: Answer, pieces: list[str], started: float) -> None:
    if "error" in event:
        answer.problem = str(event["error"]["message"])
        return
    answer.model = event["model"]
    answer.usage = event.get("usage") or answer.usage
    for choice in event["choices"]:
        answer.finish_reason = choice["finish_reason"] or answer.finish_reason
        if content := choice["text"] if "text" in choice else choice["delta"].get("content"):
            answer.last_token = time.perf_counter() - started
            if answer.first_token is None:
                answer.first_token = answer.last_token
            answer.chunks += 1
            pieces.append(content)
