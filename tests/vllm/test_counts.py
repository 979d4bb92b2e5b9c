"""What the gateway counts by its own tokenizer and template is vLLM's `usage.prompt_tokens`, to the token."""

from __future__ import annotations

import asyncio
import gzip
import os
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from gateway.config import cache_dir
from gateway.engines.vllm.tiny import make
from gateway.families import MODELS
from tests.fakes.completions import COMPLETIONS
from tests.fakes.gateway import LONG, SHORT, RunningGateway
from tests.fakes.odd_prompts import REFUSED_CHATS

from .gateways import ask, in_front_of
from .servers import RunningVllm, VllmServers
from .varied_prompts import Asked, lists_of_prompts, varied_requests

_SEED = 4
_AT_ONCE = 8
_AT_LEAST = {"chat": 35, "text": 10, "drawn chat": 90, "long chat": 4, "drawn text": 30, "gap": 40}  # 209
Outcome = tuple[Any, ...]


@pytest.fixture(scope="module")
def glm4(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with GLM-4's tokenizer, which is very likely CodeGeeX4's."""
    data = os.environ.get("YARDSTICK_TEST_DATA")
    if not data:
        pytest.skip("YARDSTICK_TEST_DATA is not set: no real tokenizer")
    folder = tmp_path_factory.mktemp("glm4")
    packed = Path(data) / "tokenizers" / "glm4" / "tokenizer.json.gz"
    (folder / "tokenizer.json").write_bytes(gzip.decompress(packed.read_bytes()))
    shutil.copy(make(MODELS[SHORT], cache_dir() / "tiny") / "tokenizer_config.json", folder)
    return folder


@pytest.fixture(scope="module", params=["codegeex", "codegeex with GLM-4's tokenizer", "iquest"])
def server(request: pytest.FixtureRequest, start_vllm: VllmServers) -> RunningVllm:
    if request.param == "iquest":
        return start_vllm(LONG)
    if request.param == "codegeex":
        return start_vllm(SHORT)
    return start_vllm(SHORT, "--tokenizer", str(request.getfixturevalue("glm4")))


async def test_every_prompt_is_counted_as_vllm_counts_it(server: RunningVllm) -> None:
    outcomes: dict[tuple[str, str], Outcome] = {}
    few = asyncio.Semaphore(_AT_ONCE)

    async def one(gateway: RunningGateway, each: Asked) -> None:
        async with few:
            outcomes[each.kind, each.name] = await outcome(gateway, server, each)

    async with in_front_of(server) as gateway, asyncio.TaskGroup() as group:
        for each in varied_requests(_SEED):
            group.create_task(one(gateway, each))
    right = Counter(kind for (kind, _), (result, *_) in outcomes.items() if result == "equal")
    refused = {place for place, (result, *_) in outcomes.items() if result == "refused"}
    assert {place: found for place, found in outcomes.items() if found[0] == "different"} == {}
    assert {kind: right[kind] for kind in _AT_LEAST if right[kind] < _AT_LEAST[kind]} == {}
    assert {name for kind, name in refused if kind == "refused chat"} == {*REFUSED_CHATS}
    assert {kind for kind, _ in refused} <= {"refused chat", "drawn chat"}


async def outcome(gateway: RunningGateway, server: RunningVllm, asked: Asked) -> Outcome:
    """ "equal", "different" or "refused", with what shows it. Refused is only what vLLM, asked itself, refuses too."""
    body = {"model": server.model, "max_tokens": 1, **asked.body}
    answer = await ask(gateway.port, asked.path, body)
    if answer.status == 400 and (await ask(server.port, asked.path, body)).status == 400:
        return "refused", answer.body[:200]
    if answer.status != 200 or answer.header(b"x-yardstick-counted") != b"counted":
        return "different", answer.status, answer.headers, answer.body[:1000]
    ours = int(answer.header(b"x-yardstick-prompt-tokens") or -1)
    theirs = answer.json["usage"]["prompt_tokens"]
    return "equal" if ours == theirs else "different", ours, theirs, asked.body


async def test_of_a_list_the_largest_prompt_is_counted(server: RunningVllm) -> None:
    """Each of its prompts is a sequence of its own; vLLM's usage is the sum of all."""
    async with in_front_of(server) as gateway:
        for prompts in lists_of_prompts(_SEED):
            asked = {"model": server.model, "max_tokens": 1}
            sizes = []
            for prompt in prompts:
                alone = await ask(gateway.port, COMPLETIONS, {**asked, "prompt": prompt})
                sizes.append(alone.json["usage"]["prompt_tokens"])
                assert alone.header(b"x-yardstick-prompt-tokens") == str(sizes[-1]).encode()
            answer = await ask(gateway.port, COMPLETIONS, {**asked, "prompt": prompts})
            assert answer.json["usage"]["prompt_tokens"] == sum(sizes)
            assert answer.header(b"x-yardstick-prompt-tokens") == str(max(sizes)).encode()
