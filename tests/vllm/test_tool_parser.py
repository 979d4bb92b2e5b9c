"""Our tool parser for CodeGeeX4's function calls, inside real vLLM: on texts, and behind a server."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.gateway.engines.contract import Answer, Server

from .servers import VllmServers, vllm_python
from .tool_answers import BEIJING, CALL, NAMES, OPEN, OTHER_JSON, READ, UNSOUND, block, call, made_up

HERE = Path(__file__).parent
PLUGIN = HERE.parents[1] / "gateway" / "engines" / "vllm" / "plugins" / "codegeex4_tool_parser.py"


@pytest.fixture(scope="module")
def outcomes() -> dict[str, Any]:
    """What vLLM makes of every text, by its name (see inside/parse.py): one process for all."""
    texts = {name: text for cases in (READ, UNSOUND) for name, (text, *_) in cases.items()}
    cases = {name: {"text": text, "names": NAMES, "choice": "auto"} for name, text in texts.items()}
    cases |= {f"made up {at}": {"text": text, "names": NAMES, "choice": "auto"} for at, text in enumerate(made_up(250))}
    cases["no calls wanted"] = {"text": CALL, "names": NAMES, "choice": "none"}
    cases["no functions"] = {"text": CALL, "names": [], "choice": "none"}
    read = run_inside("parse.py", list(cases.values()))
    return {name: {**seen, "text": case["text"]} for (name, case), seen in zip(cases.items(), read, strict=True)}


@pytest.mark.parametrize("name", READ)
def test_what_is_a_call_and_what_is_content(outcomes, name):
    text, content, calls = READ[name]
    expected = {"content": text if content is None else content, "calls": calls}
    assert outcomes[name]["whole"] == expected
    assert outcomes[name]["streamed"] == [expected]
    assert outcomes[name]["splits"] >= 12


@pytest.mark.parametrize("name", UNSOUND)
def test_a_whole_answer_has_no_unsound_calls(outcomes, name):
    _, content, calls, whole = UNSOUND[name]
    assert outcomes[name]["streamed"] == [{"content": content, "calls": calls}]
    assert outcomes[name]["whole"] == {"content": whole, "calls": [call for call in calls if call == BEIJING]}


def test_made_up_texts_read_the_same_however_they_are_cut(outcomes):
    made = [seen for name, seen in outcomes.items() if name.startswith("made up")]
    for seen in made:
        assert len(seen["streamed"]) == 1, seen
        if all(is_object(arguments) for _, arguments in seen["whole"]["calls"] + seen["streamed"][0]["calls"]):
            assert seen["streamed"] == [seen["whole"]]
        if not seen["whole"]["calls"]:
            assert seen["whole"]["content"] == seen["text"]
        assert {name for name, _ in seen["whole"]["calls"]} <= {"weather"}
    calling = [seen for seen in made if seen["whole"]["calls"]]
    assert len(made) * 0.9 > len(calling) > len(made) * 0.2


@pytest.mark.parametrize("name", ["no calls wanted", "no functions"])
def test_without_functions_to_call_all_is_content(outcomes, name):
    assert outcomes[name]["whole"] == {"content": CALL, "calls": []}
    assert outcomes[name]["streamed"] == [outcomes[name]["whole"]]


def test_a_stream_has_the_name_first_and_then_the_arguments_as_they_come(outcomes):
    deltas = [delta["tool_calls"][0] for delta in outcomes["one"]["deltas"]]
    assert [delta["index"] for delta in deltas] == [0] * len(deltas)
    assert deltas[0]["function"] == {"name": "weather", "arguments": '{"'}
    assert [delta["function"]["arguments"] for delta in deltas[1:]] == list('location": "Beijing"}')


def test_ordinary_text_is_hardly_held_back(outcomes):
    deltas = [delta["content"] for delta in outcomes["an ordinary block"]["deltas"]]
    assert "".join(deltas) == READ["an ordinary block"][0]
    assert max(map(len, deltas)) == len('\n\n```json\n{"name": "A')


TOOLS: list[dict[str, Any]] = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "parameters": {
                "type": "object",
                "properties": {"days": {"enum": [1, 7]}, "rain": {"type": "boolean"}},
                "required": ["days", "rain"],
                "additionalProperties": False,
            },
        },
    },
    {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "additionalProperties": False}}},
]
STRICT = [{**tool, "function": {**tool["function"], "strict": True}} for tool in TOOLS]
WEATHER = {"type": "function", "function": {"name": "weather"}}
SOUND, UNFIT = call("weather", '{"days": 7, "rain": true}'), call("weather", '{"days": 8}')
INDENTED = block("{", '    "name": "weather",', '    "arguments": {', '        "days": 8', "    }", "}")
# What a request may be answered with, and what not.
GRAMMARS: dict[str, tuple[dict[str, Any], list[str], list[str]]] = {
    "strict": (
        {"tools": STRICT},
        ["", "Hm.", SOUND, f"Hm. {SOUND}\n{call('now', '{}')} So.", OTHER_JSON, call("nope", "{}"), block("[1]")],
        [UNFIT, INDENTED, call("now", "[]"), UNFIT.replace('": ', '":').replace(", ", ","), f"{SOUND}\n{UNFIT}"],
    ),
    "a function twice": ({"tools": STRICT + STRICT}, ["", SOUND], [UNFIT]),
    "one call at most": ({"tools": TOOLS, "parallel_tool_calls": False}, ["Hm.", UNFIT], [f"{SOUND}\n{SOUND}"]),
    "required": (
        {"tools": TOOLS, "tool_choice": "required"},
        [UNFIT, f"{SOUND}\n{call('now', '{}')}"],
        ["", "Hm.", f"Hm. {SOUND}"],
    ),
    "required and strict": ({"tools": STRICT, "tool_choice": "required"}, [SOUND], [UNFIT, call("nope", "{}")]),
    "named": ({"tools": TOOLS, "tool_choice": WEATHER}, [SOUND, UNFIT], ["", call("now", "{}"), f"{SOUND}\n{SOUND}"]),
}


@pytest.fixture(scope="module")
def grammars() -> list[list[bool] | None]:
    cases = [{"body": body, "texts": [*right, *wrong]} for body, right, wrong in GRAMMARS.values()]
    return run_inside("tool_grammar.py", [*cases, {"body": {"tools": TOOLS}, "texts": []}])


def test_the_grammar_of_calls(grammars):
    for seen, (name, (_, right, wrong)) in zip(grammars, GRAMMARS.items(), strict=False):
        assert seen == [True] * len(right) + [False] * len(wrong), name
    assert grammars[len(GRAMMARS) :] == [None]


class TestBehindAServer:
    """Random weights say a text if nothing else is allowed: it comes through the parser as any answer does."""

    @pytest.fixture
    def server(self, start_vllm: VllmServers) -> Server:
        model = "codegeex4-all-9b"
        return Server(start_vllm(model).url, model)

    @pytest.mark.parametrize("name", ["one", "two", "text around", "an unknown function", "an ordinary block"])
    def test_auto(self, server, name):
        text, content, calls = READ[name]
        whole, streamed = both(server, say=text)
        content = text if content is None else content
        expected = {"content": content, "calls": calls, "finish_reason": "tool_calls" if calls else "stop"}
        assert whole == streamed == expected

    def test_no_calls_wanted(self, server):
        whole, streamed = both(server, say=CALL, tool_choice="none")
        assert whole == streamed == {"content": CALL, "calls": [], "finish_reason": "stop"}

    def test_cut_off(self, server):
        text = OPEN + json.dumps({"code": "x = 1; " * 400}) + "}\n```"
        whole, streamed = both(server, say=text, max_tokens=60)
        said = whole["content"]
        assert len(OPEN) < len(said) < len(text)
        assert text.startswith(said)
        assert whole == {"content": said, "calls": [], "finish_reason": "length"}
        assert streamed == {"content": "", "calls": [["weather", said[len(OPEN) :]]], "finish_reason": "length"}

    @pytest.mark.parametrize("choice", ["required", WEATHER, "auto"], ids=["required", "named", "strict"])
    def test_a_call_that_follows_its_schema(self, server, choice):
        """With "auto" and an output format the answer is in that format or a call: here one that begins as calls do."""
        told = {"response_format": {"type": "json_object"}} if choice == "auto" else {}
        asked = {"model": server.model, "prompt": "```", "add_special_tokens": False}
        told["logit_bias"] = dict.fromkeys(server.post("/tokenize", asked).json["tokens"], 100)
        made = []
        for seed in range(4):
            body = {"tools": STRICT, "tool_choice": choice, "parallel_tool_calls": False, "seed": seed, **told}
            whole, streamed = both(server, **body)
            assert whole == streamed
            made += whole["calls"]
            assert not whole["content"]
        assert len(made) == 4
        for name, arguments in made:
            assert set(json.loads(arguments)) == ({"days", "rain"} if name == "weather" else set())
        if choice == WEATHER:
            assert {name for name, _ in made} == {"weather"}


def both(server: Server, *, say: str | None = None, **fields: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """An answer whole and streamed: content, calls and the reason why it ended. ``say``: what it has to be."""
    told = {} if say is None else {"structured_outputs": {"choice": [say]}}
    body = {"tools": TOOLS, "tool_choice": "auto", "max_tokens": 3000, "seed": 1, **told, **fields}
    return whole_outcome(server.chat(**body)), streamed_outcome(server.chat(stream=True, **body))


def whole_outcome(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer.body
    choice = answer.json["choices"][0]
    message = choice["message"]
    calls = [[made["function"]["name"], made["function"]["arguments"]] for made in message.get("tool_calls") or []]
    return {"content": message["content"] or "", "calls": calls, "finish_reason": choice["finish_reason"]}


def streamed_outcome(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200, answer.body
    choices = [choice for event in answer.events for choice in event["choices"]]
    calls: list[list[str]] = []
    for delta in (delta for choice in choices for delta in choice["delta"].get("tool_calls", [])):
        if delta["index"] == len(calls):
            calls.append([delta["function"]["name"], ""])
        calls[delta["index"]][1] += delta["function"]["arguments"]
    content = "".join(choice["delta"].get("content") or "" for choice in choices)
    return {"content": content, "calls": calls, "finish_reason": choices[-1]["finish_reason"]}


def run_inside(script: str, cases: list[Any]) -> list[Any]:
    """The lines that a script prints in vLLM's environment."""
    command = [vllm_python(), HERE / "inside" / script, PLUGIN]
    ran = subprocess.run(command, input=json.dumps(cases), capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-4000:]
    return [json.loads(line) for line in ran.stdout.splitlines()]


def is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False
