"""A vLLM 0.32 server that is full, and clients that leave it. Part of the contract (see test_contract.py)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any

import pytest

from .contract import Server

ENDLESS: dict[str, Any] = {"prompt": "x", "max_tokens": 4000, "ignore_eos": True, "stream": True}
BUSY = "The engine is currently busy and cannot accept new requests. Please try again later or on a different instance."


@contextmanager
def held(server: Server, requests: int) -> Iterator[list[HTTPConnection]]:
    """Requests that last until the end of the scope, in the order in which the server has them."""
    body = {"model": server.model, **ENDLESS}
    connections: list[HTTPConnection] = []
    try:
        for number in range(1, requests + 1):
            connections.append(server.send("POST", "/v1/completions", body))
            server.wait_for(lambda number=number: _unfinished(server) == number)
        yield connections
    finally:
        for connection in connections:
            connection.close()
        server.wait_for(lambda: _unfinished(server) == 0)


def _unfinished(server: Server) -> float:
    return server.metric("vllm:num_requests_running") + server.metric("vllm:num_requests_waiting")


class TestOverload:
    def test_503_without_retry_after(self, guarded: Server) -> None:
        rejected = guarded.metric("vllm:admission_rejections_total", reason="max_num_queued_reqs")
        with held(guarded, 2):
            for route in (guarded.complete, guarded.chat):
                for stream in (False, True):
                    answer = route("x", max_tokens=1, stream=stream)
                    assert answer.refused(503, "Service Unavailable", None) == BUSY
                    assert "retry-after" not in answer.headers
        now = guarded.metric("vllm:admission_rejections_total", reason="max_num_queued_reqs")
        assert now - rejected >= 4

    def test_it_takes_requests_again(self, guarded: Server) -> None:
        with held(guarded, 2):
            pass
        guarded.wait_for(lambda: guarded.complete("x", max_tokens=1).status == 200)

    def test_choices_and_prompts_count_each(self, guarded: Server) -> None:
        guarded.wait_for(lambda: guarded.complete("x", max_tokens=1).status == 200)
        assert guarded.complete("x", max_tokens=1, n=2).status == 200
        guarded.complete("x", max_tokens=1, n=3).refused(503, "Service Unavailable", None)
        guarded.complete(["x", "y", "z"], max_tokens=1).refused(503, "Service Unavailable", None)


class TestWhoLeaves:
    @pytest.mark.parametrize("stream", [False, True])
    def test_frees_the_server_and_is_not_counted(self, server: Server, stream: bool) -> None:
        aborted = server.metric("vllm:request_success_total", finished_reason="abort")
        body = {"model": server.model, **ENDLESS, "stream": stream}
        connection = server.send("POST", "/v1/completions", body)
        server.wait_for(lambda: server.metric("vllm:num_requests_running") == 1)
        assert server.metric("vllm:kv_cache_usage_perc") > 0
        connection.close()
        server.wait_for(lambda: server.metric("vllm:num_requests_running") == 0)
        server.wait_for(lambda: server.metric("vllm:kv_cache_usage_perc") == 0)
        assert server.metric("vllm:request_success_total", finished_reason="abort") == aborted

    def test_after_the_first_bytes(self, server: Server) -> None:
        connection = server.send("POST", "/v1/chat/completions", _endless_chat(server))
        response = connection.getresponse()
        assert response.read(6) == b"data: "
        response.close()
        connection.close()
        server.wait_for(lambda: server.metric("vllm:num_requests_running") == 0)

    def test_while_it_waits(self, guarded: Server) -> None:
        with held(guarded, 2) as connections:
            assert guarded.metric("vllm:num_requests_waiting") == 1
            connections[1].close()
            guarded.wait_for(lambda: _unfinished(guarded) == 1)
            assert guarded.metric("vllm:num_requests_running") == 1


def _endless_chat(server: Server) -> dict[str, Any]:
    fields = {name: value for name, value in ENDLESS.items() if name != "prompt"}
    return {"model": server.model, "messages": [{"role": "user", "content": "x"}], **fields}
