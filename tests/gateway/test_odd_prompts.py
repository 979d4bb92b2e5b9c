"""Odd prompts through the running gateway: what is decided, what is sent, and what is refused with which words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.request import Request, Route
from tests.conftest import StartFake, StartGateway
from tests.fakes.client import post
from tests.fakes.gateway import LONG, SHORT, RunningGateway
from tests.fakes.server import FakeServer, answer

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
WORDS = "some words of text, again and again\n"  # 36 bytes


def encoded(**fields: Any) -> bytes:
    return json.dumps({"model": "auto", **fields}).encode()


def user(content: Any, **more: Any) -> dict[str, Any]:
    return {"role": "user", "content": content, **more}


@pytest.fixture
async def pair(fakes: StartFake, serving: StartGateway) -> tuple[RunningGateway, FakeServer, FakeServer]:
    """A gateway with a short pool of 32,768 tokens and a long one of 131,072, threshold 8,192."""
    short, long = await fakes(name=SHORT, window=32_768), await fakes(name=LONG, window=131_072)
    return await serving([short], [long]), short, long


Pair = tuple[RunningGateway, FakeServer, FakeServer]


async def refused(pair: Pair, path: str, body: bytes) -> dict[str, Any]:
    """The error of a 400 for which no model server was asked."""
    gateway, short, long = pair
    found = await gateway.ask(post(path, body))
    assert found.status == 400, found.raw
    assert not short.requests
    assert not long.requests
    return found.error


async def decided(pair: Pair, path: str, **fields: Any) -> tuple[str, int, str]:
    """Model, tokens and reason; the body arrived as it was but for the model's name and what defaults add."""
    gateway, short, long = pair
    found = await gateway.ask(post(path, encoded(**fields)))
    assert found.status == 200, found.raw
    model, tokens, reason = (found.header(b"x-yardstick-" + name) for name in (b"model", b"prompt-tokens", b"reason"))
    seen = (short if model == SHORT.encode() else long).requests[-1]
    sent = json.loads(seen.body)
    assert {name: sent[name] for name in fields if name != "model"} == {
        name: value for name, value in fields.items() if name != "model"
    }
    return model.decode(), int(tokens), reason.decode()


# -- lists and token ids -------------------------------------------------------------------------------------------


async def test_the_largest_prompt_of_a_list_decides(pair: Pair) -> None:
    assert (await decided(pair, COMPLETIONS, prompt=["a", "b"]))[0] == SHORT
    assert (await decided(pair, COMPLETIONS, prompt=[WORDS * 50] * 20))[0] == SHORT  # 36 KB, of 1.8 KB each
    assert (await decided(pair, COMPLETIONS, prompt=["a", WORDS * 5000, "b"]))[0] == LONG


def test_all_prompts_of_a_list_are_the_load() -> None:
    def times(prompt: Any) -> float:
        return Request(Route.COMPLETIONS, encoded(prompt=prompt)).ask(1).times

    assert times("abc") == times(["abc"]) == times([1, 2]) == 1.0
    assert times(["aaaa", "aa", "aa"]) == 2.0
    assert times([[1, 2], [3]]) == 1.5
    assert times(["", ""]) == times([[]]) == 0.0


@pytest.mark.parametrize("prompt", [[1, 2, 3], [[1, 2], [3]], [10**12], [-1]])
async def test_token_ids_need_a_named_model(pair: Pair, prompt: Any) -> None:
    error = await refused(pair, COMPLETIONS, encoded(prompt=prompt))
    assert error["param"] == "prompt"
    assert "name the model instead of `auto`" in error["message"]
    ids = prompt if isinstance(prompt[0], int) else max(prompt, key=len)
    for name in (SHORT, LONG):
        model, tokens, reason = await decided(pair, COMPLETIONS, model=name, prompt=prompt)
        assert (model, tokens, reason) == (name, len(ids), "named-model")


@pytest.mark.parametrize(
    "prompt",
    [
        *([], [1, "a"], ["a", 1], [1, True], [False], [1, 2.0], [1, None], ["a", None], ["a", ["b"]], [[1], "a"]),
        *([[1, True]], [[1.5]], [[[1]]], [{}], {"a": 1}, 5, True, None),
    ],
)
async def test_what_is_no_prompt_is_a_clear_400(pair: Pair, prompt: Any) -> None:
    for model in ("auto", SHORT):
        error = await refused(pair, COMPLETIONS, encoded(model=model, prompt=prompt))
        assert error["param"] == "prompt"
        assert error["type"] == "invalid_request_error"
        assert "'prompt'" in error["message"]


@pytest.mark.parametrize("prompt", [[""], ["", ""], "", [[]], [[], [1]]])
async def test_empty_prompts_are_the_model_servers_to_judge(pair: Pair, prompt: Any) -> None:
    assert (await decided(pair, COMPLETIONS, model=SHORT, prompt=prompt))[0] == SHORT


async def test_a_huge_list(pair: Pair) -> None:
    assert (await decided(pair, COMPLETIONS, prompt=["x"] * 100_000))[0] == SHORT
    ids = await decided(pair, COMPLETIONS, model=LONG, prompt=list(range(100_000)))
    assert ids == (LONG, 100_000, "named-model")


async def test_a_model_servers_400_comes_through(fakes: StartFake, serving: StartGateway) -> None:
    message = {"message": "Token id 999999 is out of vocabulary", "type": "BadRequestError", "param": None, "code": 400}
    body = json.dumps({"error": message}).encode()

    async def script(seen: Any) -> None:
        await seen.wire.send(answer(body, 400))

    gateway = await serving([await fakes(script)])
    found = await gateway.ask(post(COMPLETIONS, encoded(model=SHORT, prompt=[999_999])))
    assert (found.status, found.body) == (400, body)


@pytest.mark.parametrize("prompt", [list(range(100)), [[1], list(range(100))]])
async def test_token_ids_to_the_window(fakes: StartFake, serving: StartGateway, prompt: Any) -> None:
    fake = await fakes(window=1000)
    gateway = await serving([fake])
    fits = await gateway.ask(post(COMPLETIONS, encoded(model=SHORT, prompt=prompt, max_tokens=900)))
    assert fits.status == 200
    found = await gateway.ask(post(COMPLETIONS, encoded(model=SHORT, prompt=prompt, max_tokens=901)))
    assert (found.status, found.error["code"], found.error["param"]) == (400, "context_length_exceeded", "prompt")
    assert "1001 tokens (100 in the prompt, 901 for the completion)" in found.error["message"]
    assert len(fake.requests) == 1


# -- content parts, images -----------------------------------------------------------------------------------------

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "iVBORw0KGgoAAAANSUhEUgAA" * 20}}
MEDIA = [
    IMAGE,
    {"type": "image_url", "image_url": {"url": "https://example.org/a.png"}},
    {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
    {"type": "video_url", "video_url": {"url": "https://example.org/a.mp4"}},
    {"type": "audio_url", "audio_url": {"url": "https://example.org/a.mp3"}},
    {"type": "input_image", "image_url": "https://example.org/a.png"},
    {"type": "image_embeds", "image_embeds": "AAAA"},
    {"type": "file", "file": {"file_id": "x"}},
    {"image_url": "https://example.org/a.png"},
]


@pytest.mark.parametrize("part", MEDIA)
@pytest.mark.parametrize("model", ["auto", SHORT, LONG])
async def test_media_is_refused_with_its_place(pair: Pair, part: Any, model: str) -> None:
    parts = [{"type": "text", "text": "What is this?"}, part]
    error = await refused(pair, CHAT, encoded(model=model, messages=[user("hello"), user(parts)]))
    assert error["param"] == "messages[1].content[1]"
    assert error["code"] == "unsupported_content"
    assert "text only" in error["message"]
    assert repr(part.get("type", "image_url")) in error["message"]


async def test_a_large_image_is_no_long_prompt(pair: Pair) -> None:
    """3 MB of base64 are refused as an image, not counted as 3 MB of text."""
    part = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "iVBORw0KGgoAAAANSUhEUgAA" * 125_000}}
    error = await refused(pair, CHAT, encoded(messages=[user([{"type": "text", "text": "See"}, part])]))
    assert (error["code"], error["param"]) == ("unsupported_content", "messages[0].content[1]")


async def test_text_about_images_is_text(pair: Pair) -> None:
    about = '{"content": [{"type": "image_url", "image_url": {"url": "x"}}]}'
    for content in (about, [{"type": "text", "text": about}], [about], [{"type": "text", "text": "image_url"}]):
        assert (await decided(pair, CHAT, messages=[user(content)]))[0] == SHORT
    assert (await decided(pair, CHAT, messages=[user(about)], file="image_url"))[0] == SHORT
    for size in (30_000, 60_000):
        assert (await decided(pair, CHAT, messages=[user("A1b2" * (size // 4) + about)]))[0]


async def test_parts_that_are_not_known_are_the_model_servers_to_refuse(pair: Pair) -> None:
    for part in ({"type": "hologram"}, {}, 5, None, {"type": 7}, {"type": "text", "text": None}, {"type": "text"}):
        assert (await decided(pair, CHAT, messages=[user([part])]))[0] == SHORT


# -- tools ---------------------------------------------------------------------------------------------------------


async def test_tool_definitions_are_part_of_the_prompt(pair: Pair) -> None:
    def tools(count: int) -> list[dict[str, Any]]:
        return [{"type": "function", "function": {"name": f"f{at}", "description": WORDS * 10}} for at in range(count)]

    # Printed with "none" too; any other choice goes to the model that calls tools, however long it is.
    assert (await decided(pair, CHAT, messages=[user("x")], tools=tools(5), tool_choice="none"))[0] == SHORT
    assert (await decided(pair, CHAT, messages=[user("x")], tools=tools(300), tool_choice="none"))[0] == LONG


@pytest.mark.parametrize("tools", [[], None, {}, [1], [{}], [{"function": None}], "x", [{"type": "retrieval"}]])
async def test_odd_tools_are_the_model_servers_to_judge(pair: Pair, tools: Any) -> None:
    assert (await decided(pair, CHAT, messages=[user("x" * 30_000)], tools=tools))[0] in (SHORT, LONG)


# -- what cuts and what adds ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "field", "wrap"),
    [
        (CHAT, "messages", lambda text: [user(text)]),
        (COMPLETIONS, "prompt", str),
        (COMPLETIONS, "prompt", lambda t: [t]),
    ],
)
async def test_a_prompt_that_is_cut_is_as_long_as_what_is_left(pair: Pair, path: str, field: str, wrap: Any) -> None:
    large, huge = wrap(WORDS * 12_000), wrap(WORDS * 25_000)  # about 100 K and 200 K tokens
    model, tokens, _ = await decided(pair, path, **{field: large}, truncate_prompt_tokens=4096)
    assert (model, tokens) == (SHORT, 4096)
    assert (await decided(pair, path, **{field: large}, truncate_prompt_tokens=20_000))[0] == LONG
    assert (await decided(pair, path, **{field: huge}, truncate_prompt_tokens=100_000, max_tokens=9))[0] == LONG
    # -1 stands for the window: nothing is too long for it, and a long prompt is still for the long model.
    assert (await decided(pair, path, **{field: huge}, truncate_prompt_tokens=-1))[0] == LONG
    assert (await decided(pair, path, **{field: large}, truncate_prompt_tokens=-1, model=SHORT))[0] == SHORT
    assert (await decided(pair, path, **{field: wrap("x")}, truncate_prompt_tokens=-1))[0] == SHORT
    # The model server refuses to cut to more than its window, however short the prompt is.
    assert (await decided(pair, path, **{field: wrap("x")}, truncate_prompt_tokens=40_000))[0] == LONG


async def test_token_ids_are_cut_too(pair: Pair) -> None:
    cut = {"prompt": list(range(50_000)), "truncate_prompt_tokens": 100, "model": SHORT}
    assert (await decided(pair, COMPLETIONS, **cut))[:2] == (SHORT, 100)
    assert (await decided(pair, COMPLETIONS, **{**cut, "truncate_prompt_tokens": -1}))[:2] == (SHORT, 32_768)


@pytest.mark.parametrize("cut", [0, -2, 10**30, True, 1.5, "4", None, []])
async def test_what_cuts_nothing_changes_nothing(pair: Pair, cut: Any) -> None:
    assert (await decided(pair, CHAT, messages=[user("x")], truncate_prompt_tokens=cut))[0] in (SHORT, LONG)
    if cut != 10**30:
        assert (await decided(pair, CHAT, messages=[user(WORDS * 5000)], truncate_prompt_tokens=cut))[0] == LONG


@pytest.mark.parametrize("name", ["messages", "tools", "conversation", "chat_template", "tokenize"])
async def test_template_options_cannot_replace_what_was_counted(pair: Pair, name: str) -> None:
    error = await refused(
        pair, CHAT, encoded(messages=[user("x")], chat_template_kwargs={"enable_thinking": 1, name: []})
    )
    assert error["param"] == "chat_template_kwargs"
    assert repr(name) in error["message"]


@pytest.mark.parametrize("options", [[], "x", 5, True, [1]])
async def test_template_options_are_an_object(pair: Pair, options: Any) -> None:
    error = await refused(pair, CHAT, encoded(messages=[user("x" * 20_000)], chat_template_kwargs=options))
    assert (error["param"], error["code"]) == ("chat_template_kwargs", "invalid_type")


async def test_harmless_options_pass(pair: Pair) -> None:
    for options in (None, {}, {"enable_thinking": False, "add_generation_prompt": False}):
        assert (await decided(pair, CHAT, messages=[user("x")], chat_template_kwargs=options))[0] == SHORT


async def test_a_template_of_the_clients_is_refused(pair: Pair) -> None:
    error = await refused(pair, CHAT, encoded(messages=[user("x")], chat_template="{{ messages }}"))
    assert error["param"] == "chat_template"


# -- duplicate keys ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second"),
    [("model", "model"), ("messages", "mess\\u0061ges"), ("max_tokens", "\\u006dax_tokens"), ("", "")],
)
async def test_a_key_that_comes_twice_is_refused_in_any_spelling(pair: Pair, first: str, second: str) -> None:
    for padding in ("", "x" * 20_000):
        rest = {"model": "auto", "messages": [user(padding)], "max_tokens": 5, "": 1}
        members = [f"{json.dumps(key)}: {json.dumps(value)}" for key, value in rest.items()]
        body = "{" + ", ".join([*members, f'"{second}": {json.dumps(rest[first])}']) + "}"
        assert (await refused(pair, CHAT, body.encode()))["code"] == "duplicate_key"


async def test_keys_within_messages_are_the_model_servers_business(pair: Pair) -> None:
    gateway, short, _ = pair
    body = b'{"model":"auto","messages":[{"role":"user","content":"a","content":"b"}]}'
    assert (await gateway.ask(post(CHAT, body))).status == 200
    assert b'"content":"a","content":"b"' in short.requests[-1].body


# -- text and shapes -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 20_000])
async def test_lone_surrogates_are_no_text(pair: Pair, size: int) -> None:
    for path, body in (
        (CHAT, b'{"model":"auto","messages":[{"role":"user","content":"%b"}]}'),
        (COMPLETIONS, b'{"model":"auto","prompt":["%b"]}'),
    ):
        error = await refused(pair, path, body % (b"\\ud800" * size))
        assert error["code"] == "invalid_json"
        assert "surrogate" in error["message"]


@pytest.mark.parametrize("run", [" ", "a", "\n", "代", "\u0301", "\x00"])
async def test_a_body_full_of_one_character_goes_long_at_once(pair: Pair, run: str) -> None:
    gateway, _, long = pair
    size = 3_900_000 // len(json.dumps(run, ensure_ascii=False).encode()[1:-1])
    body = json.dumps({"model": "auto", "messages": [user(run * size)]}, ensure_ascii=False).encode()
    found = await gateway.ask(post(CHAT, body))
    assert found.status in (200, 400), found.raw[:500]
    assert found.status == 200 or found.error["code"] == "context_length_exceeded"
    assert len(long.requests) == (found.status == 200)


async def test_more_than_the_body_limit_is_a_413(pair: Pair) -> None:
    gateway, _, _ = pair
    found = await gateway.ask(post(CHAT, encoded(messages=[user(" " * 9_000_000)])))
    assert (found.status, found.error["code"]) == (413, "request_too_large")


@pytest.mark.parametrize(
    "messages",
    [
        [],
        {},
        "x",
        [1],
        [{}],
        [{"role": "user"}],
        [{"content": "x"}],
        [{"role": 5, "content": "x"}],
        [user(5)],
        [user({"type": "text", "text": "x"})],
        [{"role": "critic", "content": "x"}],
        [user("x"), {"role": "system", "content": "y"}],
        [{"role": "developer", "content": "x"}],
        [user("x", name="Ada")],
        [{"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}],
        [{"role": "assistant", "tool_calls": "x"}, {"role": "tool", "content": [{"type": "text", "text": "y"}]}],
    ],
)
async def test_odd_messages_reach_the_model_server_whatever_counts_them(
    fakes: StartFake, serving: StartGateway, messages: Any
) -> None:
    fake = await fakes()
    for exact in ("near", "always"):
        gateway = await serving([fake], routing={"exact": exact})
        found = await gateway.ask(post(CHAT, encoded(messages=messages)))
        assert found.status == 200
        assert json.loads(fake.requests[-1].body)["messages"] == messages


# -- max_tokens ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
async def test_max_tokens_and_the_windows(pair: Pair, name: str) -> None:
    async def model(value: Any) -> str:
        return (await decided(pair, CHAT, messages=[user("x")], **{name: value}))[0]

    assert await model(None) == SHORT
    assert await model(0) == SHORT  # the model server's to refuse
    assert await model(30_000) == SHORT
    assert await model(32_768) == LONG
    assert await model(131_000) == LONG


@pytest.mark.parametrize("value", [131_072, 10**9, 10**30])
async def test_max_tokens_beyond_every_window(pair: Pair, value: int) -> None:
    error = await refused(pair, CHAT, encoded(messages=[user("x")], max_tokens=value))
    assert error["code"] == "context_length_exceeded"


@pytest.mark.parametrize("value", [1.0, 1.5, True, "5", [], -1])
async def test_max_tokens_is_a_whole_number(pair: Pair, value: Any) -> None:
    error = await refused(pair, CHAT, encoded(messages=[user("x")], max_tokens=value))
    assert error["param"] == "max_tokens"
