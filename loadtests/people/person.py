"""Somebody who asks and reads the answer as it comes: what all kinds of people have in common."""

from __future__ import annotations

import itertools
import json
import random
import time
from typing import Any

import gevent
from geventhttpclient.response import HTTPParseError
from locust import FastHttpUser
from locust.exception import StopUser
from locust.runners import LocalRunner
from locust.user.task import LOCUST_STATE_STOPPING

from loadtests.people import sse, statistics
from loadtests.people.checks import Answer, Expected, failure

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
_number = itertools.count()


class Person(FastHttpUser):
    """``kind`` names it in the statistics."""

    abstract = True
    kind = ""
    network_timeout = 900.0  # a prompt of 128K tokens takes minutes where many wait
    connection_timeout = 10.0
    concurrency = 512  # connections: several answers may be under way at once (see Arrivals)

    def __init__(self, environment: Any) -> None:
        super().__init__(environment)
        self.client.base_url = self.client.base_url.rstrip("/").removesuffix("/v1")
        self.options = environment.parsed_options
        self.random = random.Random(f"{self.options.seed} {next(_number)}")
        self.expected = Expected.of(self.options.expect)

    def think(self, mean: float) -> None:
        """Some seconds, at most four times the mean."""
        gevent.sleep(self.options.pace * min(self.random.expovariate(1 / mean), 4 * mean))

    def ask(
        self,
        path: str,
        body: dict[str, Any],
        kind: str = "",
        *,
        leave_after: float | None = None,
        planned: float | None = None,
    ) -> Answer:
        """Sends, reads to the end (or leaves after so many seconds), checks, and enters it into the statistics.

        ``planned``: when it should be sent, on `time.perf_counter`.
        """
        if self._state == LOCUST_STATE_STOPPING:  # not only at the end of a conversation
            raise StopUser
        answer = Answer(kind or self.kind)
        if planned is not None:
            answer.late = time.perf_counter() - planned
        whole: dict[str, Any] = {
            "model": self.options.model,
            **body,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        data = json.dumps(whole).encode()
        at, started = time.time(), time.perf_counter()
        self._exchange(path, data, answer, started, leave_after)
        answer.total = time.perf_counter() - started
        wrong = failure(answer, self.expected.model(answer.kind))
        statistics.enter(self.environment, answer, wrong, at=at, url=path, records=self.options.records)
        enough = 0 < self.options.answers <= self.environment.stats.total.num_requests
        if enough and isinstance(self.environment.runner, LocalRunner):
            gevent.spawn(self.environment.runner.quit)  # which waits for its users, and so for this one
            raise StopUser
        return answer

    def _exchange(self, path: str, body: bytes, answer: Answer, started: float, leave_after: float | None) -> None:
        headers = {"content-type": "application/json", "accept": "text/event-stream", "accept-encoding": "identity"}
        if self.options.api_key:
            headers["authorization"] = f"Bearer {self.options.api_key}"
        answer.left = leave_after is not None
        with gevent.Timeout(leave_after, False) as timer:
            # Not entered as a context manager, it enters nothing into the statistics.
            response = self.client.post(path, data=body, headers=headers, stream=True, catch_response=True)
            error, stream = getattr(response, "error", None), getattr(response, "_response", None)
            answer.status = response.status_code
            answer.left = error is not None and leave_after is not None and not timer.pending  # it ran out in there
            try:
                if error is None and answer.status == 200:
                    answer.left = True  # unless it is read to its end
                    _read(stream, answer, started)
                    answer.left = False
                elif not answer.left:
                    answer.refusal = _refusal(response, error)
            except (OSError, HTTPParseError, ValueError) as problem:
                answer.left, answer.broken = False, type(problem).__name__
            finally:
                if stream is not None:
                    stream.release()  # closes the connection unless the answer is complete: leaving has to be noticed


def _refusal(response: Any, error: Exception | None) -> str:
    """Status and code, or the kind of failure. No message: it may quote the prompt."""
    if not response.status_code:
        return type(error).__name__
    try:
        told = json.loads(response.content)["error"]
        return f"{response.status_code} {told.get('code') or told.get('type')}"
    except (OSError, HTTPParseError, ValueError, LookupError, TypeError, AttributeError):
        return str(response.status_code)


def _read(stream: Any, answer: Answer, started: float) -> None:
    """To the end. Raises ValueError for an event that is no JSON object."""
    before = started
    for data in sse.events(stream):
        now = time.perf_counter()
        answer.size += len(data)
        if data == b"[DONE]":
            answer.done = True
            continue
        event = json.loads(data)
        if not isinstance(event, dict):
            raise ValueError
        if "error" in event:
            error = event["error"] if isinstance(event["error"], dict) else {}
            answer.error = str(error.get("code") or error.get("type") or "without a code")
            continue
        answer.model = event.get("model") or answer.model
        answer.usage = event.get("usage") or answer.usage
        for choice in event.get("choices") or ():
            answer.finish_reason = choice.get("finish_reason") or answer.finish_reason
            piece = text_of(choice)
            if not piece:
                continue
            answer.pieces.append(piece)
            if answer.first is None:
                answer.first = now - started
            else:
                answer.gaps.append(now - before)
            before = now


def text_of(choice: dict[str, Any]) -> str:
    """Of a chunk of either route; a thinking model's thoughts count as text."""
    delta = choice.get("delta") or {}
    return choice.get("text") or delta.get("content") or delta.get("reasoning") or delta.get("reasoning_content") or ""
