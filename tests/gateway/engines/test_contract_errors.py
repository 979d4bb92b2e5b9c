"""What a vLLM 0.32 server refuses, with which words. Part of the contract (see test_contract.py).

The gateway refuses some of it first, with the same status and in its own words: `Answer.refused` knows.
"""

from __future__ import annotations

from typing import Any

import pytest

from .contract import Server, direct_only

USER = {"role": "user", "content": "x"}


def test_unknown_model(server: Server) -> None:
    body = {"model": "nope", "messages": [USER]}
    message = f"The model `nope` does not exist. Valid aliases: {server.model}."
    for path, extra in (("/v1/chat/completions", {}), ("/v1/completions", {"prompt": "x"})):
        told = server.post(path, {**body, **extra}).refused(404, "NotFoundError", "model")
        assert told == message or (server.behind and "'nope' does not exist here" in told)


@direct_only("the gateway has to be told a model, since it has several")
def test_no_model_is_the_only_one(server: Server) -> None:
    for model in ({}, {"model": None}, {"model": ""}):
        assert server.post("/v1/completions", {**model, "prompt": "x", "max_tokens": 1}).json["model"] == server.model


class TestValues:
    """That the sampler refuses."""

    @pytest.mark.parametrize(
        ("fields", "message"),
        [
            ({"temperature": -3}, "temperature must be non-negative, got -3.0. (parameter=temperature, value=-3.0)"),
            ({"temperature": 3}, "temperature must be in [0, 2], got 3.0. (parameter=temperature, value=3.0)"),
            ({"top_p": 1.5}, "top_p must be in (0, 1], got 1.5. (parameter=top_p, value=1.5)"),
            ({"top_k": -2}, "top_k must be 0 (disable), or at least 1, got -2."),
            ({"min_p": 2}, "min_p must be in [0, 1], got 2.0."),
            ({"presence_penalty": 9}, "presence_penalty must be in [-2, 2], got 9.0."),
            ({"frequency_penalty": -9}, "frequency_penalty must be in [-2, 2], got -9.0."),
            ({"repetition_penalty": 0}, "repetition_penalty must be greater than zero, got 0.0."),
            ({"n": 0}, "n must be at least 1, got 0."),
            ({"n": 2, "temperature": 0}, "n must be 1 when using greedy sampling, got 2."),
            ({"min_tokens": -1}, "min_tokens must be greater than or equal to 0, got -1."),
            ({"min_tokens": 5}, "min_tokens must be less than or equal to max_tokens=2, got 5."),
            ({"stop": ["a", ""]}, "stop cannot contain an empty string."),
            ({"bad_words": [""]}, "bad_words cannot contain an empty string. Got bad_words=['']"),
            (
                {"allowed_token_ids": []},
                "allowed_token_ids is not None and empty! (parameter=allowed_token_ids, value=[])",
            ),
        ],
    )
    @pytest.mark.parametrize("route", ["chat", "complete"])
    def test_out_of_range(self, server: Server, route: str, fields: dict[str, Any], message: str) -> None:
        param = message.partition("(parameter=")[2].partition(",")[0] or None
        assert getattr(server, route)(max_tokens=2, **fields).refused(400, "BadRequestError", param) == message

    def test_many_choices(self, server: Server) -> None:
        message = server.complete(n=16_385, max_tokens=1).refused(400, "BadRequestError", None)
        assert message.startswith("n must be at most 16384, got 16385.")

    def test_no_finite_number(self, server: Server) -> None:
        body = b'{"model":"%b","prompt":"x","temperature":Infinity}' % server.model.encode()
        server.post("/v1/completions", body).refused(400, "BadRequestError", "temperature")

    def test_logprobs(self, server: Server) -> None:
        high = "Requested sample logprobs of 21, which is greater than max allowed: 20 (parameter=logprobs, value=21)"
        assert server.complete(logprobs=21).refused(400, "BadRequestError", "logprobs") == high
        assert server.chat(logprobs=True, top_logprobs=21).refused(400, "BadRequestError", "logprobs") == high
        assert server.complete(logprobs=20, max_tokens=1).status == 200
        server.complete(logprobs=-1).refused(400, "BadRequestError", "logprobs")
        low = server.complete(logprobs=-2).refused(400, "BadRequestError", "logprobs")
        assert low == "`logprobs` must be a positive value or -1. (parameter=logprobs, value=-2)"
        server.complete(logprobs="a").refused(400, "BadRequestError", "logprobs")
        server.chat(top_logprobs=2).refused(400, "BadRequestError", "top_logprobs")
        server.complete(prompt_logprobs=1, stream=True).refused(400, "BadRequestError", "prompt_logprobs")

    def test_token_ids_out_of_vocabulary(self, server: Server) -> None:
        for token in (4_000_000, -1):
            message = server.complete(stop_token_ids=[token]).refused(400, "BadRequestError", "stop_token_ids")
            assert message.startswith(f"token_id(s) [{token}] in stop_token_ids contain out-of-vocab token ids.")
        server.chat(logit_bias={"4000000": 1}).refused(400, "BadRequestError", "logit_bias")
        server.chat(logit_bias={"a": 1}).refused(400, "BadRequestError", "logit_bias")
        for prompt in ([4_000_000], [[1], [4_000_000]]):
            message = server.complete(prompt).refused(400, "BadRequestError", None)
            assert message == "Token id 4000000 is out of vocabulary"


class TestPrompts:
    def test_empty(self, server: Server) -> None:
        for prompt in ("", None):
            server.complete(prompt).refused(400, "BadRequestError", "prompt")
        assert server.complete([]).refused(400, "BadRequestError", None)
        for prompt in ([""], ["", "a"], [[]]):
            assert server.complete(prompt).refused(400, "BadRequestError", None) == "The decoder prompt cannot be empty"

    @pytest.mark.parametrize("prompt", [5, True, {}, [1.5], [1, "a"], [[1], "a"], [-1]])
    def test_of_another_kind(self, server: Server, prompt: Any) -> None:
        answer = server.complete(prompt)
        assert answer.status == 400
        place = answer.json["error"]["param"]
        assert place.startswith("body.prompt") or (server.behind and place == "prompt")

    def test_empty_conversation(self, server: Server) -> None:
        message = server.converse([]).refused(400, "BadRequestError", None)
        assert message == "Cannot apply chat template to an empty conversation. Provide at least one message."

    @pytest.mark.parametrize("message", [5, {"content": "x"}, {"role": 5, "content": "x"}, {**USER, "content": None}])
    def test_no_message(self, server: Server, message: Any) -> None:
        answer = server.converse([message])
        assert answer.status == 400
        assert answer.json["error"]["type"] == "Bad Request"
        assert answer.json["error"]["param"].startswith("body.messages")

    def test_no_part_that_can_be_read(self, server: Server) -> None:
        for part in ({"type": "nope", "text": "x"}, {"type": "text", "text": 5}, {"text": "x"}):
            server.converse([{**USER, "content": [part]}]).refused(400, "BadRequestError", None)
        image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
        server.converse([{**USER, "content": [image]}]).refused(400, "BadRequestError", None)

    @pytest.mark.parametrize("stream", [False, True])
    def test_lone_surrogates(self, server: Server, stream: bool) -> None:
        assert server.complete("a\ud800b", max_tokens=1, stream=stream).refused(400, "BadRequestError", None)
        assert server.chat("a\ud800b", max_tokens=1, stream=stream).refused(400, "BadRequestError", None)

    def test_a_template_of_ones_own(self, server: Server) -> None:
        server.chat(chat_template="x").refused(400, "BadRequestError", None)


class TestBodies:
    def test_missing_field(self, server: Server) -> None:
        answer = server.post("/v1/chat/completions", {"model": server.model})
        message = answer.refused(400, "Bad Request", "body.messages")
        assert server.behind or message == (
            "1 validation error:\n"
            "  {'type': 'missing', 'loc': 'body.messages', 'msg': 'Field required', 'input': '<dict of 1 items>'}"
        )

    def test_wrong_types(self, server: Server) -> None:
        server.chat(max_tokens="many").refused(400, "Bad Request", "body.max_tokens")
        message = server.chat(top_k=1.5).refused(400, "Bad Request", "body.top_k")
        assert message == (
            "1 validation error:\n  {'type': 'int_from_float', 'loc': 'body.top_k', 'msg': 'Input should be a valid "
            "integer, got a number with a fractional part', 'input': '1.5'}"
        )
        message = server.chat(stop=5).refused(400, "Bad Request", "body.stop")
        assert message.startswith("2 validation errors:\n  {'type': 'string_type', 'loc': 'body.stop', 'msg':")
        server.complete(seed=2**64).refused(400, "Bad Request", "body.seed")
        server.complete(skip_special_tokens="maybe").refused(400, "Bad Request", "body.skip_special_tokens")
        server.complete(n=None).refused(400, "Bad Request", "body.n")
        server.complete(response_format={"type": "nope"}).refused(400, "Bad Request", "body.response_format.type")

    def test_errors_are_counted_and_ten_of_them_told(self, server: Server) -> None:
        message = server.complete(stop_token_ids=["a"] * 30).refused(400, "Bad Request", "body.stop_token_ids.0")
        assert message.startswith("30 validation errors:\n")
        assert message.endswith("...and 20 more errors")
        assert message.count("\n") == 11

    def test_rules_over_several_fields(self, server: Server) -> None:
        message = server.chat(stream_options={"include_usage": True}).refused(400, "BadRequestError", "stream_options")
        assert message == "Stream options can only be defined when `stream=True`. (parameter=stream_options)"
        server.chat(response_format={"type": "json_schema"}).refused(400, "BadRequestError", "response_format")
        for salt in ("", "a/b", "x" * 129):
            server.complete(cache_salt=salt).refused(400, "BadRequestError", "cache_salt")

    @pytest.mark.parametrize("body", [b"", b"{", b"[]", b"nothing", b"5", b"null", b"\xff\xfe"])
    def test_no_json_object(self, server: Server, body: bytes) -> None:
        for path in ("/v1/chat/completions", "/v1/completions"):
            answer = server.post(path, body)
            assert answer.status == 400
            told = answer.json["error"]
            assert told["type"] == "Bad Request" or (server.behind and told["type"] == "invalid_request_error")

    @direct_only("the gateway's errors always have OpenAI's shape")
    @pytest.mark.parametrize("body", [b'{"prompt":"a\xffb"}', b"[" * 2000])
    def test_a_body_that_the_reader_gives_up(self, server: Server, body: bytes) -> None:
        answer = server.post("/v1/completions", body)
        assert (answer.status, answer.body) == (400, b'{"detail":"There was an error parsing the body"}')

    @direct_only("the gateway doesn't look at the content type, and says to the model server what it is")
    def test_other_content_type(self, server: Server) -> None:
        for kind in ("text/plain", ""):
            answer = server.post("/v1/chat/completions", b"{}", content_type=kind)
            message = answer.refused(400, "Bad Request", None)
            assert message.endswith("Unsupported Media Type: Only 'application/json' is allowed")
        body = b'{"prompt":"a","max_tokens":1}'
        assert server.post("/v1/completions", body, content_type="APPLICATION/JSON; charset=utf-8").status == 200
