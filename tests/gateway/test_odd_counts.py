"""What the gateway counts is what the model server says it was: `usage.prompt_tokens`, for every kind of prompt."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, processors

from gateway.config import Config
from gateway.tokens import demo
from tests.fakes.client import post
from tests.fakes.gateway import LONG, SHORT, RunningGateway, running
from tests.fakes.odd_prompts import CHATS, TEXTS, WORDS, called, text, user

CHAT, COMPLETIONS = "/v1/chat/completions", "/v1/completions"
_SERVE = (
    "import sys; from gateway.engines.simulated.app import run; from gateway.engines.simulated.settings import *; "
    "run(SimulatedSettings.model_validate_json(sys.argv[1]))"
)
WINDOW = 2048


@pytest.fixture(scope="module", params=["demo", "glm4", "codegeex-13b"])
def tokenizer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    if request.param == "demo":
        return _with_start_token(demo.train(path, corpus_bytes=300_000))
    folder = os.environ.get("YARDSTICK_TEST_DATA")
    if not folder:
        pytest.skip("YARDSTICK_TEST_DATA is not set: no real tokenizer")
    path.write_bytes(gzip.decompress((Path(folder) / "tokenizers" / request.param / "tokenizer.json.gz").read_bytes()))
    return path


def _with_start_token(path: Path) -> Path:
    """Makes the tokenizer put a token in front of a bare prompt, which `add_special_tokens` is about."""
    tokenizer = Tokenizer.from_file(str(path))
    start = tokenizer.token_to_id("<s>")
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", start)])
    tokenizer.save(str(path))
    return path


@pytest.fixture(scope="module")
def servers(tokenizer: Path) -> Iterator[dict[str, str]]:
    """The addresses of a simulated model server of each family."""
    processes = [_start(model, tokenizer) for model in (SHORT, LONG)]
    try:
        yield {model: _address(process) for model, process in zip((SHORT, LONG), processes, strict=True)}
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.communicate(timeout=20)


def _start(model: str, tokenizer: Path) -> subprocess.Popen[str]:
    given = {"model": model, "port": 0, "window": WINDOW, "tokenizer": str(tokenizer), "tool_parser": True}
    arguments = [sys.executable, "-c", _SERVE, json.dumps({**given, "time_scale": 1e-6})]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)


def _address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    found = re.search(r"http://\S+:\d+", process.stdout.readline())
    assert found, "the server says no address"
    return found.group()


@pytest.fixture
async def counting(servers: dict[str, str], tokenizer: Path) -> AsyncIterator[RunningGateway]:
    """A gateway that counts every prompt with the servers' own tokenizer."""
    pools = [
        {"model": model, "endpoints": [{"url": url}], "tokenizer": str(tokenizer)} for model, url in servers.items()
    ]
    routing = {"short": SHORT, "long": LONG, "exact": "always", "threshold": 256}
    async with running(Config.model_validate({"pools": pools, "routing": routing})) as gateway:
        yield gateway
        for endpoint in gateway.endpoints():
            for connection in endpoint.idle:
                connection.close()
        await asyncio.sleep(0)  # closed connections are told so in the loop's next turn


async def counts(gateway: RunningGateway, path: str, body: dict[str, Any]) -> tuple[int, Any, Any]:
    """Status, the gateway's count and the model server's; of a refusal None and the error."""
    found = await gateway.ask(post(path, json.dumps({"max_tokens": 1, **body}).encode()))
    if found.status != 200:
        return found.status, None, found.body
    assert found.header(b"x-yardstick-counted") == b"counted"
    counted = found.header(b"x-yardstick-prompt-tokens")
    return 200, int(counted), json.loads(found.body)["usage"]["prompt_tokens"]


async def test_every_kind_of_prompt_is_counted_as_the_model_server_does(counting: RunningGateway) -> None:
    wrong = {}
    for path, cases in ((CHAT, CHATS), (COMPLETIONS, TEXTS)):
        for model in (SHORT, LONG):
            for name, body in cases.items():
                status, ours, theirs = await counts(counting, path, {"model": model, **body})
                if status != 200 or ours != theirs:
                    wrong[path, model, name] = (status, ours, theirs)
    assert wrong == {}


@pytest.mark.parametrize("route", [CHAT, COMPLETIONS])
async def test_the_window_to_the_token(counting: RunningGateway, route: str) -> None:
    """Prompt and answer together may fill the window, and no token more."""
    cases = {"parts": CHATS["parts"], "tools": CHATS["tools"]} if route == CHAT else {}
    if route == COMPLETIONS:
        cases = {"text": TEXTS["text"], "list": {"prompt": ["a", "some longer text"]}, "ids": TEXTS["ids"]}
        cases["lists of ids"] = {"prompt": [[1], [1, 2, 3, 4, 5, 6]]}
        cases["cut"] = TEXTS["cut"]
    for model in (SHORT, LONG):
        for name, body in cases.items():
            alone = {"prompt": max(body["prompt"], key=len)} if "list" in name else {}
            status, size, _ = await counts(counting, route, {"model": model, **body, **alone})
            assert status == 200, name
            fitting = {"model": model, "min_tokens": 0, **body, "max_tokens": WINDOW - size}
            status, counted, _ = await counts(counting, route, fitting)
            assert (status, counted) == (200, size), name
            status, _, error = await counts(counting, route, {**fitting, "max_tokens": WINDOW - size + 1})
            assert status == 400, name
            if json.loads(error)["error"]["code"] != "context_length_exceeded":
                pytest.fail(f"{name}: {error!r}")


@pytest.mark.parametrize("tokenizer", ["demo"], indirect=True)
async def test_special_tokens_are_added_as_asked(counting: RunningGateway) -> None:
    """By default around a bare prompt and not around a chat, whose template has printed them."""
    for path, body, default in ((CHAT, {"messages": [user("x")]}, 0), (COMPLETIONS, {"prompt": "x"}, 1)):
        sizes = []
        for asked in ({"add_special_tokens": False}, {"add_special_tokens": True}, {}):
            status, ours, theirs = await counts(counting, path, {"model": SHORT, **body, **asked})
            assert (status, ours) == (200, theirs)
            sizes.append(ours)
        assert [size - sizes[0] for size in sizes] == [0, 1, default]


words = st.sampled_from(WORDS)
contents = st.lists(words, max_size=12).map("".join)
parts = st.lists(
    st.one_of(contents, contents.map(text), st.just(text(None)), contents.map(lambda value: text(value, "refusal"))),
    max_size=4,
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), contents),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(contents, inner, max_size=3)),
    max_leaves=6,
)
arguments = st.one_of(st.dictionaries(contents, values, max_size=2).map(json.dumps), contents, st.just("[]"))
messages = st.lists(
    st.one_of(
        st.builds(
            lambda role, content: {"role": role, "content": content},
            st.sampled_from(["system", "user", "assistant", "tool", "developer", "critic"]),
            st.one_of(contents, parts),
        ),
        st.just({"role": "assistant", "content": None}),
        st.builds(called, arguments),
    ),
    max_size=6,
)
tools = st.lists(
    st.builds(
        lambda name, function: {"type": "function", "function": {"name": name, **function}},
        contents,
        st.fixed_dictionaries(
            {}, optional={"description": contents, "parameters": st.dictionaries(contents, values, max_size=2)}
        ),
    ),
    min_size=1,
    max_size=2,
)
options = st.fixed_dictionaries(
    {},
    optional={
        "tools": tools,
        "add_special_tokens": st.booleans(),
        "add_generation_prompt": st.booleans(),
        "truncate_prompt_tokens": st.integers(1, 60),
        "chat_template_kwargs": st.just({"enable_thinking": False}),
    },
)
random_bodies = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@given(conversation=messages, more=options, model=st.sampled_from([SHORT, LONG, "auto"]), ascii_only=st.booleans())
@random_bodies
async def test_any_chat_is_counted_as_the_model_server_does_and_bounded(
    counting: RunningGateway, conversation: Any, more: Any, model: str, ascii_only: bool
) -> None:
    body = {"model": model, "messages": conversation, "max_tokens": 1, "tool_choice": "none", **more}
    raw = json.dumps(body, ensure_ascii=ascii_only).encode()
    found = await counting.ask(post(CHAT, raw))
    if found.status != 200:
        assert found.status == 400
        # The gateway's own, or a refusal of the model server that came through.
        assert found.json["error"]["code"] in ("context_length_exceeded", 400), found.body
        return
    usage = json.loads(found.body)["usage"]["prompt_tokens"]
    assert found.header(b"x-yardstick-counted") == b"counted"
    if model != "auto":
        assert int(found.header(b"x-yardstick-prompt-tokens")) == usage
    _bounded(counting, raw, found.header(b"x-yardstick-model").decode(), usage)


def _bounded(gateway: RunningGateway, raw: bytes, model: str, usage: int) -> None:
    from gateway.request import Request, Route

    ask, facts = Request(Route.CHAT, raw).ask(1), gateway.gateway.pools[model].facts
    assert facts.expansion is not None
    assert usage <= facts.expansion * ask.text_bytes + facts.overhead


@pytest.mark.parametrize("tokenizer", ["demo"], indirect=True)
async def test_of_a_list_the_largest_is_counted_and_all_are_served(counting: RunningGateway) -> None:
    prompts = ["abc", "x = 1\n" * 50, "é" * 120]
    sizes = [(await counts(counting, COMPLETIONS, {"model": SHORT, "prompt": prompt}))[1] for prompt in prompts]
    status, ours, theirs = await counts(counting, COMPLETIONS, {"model": SHORT, "prompt": prompts})
    assert (status, ours, theirs) == (200, max(sizes), sum(sizes))


@pytest.mark.parametrize("tokenizer", ["demo"], indirect=True)
@pytest.mark.parametrize(
    ("path", "body", "words"),
    [
        (COMPLETIONS, {"prompt": [10**7]}, "out of vocabulary"),
        (COMPLETIONS, {"prompt": [-1]}, "greater than or equal to 0"),
        (COMPLETIONS, {"prompt": [[]]}, "cannot be empty"),
        (COMPLETIONS, {"prompt": "x", "truncate_prompt_tokens": -2}, "greater than or equal to -1"),
        (COMPLETIONS, {"prompt": "x", "truncate_prompt_tokens": 0}, "cannot be empty"),
        (CHAT, {"messages": [user("x")], "truncate_prompt_tokens": WINDOW + 1}, "smaller truncation size"),
        (CHAT, {"messages": [user("x")], "tools": []}, "must not be an empty array"),
        (CHAT, {"messages": [user("x")], "continue_final_message": True}, "add_generation_prompt"),
        (CHAT, {"messages": [user([{"type": "hologram"}])]}, "hologram"),
        (CHAT, {"messages": [{"content": "x"}]}, "role"),
        (CHAT, {"messages": [user("x")], "max_tokens": 0}, "at least 1"),
    ],
)
async def test_what_the_model_server_refuses_comes_through(
    counting: RunningGateway, path: str, body: dict[str, Any], words: str
) -> None:
    status, _, error = await counts(counting, path, {"model": SHORT, **body})
    assert status == 400
    assert words in json.loads(error)["error"]["message"]


@pytest.mark.parametrize("tokenizer", ["demo"], indirect=True)
async def test_cut_to_the_window(counting: RunningGateway) -> None:
    """-1: a prompt of several windows is answered, the answer gets the one token that is left."""
    for path, body in ((CHAT, {"messages": [user("some words " * 3000)]}), (COMPLETIONS, {"prompt": "words " * 9000})):
        found = await counting.ask(
            post(path, json.dumps({"model": LONG, "max_tokens": 50, "truncate_prompt_tokens": -1, **body}).encode())
        )
        assert found.status == 200, found.raw
        assert json.loads(found.body)["usage"]["prompt_tokens"] == WINDOW - 1
