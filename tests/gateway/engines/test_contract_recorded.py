"""The metrics of a vLLM 0.32 server, and the comparison with what a real one was recorded to answer.

Part of the contract (see test_contract.py)."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .contract import Server, direct_only

NAMED = {"type": "function", "function": {"name": "get_weather"}}
METRICS = {
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:kv_cache_usage_perc",
    "vllm:prefix_cache_queries_total",
    "vllm:prefix_cache_hits_total",
    "vllm:num_preemptions_total",
    "vllm:prompt_tokens_total",
    "vllm:generation_tokens_total",
    "vllm:request_success_total",
    "vllm:time_to_first_token_seconds_bucket",
    "vllm:inter_token_latency_seconds_bucket",
    "vllm:request_time_per_output_token_seconds_bucket",
    "vllm:e2e_request_latency_seconds_bucket",
    "vllm:request_queue_time_seconds_bucket",
    "vllm:request_prefill_time_seconds_bucket",
    "vllm:request_decode_time_seconds_bucket",
    "vllm:request_prompt_tokens_bucket",
    "vllm:request_generation_tokens_bucket",
    "vllm:cache_config_info",
}


class TestMetrics:
    @direct_only("the gateway has metrics of its own")
    def test_names(self, server: Server) -> None:
        server.chat(max_tokens=3)
        found = set(re.findall(r"^(vllm:\w+)", server.get("/metrics").body.decode(), re.M))
        assert found >= METRICS

    def test_they_move(self, server: Server) -> None:
        names = ("prompt_tokens_total", "generation_tokens_total", "time_to_first_token_seconds_count")
        before = [server.metric(f"vllm:{name}") for name in names]
        done = server.metric("vllm:request_success_total", finished_reason="length")
        usage = server.chat(max_tokens=7, ignore_eos=True).json["usage"]
        after = [server.metric(f"vllm:{name}") for name in names]
        moved = [later - earlier for later, earlier in zip(after, before, strict=True)]
        assert moved == [usage["prompt_tokens"], 7, 1]
        assert server.metric("vllm:request_success_total", finished_reason="length") == done + 1

    @direct_only("the gateway has metrics of its own")
    def test_labels(self, server: Server) -> None:
        """Each sample says the model and the engine; a finished request, why."""
        server.chat(max_tokens=3)
        found = _metrics(server.get("/metrics").body.decode())
        assert found["vllm:num_requests_running"] == ("gauge", {"engine,model_name"})
        assert found["vllm:request_success_total"] == ("counter", {"engine,finished_reason,model_name"})
        assert found["vllm:e2e_request_latency_seconds_bucket"] == ("histogram", {"engine,le,model_name"})
        assert server.metric("vllm:num_requests_running", model_name=server.model, engine="0") == 0


@pytest.fixture(scope="module")
def recorded() -> Path:
    """The folder with what a real server answered."""
    if "YARDSTICK_TEST_RECORDED" not in os.environ:
        pytest.skip("YARDSTICK_TEST_RECORDED names no folder of recordings")
    return Path(os.environ["YARDSTICK_TEST_RECORDED"])


def probes(recording: Path) -> Iterator[tuple[str, int, str]]:
    """Label, status and body of each recorded answer."""
    for part in re.split(r"^--- ", recording.read_text(), flags=re.M)[1:]:
        head, _, body = part.partition("\n")
        found = re.match(r"(.*?) ?(?:GET|POST) (\S+) -> (\d+)", head)
        assert found
        yield found[1].strip() or found[2], int(found[3]), body.strip()


def shape(value: Any) -> Any:
    """Keys in their order, down to the kinds of values; of numbers by token, only that they are such."""
    if isinstance(value, dict) and value and all(isinstance(item, float) for item in value.values()):
        return "numbers"
    if isinstance(value, dict):
        return [(key, shape(item)) for key, item in value.items()]
    if isinstance(value, list):
        return [shape(item) for item in value[:1]]
    return type(value).__name__


@direct_only("it compares what the model server itself answers")
class TestRecordings:
    def test_metric_names_labels_and_types(self, server: Server, recorded: Path) -> None:
        server.chat(max_tokens=3)
        texts = (recorded / "metrics_0.32.0.txt").read_text(), server.get("/metrics").body.decode()
        theirs, ours = (_metrics(text) for text in texts)
        theirs.pop("vllm:cache_config_info")  # its labels are the configuration itself
        assert ours.pop("vllm:cache_config_info")
        assert ours == theirs

    def test_errors_are_equal(self, server: Server, recorded: Path) -> None:
        theirs = {label: body for label, _, body in probes(recorded / "probe_loop1.txt")}
        window = 4096
        long = "x y " * window
        bare = {"messages": [{"role": "user", "content": "x"}]}
        ours = {
            "unknown model": server.post("/v1/chat/completions", {**bare, "model": "nope"}),
            "too long prompt chat": server.chat(long),
            "too long prompt completions": server.complete(long),
            "too long prompt chat STREAM": server.chat(long, stream=True),
            "max_tokens too large": server.chat(max_tokens=5_000_000),
            "max_tokens -1": server.chat(max_tokens=-1),
            "missing messages": server.post("/v1/chat/completions", {"model": server.model}),
            "bad temperature": server.chat(temperature=-3),
            "tools auto": server.chat(tools=[NAMED]),
            "tools named": server.chat(tools=[NAMED], tool_choice=NAMED),
            "tools required": server.chat(tools=[NAMED], tool_choice="required"),
            "embeddings": server.post("/v1/embeddings", {"input": "x"}),
        }
        for label, answer in ours.items():
            assert answer.body.decode().replace(server.model, "iquest-loop") == theirs[label], label

    def test_bodies_have_the_same_shape(self, server: Server, recorded: Path) -> None:
        theirs = {label: body for label, status, body in probes(recorded / "probe_loop1.txt") if status == 200}
        ours = {
            "/v1/models": server.get("/v1/models"),
            "/version": server.get("/version"),
            "/load": server.get("/load"),
            "chat": server.chat(max_tokens=8),
            "completions": server.complete(max_tokens=4, logprobs=1),
            "/tokenize": server.post("/tokenize", {"prompt": "x"}),
        }
        for label, answer in ours.items():
            assert shape(answer.json) == shape(json.loads(theirs[label])), label

    def test_stream_has_the_same_chunks(self, server: Server, recorded: Path) -> None:
        body = next(body for label, _, body in probes(recorded / "probe_tp2.txt") if label == "chat stream usage")
        theirs = [json.loads(line.removeprefix("data: ")) for line in body.split("\n\n") if line != "data: [DONE]"]
        answer = server.chat(max_tokens=3, stream=True, stream_options={"include_usage": True})
        assert [shape(event) for event in answer.events] == [shape(event) for event in theirs]


def _metrics(text: str) -> dict[str, Any]:
    """Of each ``vllm:`` metric: its type and its samples' label names."""
    kinds = dict(re.findall(r"^# TYPE (vllm:\w+) (\w+)$", text, re.M))
    labels: dict[str, set[str]] = {}
    for name, given in re.findall(r"^(vllm:\w+){(.*)} ", text, re.M):
        labels.setdefault(name, set()).add(",".join(sorted(re.findall(r'(\w+)="', given))))
    return {
        name: (kinds.get(re.sub("_(bucket|sum|count)$", "", name), kinds.get(name)), labels[name]) for name in labels
    }
