"""What a vLLM 0.32 server answers on its plain routes, and to tokenizing.

Part of the contract: over HTTP alone, against the simulated server and real ones, each by itself and behind the
gateway (see `sides`)."""

from __future__ import annotations

import re
from typing import Any

import pytest

from .contract import Server, direct_only

TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Current weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@direct_only("health, models and 404s are the gateway's own")
class TestPlainRoutes:
    @pytest.mark.parametrize("path", ["/health", "/ping"])
    def test_health_is_empty(self, server: Server, path: str) -> None:
        answer = server.get(path)
        assert (answer.status, answer.body) == (200, b"")
        assert answer.headers["content-length"] == "0"

    def test_version_and_load(self, server: Server) -> None:
        assert re.fullmatch(rb'\{"version":"0\.\d+\.\d+[^"]*"\}', server.get("/version").body)
        assert server.get("/load").body == b'{"server_load":0}'

    def test_models(self, server: Server) -> None:
        body = server.get("/v1/models").json
        assert list(body) == ["object", "data"]
        keys = ["id", "object", "created", "owned_by", "root", "parent", "max_model_len", "permission"]
        assert [list(model) for model in body["data"]] == [keys]
        assert body["data"][0]["id"] == server.model
        assert body["data"][0]["max_model_len"] == 4096

    def test_unknown_route_and_method(self, server: Server) -> None:
        missing = server.post("/v1/nowhere", {"model": server.model, "input": "x"})
        assert (missing.status, missing.body) == (404, b'{"detail":"Not Found"}')
        assert server.get(f"/v1/models/{server.model}").status == 404
        for path, allowed in (("/v1/chat/completions", "POST"), ("/v1/completions", "POST"), ("/tokenize", "POST")):
            wrong = server.get(path)
            assert (wrong.status, wrong.body) == (405, b'{"detail":"Method Not Allowed"}')
            assert wrong.headers["allow"] == allowed
        assert server.post("/v1/models", {}).headers["allow"] == "GET"

    def test_every_answer_varies_by_origin(self, server: Server) -> None:
        assert {server.get(path).headers["vary"] for path in ("/health", "/v1/models", "/version")} == {"Origin"}

    def test_key_guards_only_v1(self, guarded: Server) -> None:
        for header in ("Bearer wrong", "Basic secret", ""):
            answer = guarded.call("GET", "/v1/models", authorization=header)
            assert (answer.status, answer.body) == (401, b'{"error":"Unauthorized"}')
            assert guarded.call("GET", "/metrics", authorization=header).status == 200
        assert guarded.get("/v1/models").status == 200
        assert guarded.post("/tokenize", {"prompt": "x"}, authorization="").status == 200


@direct_only("the gateway counts by itself, and says no more than the count")
class TestTokenize:
    def test_prompt(self, server: Server) -> None:
        body = server.post("/tokenize", {"model": server.model, "prompt": "def f(x):\n    return x"}).json
        assert list(body) == ["count", "max_model_len", "tokens", "token_strs"]
        assert body["count"] == len(body["tokens"]) > 0
        assert body["max_model_len"] == 4096
        assert body["token_strs"] is None

    def test_detokenize_gives_the_text_back(self, server: Server) -> None:
        text = "naïve “Größe” → слово 🙂\n"
        answer = server.post("/detokenize", {"model": server.model, "tokens": server.tokens(text)})
        assert answer.json == {"prompt": text}

    def test_numbers_that_are_no_tokens(self, server: Server) -> None:
        assert server.post("/detokenize", {"tokens": []}).json == {"prompt": ""}
        assert server.post("/detokenize", {"tokens": [4_000_000]}).json == {"prompt": ""}
        server.post("/detokenize", {"tokens": [-1]}).refused(400, "Bad Request", "body.tokens.0")

    def test_token_strings(self, server: Server) -> None:
        body = server.post("/tokenize", {"prompt": "one two", "return_token_strs": True}).json
        assert len(body["token_strs"]) == body["count"]
        assert "".join(body["token_strs"]).replace("Ġ", " ") == "one two"

    def test_a_long_prompt_is_counted_whole(self, server: Server) -> None:
        assert server.post("/tokenize", {"prompt": "x y " * 5000}).json["count"] > 4096

    def test_tools_count(self, server: Server) -> None:
        """Where the template prints them; no tools are as good as none."""
        body = {"messages": [{"role": "user", "content": "hi there"}]}
        without = server.post("/tokenize", body).json["count"]
        assert server.post("/tokenize", {**body, "tools": []}).json["count"] == without
        assert server.post("/tokenize", {**body, "tools": [TOOL]}).json["count"] > without

    def test_generation_prompt(self, server: Server) -> None:
        messages = [{"role": "user", "content": "hi there"}]
        whole = server.post("/tokenize", {"messages": messages}).json["tokens"]
        bare = server.post("/tokenize", {"messages": messages, "add_generation_prompt": False}).json["tokens"]
        assert whole[: len(bare)] == bare
        assert len(whole) > len(bare)

    def test_refusals(self, server: Server) -> None:
        neither = server.post("/tokenize", {"model": server.model}).refused(400, "Bad Request", "body.prompt")
        assert neither.startswith("2 validation errors:")
        server.post("/tokenize", {"prompt": ["a", "b"]}).refused(400, "Bad Request", "body.prompt")
        empty = server.post("/tokenize", {"messages": []}).refused(400, "BadRequestError", None)
        assert empty == "Cannot apply chat template to an empty conversation. Provide at least one message."
        server.post("/tokenize", {"model": "nope", "prompt": "x"}).refused(404, "NotFoundError", "model")


class TestRequestIds:
    def test_given_in_the_header(self, server: Server) -> None:
        body: dict[str, Any] = {"model": server.model, "prompt": "x", "max_tokens": 2}
        assert server.post("/v1/completions", body, x_request_id="gw-1").json["id"] == "cmpl-gw-1"
        events = server.post("/v1/completions", {**body, "stream": True}, x_request_id="gw-2").events
        assert {event["id"] for event in events} == {"cmpl-gw-2"}
        body = {"model": server.model, "messages": [{"role": "user", "content": "x"}], "max_tokens": 1}
        assert server.post("/v1/chat/completions", body, x_request_id="gw-3").json["id"] == "chatcmpl-gw-3"

    @direct_only("the gateway gives each request an id, in the header")
    def test_given_in_the_body_or_not(self, server: Server) -> None:
        assert server.complete("x", max_tokens=1, request_id="body-9").json["id"] == "cmpl-body-9"
        assert re.fullmatch(r"cmpl-[0-9a-f]{16}", server.complete("x", max_tokens=1).json["id"])
        assert re.fullmatch(r"chatcmpl-[0-9a-f]{16}", server.chat(max_tokens=1).json["id"])

    @direct_only("the gateway always says the id")
    def test_without_the_flag_the_answer_has_no_such_header(self, server: Server) -> None:
        assert "x-request-id" not in server.call("GET", "/v1/models", x_request_id="gw-1").headers

    def test_with_the_flag_it_has_one(self, guarded: Server) -> None:
        body = {"model": guarded.model, "prompt": "x", "max_tokens": 1}
        assert guarded.post("/v1/completions", body, x_request_id="gw-4").headers["x-request-id"] == "gw-4"
        assert guarded.post("/v1/completions", body).headers["x-request-id"]
