"""Prompts and answers that do not fit the window of a vLLM 0.32 server. Part of the contract (see test_contract.py).

An answer is shortened to what the window leaves; refused is only a prompt that leaves nothing, and a limit beyond the
window itself.
"""

from __future__ import annotations

from typing import Any

import pytest

from .contract import Server, direct_only

TOO_LONG = "the gateway says by how much a prompt is too long, and refuses answers that don't fit behind it"


def prompt_of(server: Server, tokens: int) -> list[int]:
    (letter,) = server.tokens("a")
    return [letter] * tokens


@direct_only(TOO_LONG)
class TestPromptTooLong:
    @pytest.mark.parametrize("stream", [False, True])
    def test_a_text_is_json_even_for_a_stream(self, server: Server, stream: bool) -> None:
        """The number is a floor: the tokenizer stops one token behind the window."""
        window = server.window
        message = (
            f"This model's maximum context length is {window} tokens. However, your prompt contains at least "
            f"{window + 1} input tokens, which exceeds this limit even without any output tokens. Please reduce the "
            f"length of the input prompt. (parameter=input_tokens, value={window + 1})"
        )
        long = "x y " * window
        for answer in (server.chat(long, max_tokens=4, stream=stream), server.complete(long, stream=stream)):
            assert answer.refused(400, "BadRequestError", "input_tokens") == message

    def test_token_ids_are_counted(self, server: Server) -> None:
        answer = server.complete(prompt_of(server, server.window + 20), max_tokens=1)
        message = answer.refused(400, "BadRequestError", "input_tokens")
        assert f"your prompt contains {server.window + 20} input tokens" in message

    def test_a_text_that_cannot_fit_is_not_even_tokenized(self, server: Server) -> None:
        message = server.complete("x y " * 2_000_000).refused(400, "BadRequestError", "input_text")
        assert "your prompt contains 8000000 characters (more than " in message

    def test_one_of_several(self, server: Server) -> None:
        answer = server.complete(["x", "x y " * server.window], max_tokens=1)
        answer.refused(400, "BadRequestError", "input_tokens")


class TestLimits:
    @direct_only(TOO_LONG)
    @pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
    def test_beyond_the_window(self, server: Server, name: str) -> None:
        limit = server.window + 1
        message = server.chat(**{name: limit}).refused(400, "BadRequestError", name)
        assert message == (
            f"{name}={limit} cannot be greater than max_model_len={limit - 1}. Please request fewer output tokens. "
            f"(parameter={name}, value={limit})"
        )

    @pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
    @pytest.mark.parametrize("limit", [0, -1])
    def test_below_one(self, server: Server, name: str, limit: int) -> None:
        message = server.chat(**{name: limit}).refused(400, "BadRequestError", "max_tokens")
        assert server.behind or message == (
            f"max_tokens must be at least 1, got {limit}. (parameter=max_tokens, value={limit})"
        )

    def test_completions_too(self, server: Server) -> None:
        server.complete(max_tokens=0).refused(400, "BadRequestError", "max_tokens")
        server.complete(max_tokens=-1).refused(400, "BadRequestError", "max_tokens")


class TestShortened:
    @direct_only(TOO_LONG)
    @pytest.mark.parametrize("fields", [{"max_tokens": 30}, {}])
    def test_completions_get_what_is_left(self, server: Server, fields: dict[str, Any]) -> None:
        prompt = prompt_of(server, server.window - 5)
        usage = server.complete(prompt, ignore_eos=True, **fields).json["usage"]
        assert usage["completion_tokens"] == 5

    @direct_only(TOO_LONG)
    @pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
    def test_chats_too(self, server: Server, name: str) -> None:
        text = " ".join(["x"] * 4000)
        fields = {"ignore_eos": True, name: server.window}
        usage = self._filled(server, text, **fields)
        assert usage["prompt_tokens"] + usage["completion_tokens"] == server.window

    def test_a_chat_without_a_limit_gets_the_window(self, server: Server) -> None:
        usage = self._filled(server, " ".join(["x"] * 4000), ignore_eos=True)
        assert usage["prompt_tokens"] + usage["completion_tokens"] == server.window

    def _filled(self, server: Server, text: str, **fields: Any) -> dict[str, int]:
        """The usage of a chat whose prompt leaves at most a hundred tokens."""
        messages = [{"role": "user", "content": text}]
        while (over := server.engine.post("/tokenize", {"messages": messages}).json["count"] - server.window + 1) > 0:
            text = text[: -4 * over]
            messages = [{"role": "user", "content": text}]
        answer = server.converse(messages, **fields)
        assert answer.status == 200, answer.body
        return dict(answer.json["usage"])

    @direct_only(TOO_LONG)
    @pytest.mark.parametrize("stream", [False, True])
    def test_nothing_is_left(self, server: Server, stream: bool) -> None:
        prompt = prompt_of(server, server.window)
        for fields in ({"max_tokens": 1}, {}):
            message = server.complete(prompt, stream=stream, **fields).refused(400, "BadRequestError", "max_tokens")
            assert message == "max_tokens must be at least 1, got 0. (parameter=max_tokens, value=0)"

    @direct_only(TOO_LONG)
    def test_a_mere_echo_needs_a_place_too(self, server: Server) -> None:
        answer = server.complete(prompt_of(server, server.window), echo=True, max_tokens=0)
        message = answer.refused(400, "BadRequestError", None)
        assert message.startswith(f"The decoder prompt (length {server.window}) plus the number of requested output")


class TestTruncated:
    def test_to_a_number(self, server: Server) -> None:
        usage = server.complete("x y " * 4000, truncate_prompt_tokens=7, max_tokens=1).json["usage"]
        assert usage["prompt_tokens"] == 7

    def test_to_the_window(self, server: Server) -> None:
        usage = server.complete("x y " * 4000, truncate_prompt_tokens=-1, max_tokens=5).json["usage"]
        assert (usage["prompt_tokens"], usage["completion_tokens"]) == (server.window - 1, 1)

    def test_refusals(self, server: Server) -> None:
        answer = server.complete("x", truncate_prompt_tokens=server.window + 1, max_tokens=1)
        answer.refused(400, "BadRequestError", "truncate_prompt_tokens")
        server.complete("x", truncate_prompt_tokens=-2).refused(400, "Bad Request", "body.truncate_prompt_tokens")
