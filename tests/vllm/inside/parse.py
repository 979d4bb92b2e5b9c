"""Reads texts with the tool parser as vLLM's serving layer does, whole and in pieces. Runs in vLLM's Python.

In: the plugin's path as argument, and on stdin a JSON list of cases ``{"text": ..., "names": [...], "choice": ...}``.
Out: one JSON line a case, ``{"whole": ..., "streamed": [...], "deltas": ..., "splits": ...}``, where ``streamed`` has
each different outcome once and ``deltas`` are those of the text that comes in single characters. An outcome is
``{"content": ..., "calls": [[name, arguments], ...]}``.
"""

from __future__ import annotations

import json
import os
import random
import sys
from collections.abc import Iterator
from typing import Any

os.environ.update(HF_HUB_OFFLINE="1", VLLM_NO_USAGE_STATS="1", VLLM_LOGGING_LEVEL="ERROR")

from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.parser import ParserManager
from vllm.tool_parsers.abstract_tool_parser import ToolParserManager

_EVERY_CUT_TO = 2_000  # characters; longer texts are cut at random only
_RANDOM_SPLITS = 12


def pieces(text: str, seed: int) -> Iterator[list[str]]:
    """The text in single characters, cut in two at every place, and in pieces of random lengths."""
    if len(text) <= _EVERY_CUT_TO:
        yield list(text)
        yield from ([text[:at], text[at:]] for at in range(len(text) + 1))
    chance = random.Random(seed)
    for _ in range(_RANDOM_SPLITS):
        cut, most = [], chance.choice([2, 5, 20]) + len(text) // chance.choice([4, 100])
        at = 0
        while at < len(text):
            size = chance.randint(1, most)
            cut.append(text[at : at + size])
            at += size
        yield cut


def outcome(content: str | None, calls: list[Any]) -> dict[str, Any]:
    return {"content": content or "", "calls": calls}


class Reading:
    """One case as the serving layer sees it: a parser of its own for every answer."""

    def __init__(self, parser_class: Any, case: dict[str, Any]) -> None:
        tools = [{"type": "function", "function": {"name": name}} for name in case["names"]]
        body = {"model": "m", "messages": [], "tool_choice": case["choice"], **({"tools": tools} if tools else {})}
        self._class, self._request = parser_class, ChatCompletionRequest.model_validate(body)

    def whole(self, text: str) -> dict[str, Any]:
        _, content, calls = self._parser().parse(text, self._request, enable_auto_tools=True)
        return outcome(content, [[call.name, call.arguments] for call in calls or []])

    def deltas(self, cut: list[str]) -> list[Any]:
        parser, deltas = self._parser(), []
        for piece in [*cut, None]:  # the last comes empty, with the reason why the answer ends
            delta = parser.parse_delta(piece or "", [], self._request, prompt_token_ids=[1], finished=piece is None)
            if delta is not None:
                deltas.append(json.loads(delta.model_dump_json(exclude_unset=True)))
        return deltas

    def _parser(self) -> Any:
        return self._class(None, self._request.tools)


def joined(deltas: list[Any]) -> dict[str, Any]:
    """What a client makes of them. A call's id, type and name come once, and first."""
    content, calls, ids = "", [], set()
    for delta in deltas:
        assert delta, "an empty delta was sent"
        content += delta.get("content") or ""
        for call in delta.get("tool_calls", []):
            if call["index"] == len(calls):
                assert call["type"] == "function"
                ids.add(call["id"])
                calls.append([call["function"]["name"], call["function"]["arguments"]])
            else:
                assert call["index"] == len(calls) - 1, "a call goes on after the next has begun"
                assert set(call) == {"index", "function"}
                assert set(call["function"]) == {"arguments"}
                calls[-1][1] += call["function"]["arguments"]
    assert len(ids) == len(calls)
    return outcome(content, calls)


def main() -> None:
    ToolParserManager.import_tool_parser(sys.argv[1])
    parser_class = ParserManager.get_parser(tool_parser_name="codegeex4", enable_auto_tools=True)
    for seed, case in enumerate(json.load(sys.stdin)):
        reading, text = Reading(parser_class, case), case["text"]
        streams = [joined(reading.deltas(cut)) for cut in pieces(text, seed)]
        different = [seen for at, seen in enumerate(streams) if seen not in streams[:at]]
        seen = {"whole": reading.whole(text), "streamed": different, "splits": len(streams)}
        print(json.dumps({**seen, "deltas": reading.deltas(list(text)) if len(text) <= _EVERY_CUT_TO else None}))


main()
