"""Fill in the middle with the official Python client, through a gateway in front of simulated model servers."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import openai
import pytest

from gateway.families import MODELS, Infill, Reference

from .conftest import LONG, SHORT, Running

PREFIX = "# binary search\ndef find(items, wanted):\n    "
SUFFIX = "\n\nprint(find([1, 2, 3], 2))\n"
EXTRA = {
    "path": "find.py",
    "language": "Python",
    "reference_files": [{"path": "util.py", "content": "def half(n):\n    return n // 2\n"}],
}


@pytest.fixture
def client(running: Running) -> openai.OpenAI:
    return openai.OpenAI(base_url=running.base_url, api_key="any", max_retries=0)


def frame(model: str) -> str:
    fim = MODELS[model].fim
    assert fim is not None
    references = (Reference("util.py", "def half(n):\n    return n // 2\n"),)
    return fim.frame(Infill(prefix=PREFIX, suffix=SUFFIX, path="find.py", language="Python", references=references))


def tokens_of(server: str, **fields: Any) -> int:
    """What a model server, or the gateway, says a prompt has."""
    request = urllib.request.Request(
        f"{server}/tokenize", json.dumps(fields).encode(), {"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as response:
        return int(json.load(response)["count"])


@pytest.mark.parametrize("model", [SHORT, LONG, "auto"])
@pytest.mark.parametrize("streamed", [False, True])
def test_only_the_middle_comes_back(running: Running, client: openai.OpenAI, model: str, streamed: bool) -> None:
    given: dict[str, Any] = {"prompt": PREFIX, "suffix": SUFFIX, "max_tokens": 60, "extra_body": EXTRA}
    answers = SHORT if model == "auto" else model
    if streamed:
        chunks = list(
            client.completions.create(model=model, stream=True, stream_options={"include_usage": True}, **given)
        )
        text = "".join(chunk.choices[0].text for chunk in chunks if chunk.choices)
        usage = chunks[-1].usage
    else:
        made = client.completions.create(model=model, **given)
        text, usage = made.choices[0].text, made.usage
    assert text
    assert not any(token in text for token in MODELS[answers].special_tokens)
    assert PREFIX not in text
    assert usage is not None
    fim = MODELS[answers].fim
    assert fim is not None
    expected = tokens_of(running.servers[answers].url, prompt=frame(answers), **fim.fields)
    assert usage.prompt_tokens == expected, "the model server got the frame and nothing else"
    sent = {"model": answers, "prompt": PREFIX, "suffix": SUFFIX, **EXTRA}
    assert tokens_of(running.url, **sent) == expected, "and the gateway counts what it sends"


def test_a_stop_of_the_clients_ends_it_too(client: openai.OpenAI) -> None:
    made = client.completions.create(model=SHORT, prompt=PREFIX, suffix=SUFFIX, max_tokens=200, stop=["\n"])
    assert "\n" not in made.choices[0].text
    assert made.choices[0].finish_reason == "stop"


def test_a_long_file_behind_the_gap_goes_to_the_long_model(client: openai.OpenAI) -> None:
    answer = client.completions.with_raw_response.create(
        model="auto", prompt=PREFIX, suffix="value = compute(left, right)\n" * 300, max_tokens=5
    )
    assert answer.headers["x-yardstick-model"] == LONG


def test_errors_are_bad_requests_that_name_the_field(client: openai.OpenAI) -> None:
    for fields, param in (
        ({"prompt": ["a", "b"]}, "prompt"),
        ({"echo": True}, "echo"),
        ({"prompt": "<|code_middle|>"}, "prompt"),
        ({"extra_body": {"mode": "word"}}, "mode"),
    ):
        with pytest.raises(openai.BadRequestError) as caught:
            client.completions.create(**{"model": SHORT, "prompt": PREFIX, "suffix": SUFFIX, **fields})  # type: ignore[arg-type]
        assert caught.value.param == param
