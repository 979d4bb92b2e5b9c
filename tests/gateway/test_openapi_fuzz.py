"""The OpenAPI document against a running gateway: what it promises of each route is tried with schemathesis."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

import requests
import schemathesis
import uvloop
from hypothesis import HealthCheck, settings
from requests.adapters import HTTPAdapter
from schemathesis.generation.hypothesis.builder import HypothesisTestConfig, HypothesisTestMode, create_test
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from tests.fakes.gateway import config_for, running
from tests.fakes.server import DONE, FakeServer, Seen, answer, content_frame, says, stream, unary

EXAMPLES = 40  # of valid and invalid requests to each route, beside those that its schema suggests


class Wiretap(HTTPAdapter):
    """Counts what was really sent and what came back: (method, path, class of the status)."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[tuple[str, str, int]] = Counter()

    def send(self, request: requests.PreparedRequest, *arguments: Any, **options: Any) -> requests.Response:
        response = super().send(request, *arguments, **options)
        path = urlsplit(str(request.url)).path
        self.counts[str(request.method), path, response.status_code // 100] += 1
        return response

    def exercised(self, method: str, path: str, status: int) -> int:
        """How often a route of the document was; a path that ends in a parameter stands for all that it fits."""
        fixed, brace, _ = path.partition("{")
        return sum(
            count
            for (one, sent, kind), count in self.counts.items()
            if (one, kind) == (method, status) and (sent.startswith(fixed) if brace else sent == path)
        )


async def model_server(seen: Seen) -> None:
    """Answers as the route and `stream` ask for, with whole answers of their documented types."""
    if json.loads(seen.body).get("stream"):
        await says(*stream([content_frame("x"), DONE]))(seen)
        return
    value = json.loads(unary())
    if seen.path.endswith(b"/v1/completions"):
        value |= {"object": "text_completion", "choices": [{"index": 0, "text": "x", "finish_reason": "stop"}]}
    await seen.wire.send(answer(json.dumps(value).encode()))


class InThread:
    """A gateway before two model servers, in an event loop of its own: schemathesis asks from this one."""

    def __init__(self) -> None:
        self.url = ""
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: uvloop.run(self._serve()))

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        short = await FakeServer(script=model_server).start()
        long = await FakeServer(name="iquest-coder-v1-40b-loop-instruct", window=131072, script=model_server).start()
        async with running(config_for([short], [long], access_log=False)) as gateway:
            self.url = f"http://127.0.0.1:{gateway.port}"
            self._ready.set()
            await self._stop.wait()
        await short.stop()
        await long.stop()

    def __enter__(self) -> InThread:
        self._thread.start()
        assert self._ready.wait(20)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()


def check_route(operation: schemathesis.APIOperation[Any, Any, Any], session: requests.Session) -> None:
    """Sends what the schema's examples, its limits, and chance suggest, valid and not, and checks each answer."""

    # Whether a body's fields are right and fit the window is for the model (server) to say, not for a schema.
    excluded = [negative_data_rejection, positive_data_acceptance] if operation.body else []

    def check(case: schemathesis.Case) -> None:
        case.call_and_validate(session=session, excluded_checks=excluded)

    options = settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    config = HypothesisTestConfig(project=operation.schema.config, modes=list(HypothesisTestMode), settings=options)
    create_test(operation=operation, test_func=check, config=config)()


def test_the_document_is_true_of_every_route() -> None:
    """Each of /v1 must have been sent what it accepts and, where it takes anything, what it refuses."""
    tap = Wiretap()
    with InThread() as gateway, requests.Session() as session:
        session.mount("http://", tap)
        document = schemathesis.openapi.from_url(f"{gateway.url}/openapi.json")
        for found in document.get_all_operations():
            check_route(found.ok(), session)
        routes = [(name.upper(), path) for path, item in document.raw_schema["paths"].items() for name in item]
    assert len([path for _, path in routes if path.startswith("/v1/")]) >= 5
    for method, path in routes:
        assert tap.exercised(method, path, 2), f"{method} {path} never answered anything"
        if method == "POST" or "{" in path:
            assert tap.exercised(method, path, 4), f"{method} {path} never refused anything"
    assert not [key for key in tap.counts if key[2] == 5]
