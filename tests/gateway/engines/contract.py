"""A model server as the contract suite sees it: over HTTP alone, by itself or behind the gateway."""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest


def direct_only(reason: str) -> pytest.MarkDecorator:
    """For what the gateway answers itself, in its own way: such a test is about the model server alone."""
    return pytest.mark.direct_only(reason)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes
    of_gateway: bool = False

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def events(self) -> list[Any]:
        """The values of a stream's events; its framing is checked on the way."""
        assert self.status == 200, self.body
        frames = self.body.decode().split("\n\n")
        assert frames[-1] == ""
        assert frames[-2] == "data: [DONE]"
        assert all(frame.startswith("data: ") for frame in frames[:-1])
        return [json.loads(frame.removeprefix("data: ")) for frame in frames[:-2]]

    def refused(self, status: int, kind: str, param: str | None) -> str:
        """Check an error's whole shape; returns its message.

        The gateway refuses some requests before they reach a model server: with the same status, and its own words.
        """
        assert self.status == status, self.body
        assert self.headers["content-type"] == "application/json"
        assert list(self.json) == ["error"]
        error = self.json["error"]
        assert list(error) == ["message", "type", "param", "code"]
        if not (self.of_gateway and isinstance(error["code"], str)):
            assert (error["type"], error["param"], error["code"]) == (kind, param, status)
        return str(error["message"])


@dataclass
class Server:
    """A model server under test. ``behind``: the one itself, if ``url`` is that of a gateway in front of it."""

    url: str
    model: str
    key: str | None = None
    behind: Server | None = None

    @property
    def engine(self) -> Server:
        """The model server itself, for what a test needs to know of it."""
        return self.behind or self

    @property
    def window(self) -> int:
        return int(self.engine.get("/v1/models").json["data"][0]["max_model_len"])

    def connect(self) -> http.client.HTTPConnection:
        address = urlsplit(self.url)
        return http.client.HTTPConnection(address.hostname or "", address.port or 80, timeout=180)

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> http.client.HTTPConnection:
        """Send a request and leave its answer unread. Underscores in header names become dashes."""
        connection = self.connect()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        if data is not None:
            sent.setdefault("content-type", "application/json")
        if self.key is not None:
            sent.setdefault("authorization", f"Bearer {self.key}")
        connection.request(method, path, data, sent)
        return connection

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Answer:
        connection = self.send(method, path, body, **headers)
        try:
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, names, response.read(), of_gateway=self.behind is not None)
        finally:
            connection.close()

    def get(self, path: str) -> Answer:
        return self.call("GET", path)

    def post(self, path: str, body: Any, **headers: str) -> Answer:
        return self.call("POST", path, body, **headers)

    def chat(self, content: str = "Parse an ISO date, please.", **fields: Any) -> Answer:
        return self.converse([{"role": "user", "content": content}], **fields)

    def converse(self, messages: Any, **fields: Any) -> Answer:
        return self.post("/v1/chat/completions", {"model": self.model, "messages": messages, **fields})

    def complete(self, prompt: Any = "def binary search", **fields: Any) -> Answer:
        return self.post("/v1/completions", {"model": self.model, "prompt": prompt, **fields})

    def tokens(self, text: str) -> list[int]:
        """A text's tokens, without any that are added."""
        answer = self.engine.post("/tokenize", {"prompt": text, "add_special_tokens": False})
        return list(answer.json["tokens"])

    def closing_bias(self) -> dict[str, int]:
        """A `logit_bias` by which even random weights end what a grammar made them begin, as soon as it lets them."""
        ends = ('"', "}", "<|im_end|>", "<|endoftext|>", "<|user|>")
        biased = [(self.tokens(text), 100) for text in ends] + [(self.tokens(":"), 50)]
        return {str(ids[0]): bias for ids, bias in biased if len(ids) == 1}

    def metric(self, name: str, **labels: str) -> float:
        """The sum of the samples with these labels of one of the model server's metrics."""
        text = self.engine.get("/metrics").body.decode()
        found = re.findall(rf"^{re.escape(name)}(?:{{(.*)}})? (\S+)$", text, re.M)
        wanted = [f'{label}="{value}"' for label, value in labels.items()]
        return sum(float(value) for text, value in found if all(label in text for label in wanted))

    def wait_for(self, reached: Callable[[], bool], seconds: float = 20.0) -> None:
        """Ask again until ``reached``; each question is an HTTP request, so this does not spin."""
        deadline = time.monotonic() + seconds
        while not reached():
            assert time.monotonic() < deadline, "not reached in time"
