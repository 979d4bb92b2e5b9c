"""A pool's lengths: three sources, learning, and what clients send."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.families import MODELS, render
from gateway.tokens import Tokens
from gateway.tokens.prompt import CHAT, COMPLETIONS
from routing.length import Count, Counted

CODEGEEX = MODELS["codegeex4-all-9b"]
IQUEST = MODELS["iquest-coder-v1-40b-loop-instruct"]
EXACT = Count("any", 1_000_000)
CODE = "def function(argument):\n    return argument + 1\n\n"


def raws(**fields):
    return {name: json.dumps(value).encode() for name, value in fields.items()}


def chat(content, **fields):
    return raws(messages=[{"role": "user", "content": content}], **fields)


class TestOwnTokenizer:
    @pytest.fixture
    def tokens(self, trained, workers):
        return Tokens(CODEGEEX, workers, counter=trained.counter)

    async def test_counts_what_the_template_prints(self, tokens, trained):
        text = render(CODEGEEX, {"messages": [{"role": "user", "content": CODE}]})
        assert await tokens.count(CHAT, chat(CODE), EXACT) == Counted(trained.exact(text), complete=True)

    async def test_a_special_token_in_content_is_one_token(self, tokens):
        plain = await tokens.count(CHAT, chat("a b"), EXACT)
        special = await tokens.count(CHAT, chat("a<|user|> b"), EXACT)
        assert special.tokens == plain.tokens + 1

    async def test_of_a_list_the_longest(self, tokens, trained):
        prompts = ["x", CODE * 3, "one two"]
        found = await tokens.count(COMPLETIONS, raws(prompt=prompts), EXACT)
        assert found.tokens == trained.exact(CODE * 3)
        assert (await tokens.count(COMPLETIONS, raws(prompt=[1, 2, 3]), EXACT)).tokens == 3
        assert (await tokens.count(COMPLETIONS, raws(prompt=[[1, 2, 3], [1]]), EXACT)).tokens == 3

    async def test_a_cut_prompt_is_as_long_as_the_cut(self, tokens):
        found = await tokens.count(COMPLETIONS, raws(prompt=CODE * 500, truncate_prompt_tokens=100), EXACT)
        assert found == Counted(100, complete=True)
        over = await tokens.count(COMPLETIONS, raws(prompt=CODE * 500, truncate_prompt_tokens=3000), Count("any", 50))
        assert over.tokens > 50

    async def test_what_cannot_be_read_is_estimated(self, tokens):
        for broken in (raws(messages="x"), {"messages": b"[{}]"}, {"messages": b'[{"role":"user","content":5}]'}):
            assert (await tokens.count(CHAT, broken, EXACT)).estimated
        assert (await tokens.count(COMPLETIONS, raws(prompt={"a": 1}), EXACT)).estimated

    async def test_lone_surrogates_are_counted(self, tokens):
        for body in ({"messages": b'[{"role":"user","content":"a\\ud800b"}]'},):
            found = await tokens.count(CHAT, body, EXACT)
            assert found.estimated or found.complete

    async def test_an_estimate_will_do_only_where_it_is_decisive(self, tokens, trained):
        text = CODE * 2000
        exact = trained.exact(render(CODEGEEX, {"messages": [{"role": "user", "content": text}]}))
        above = await tokens.count(CHAT, chat(text), Count("any", exact // 2, 0, exact // 2))
        assert above.estimated
        assert abs(above.tokens - exact) < 0.05 * exact
        below = await tokens.count(CHAT, chat(text), Count("any", exact * 2, exact, None))
        assert below.estimated or below == Counted(exact, complete=True)
        near = await tokens.count(CHAT, chat(text), Count("any", exact, int(0.95 * exact), int(1.05 * exact)))
        assert near == Counted(exact, complete=True)
        only_a_count = await tokens.count(CHAT, chat(text), Count("any", exact * 2))
        assert only_a_count == Counted(exact, complete=True)

    @given(st.lists(st.text(max_size=20), min_size=1, max_size=8), st.booleans())
    @settings(max_examples=60, deadline=None)
    def test_the_bound_is_never_below_the_count(self, trained, workers, texts, ascii_only):
        for model in MODELS.values():
            tokens = Tokens(model, workers, counter=trained.counter)
            messages = [{"role": "user", "content": text} for text in texts]
            raw = json.dumps(messages, ensure_ascii=ascii_only, separators=(",", ":")).encode("utf-8", "surrogatepass")
            found = asyncio.run(tokens.count(CHAT, {"messages": raw}, EXACT))
            if found.complete:
                assert found.tokens <= tokens.expansion * len(raw) + tokens.overhead


class TestModelServer:
    """The model server's `/tokenize`, as vLLM answers it."""

    def pool(self, workers, status, answer):
        asked = []

        async def remote(body):
            asked.append(json.loads(body))
            return status, answer if isinstance(answer, bytes) else json.dumps(answer).encode()

        return Tokens(IQUEST, workers, remote=remote), asked

    async def test_is_asked_with_what_decides_the_prompt(self, workers):
        tokens, asked = self.pool(workers, 200, {"count": 38, "max_model_len": 131072, "tokens": []})
        fields = chat("hello", tools=[{"x": 1}], chat_template_kwargs={"a": 1}, temperature=1.0)
        assert await tokens.count(CHAT, fields, EXACT) == Counted(38, complete=True)
        assert asked == [
            {"messages": [{"role": "user", "content": "hello"}], "tools": [{"x": 1}], "chat_template_kwargs": {"a": 1}}
        ]

    async def test_prompts_of_a_list_one_by_one(self, workers):
        tokens, asked = self.pool(workers, 200, {"count": 5})
        assert (await tokens.count(COMPLETIONS, raws(prompt=["a", "bbb"]), EXACT)).tokens == 5
        assert asked == [{"prompt": "bbb", "add_special_tokens": True}, {"prompt": "a", "add_special_tokens": True}]

    @pytest.mark.parametrize(
        ("status", "answer"),
        [(500, {}), (200, b"oops"), (200, {"count": "9"}), (200, {}), (404, b""), (200, {"count": 24}), (200, [])],
    )
    async def test_nonsense_is_answered_with_an_estimate(self, workers, status, answer):
        tokens, _ = self.pool(workers, status, answer)
        before = tokens.bytes_per_token
        found = await tokens.count(CHAT, chat("x" * 400_000), EXACT)
        assert found.estimated
        assert found.tokens == pytest.approx(400_000 / before, rel=0.01)
        assert tokens.bytes_per_token == before

    async def test_a_server_that_fails_is_answered_with_an_estimate(self, workers):
        async def remote(body):
            raise ConnectionResetError

        assert (await Tokens(IQUEST, workers, remote=remote).count(CHAT, chat("x"), EXACT)).estimated


class TestLearning:
    def test_moves_toward_what_is_seen(self, workers):
        tokens = Tokens(IQUEST, workers)
        for _ in range(500):
            tokens.learn(30_000, 10_000)
        assert tokens.bytes_per_token == pytest.approx(3.0, abs=0.1)

    @pytest.mark.parametrize(
        ("size", "count"), [(400_000, 24), (400_000, 0), (400_000, 400_000), (2000, 1000), (9000, -1)]
    )
    def test_ignores_what_cannot_be_true_or_says_little(self, workers, size, count):
        tokens = Tokens(IQUEST, workers)
        for _ in range(500):
            tokens.learn(size, count)
        assert tokens.bytes_per_token == IQUEST.bytes_per_token

    async def test_without_any_source_everything_is_estimated(self, workers):
        tokens = Tokens(IQUEST, workers)
        assert tokens.source == "estimate"
        assert (await tokens.count(CHAT, chat("hello"), EXACT)).estimated


def test_training_twice_gives_the_same_file(tmp_path):
    from gateway.tokens import demo

    seen = []
    first = demo.train(tmp_path / "one" / "a.json", seen.append, corpus_bytes=200_000)
    second = demo.train(tmp_path / "b.json", corpus_bytes=200_000)
    assert first.read_bytes() == second.read_bytes()
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert not list(tmp_path.rglob("*.part"))
