"""A model server whose "model" is a script: it mends one known bug, in whatever way the asking agent offers.

It speaks vLLM's protocol and refuses what vLLM refuses. It knows only which wrong line becomes which right one; file
contents, tools and their parameters come from the request. So an edit happens only if the whole conversation
(tools, calls, results) got through.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

from gateway.engines.simulated.errors import EngineError
from gateway.engines.simulated.validation import decode, read
from gateway.engines.simulated.wire import ChatRequest
from tests.fakes.server import DONE, Script, Seen, answer, stream

_WORKING_FOLDER = re.compile(r"directory: (/[^\s`'\"<>]+)")
_PATHS = ("filepath", "absolutepath", "targetfile", "path", "filename", "file")
_PIECE = 9  # characters a chunk


@dataclass(frozen=True)
class Bug:
    """``wrong`` and ``right`` are whole lines of ``file``, a path relative to the repository."""

    file: str
    wrong: str
    right: str


@dataclass(frozen=True)
class Words:
    text: str


@dataclass(frozen=True)
class Call:
    tool: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Tool:
    """A tool as a request offers it; ``parameters`` by their names without underscores, in lower case."""

    name: str
    parameters: dict[str, str]

    def path(self) -> str | None:
        return next((self.parameters[name] for name in _PATHS if name in self.parameters), None)

    @property
    def edits(self) -> bool:
        return {"oldstring", "newstring"} <= self.parameters.keys() and self.path() is not None

    @property
    def reads(self) -> bool:
        return "read" in self.name.lower() and self.path() is not None


def reply(request: dict[str, Any], bug: Bug) -> Words | Call:
    """What the script does next: with tools it reads, edits, then says so; without, it writes the edit as text."""
    tools = [_tool(offered["function"]) for offered in request.get("tools") or ()]
    if any(tool.reads for tool in tools):
        return _with_tools(request["messages"], tools, bug)
    return Words(_in_text(request["messages"], bug))


def _tool(function: dict[str, Any]) -> Tool:
    properties = (function.get("parameters") or {}).get("properties") or {}
    return Tool(function["name"], {name.replace("_", "").lower(): name for name in properties})


def _with_tools(messages: list[dict[str, Any]], tools: list[Tool], bug: Bug) -> Words | Call:
    reader = next(tool for tool in tools if tool.reads)
    editor = next((tool for tool in tools if tool.edits), None)
    if editor is None:
        return Words(f"I was offered no tool that edits: {[tool.name for tool in tools]}")
    calls = _calls_made(messages)
    path = _full_path(messages, bug.file)
    if editor.name in calls:
        return Words(f"The tool said: {_results(messages)[-1][:200]}")
    if any(bug.wrong.strip() in result for result in _results(messages)):
        parameters = editor.parameters
        changes = {parameters["oldstring"]: bug.wrong, parameters["newstring"]: bug.right}
        return Call(editor.name, {str(editor.path()): path, **changes})
    if reader.name in calls:
        return Words(f"The line is not in what I was shown: {_results(messages)[-1][:500]}")
    return Call(reader.name, {str(reader.path()): path})


def _in_text(messages: list[dict[str, Any]], bug: Bug) -> str:
    """The edit in the format that the first messages ask for, made from the file as it was shown last."""
    asked = "\n".join(text_of(message) for message in messages if message["role"] in ("system", "user"))
    shown = re.findall(rf"{re.escape(bug.file)}\n(`{{3,}})\w*\n(.*?)\n\1", asked, re.DOTALL)
    content = next((body for _, body in reversed(shown) if bug.wrong in body), None)
    if content is None:
        return "fix: correct the result" if "commit message" in asked else "I was not shown the line."
    if "SEARCH/REPLACE" in asked:
        return f"{bug.file}\n```python\n<<<<<<< SEARCH\n{bug.wrong}\n=======\n{bug.right}\n>>>>>>> REPLACE\n```\n"
    return f"{bug.file}\n```\n{content.replace(bug.wrong, bug.right)}\n```\n"


def text_of(message: dict[str, Any]) -> str:
    content = message.get("content") or ""
    return content if isinstance(content, str) else "\n".join(part.get("text", "") for part in content)


def _calls_made(messages: list[dict[str, Any]]) -> set[str]:
    return {call["function"]["name"] for message in messages for call in message.get("tool_calls") or ()}


def _results(messages: list[dict[str, Any]]) -> list[str]:
    return [text_of(message) for message in messages if message["role"] == "tool"]


def _full_path(messages: list[dict[str, Any]], file: str) -> str:
    """``file`` in the working folder, if a message names one."""
    found = next((m for message in messages if (m := _WORKING_FOLDER.search(text_of(message)))), None)
    return f"{found[1].rstrip('/.,:')}/{file}" if found else file


# -- the protocol -----------------------------------------------------------------------------------------------------


def scripted(bug: Bug, model: str) -> Script:
    """Answers chat requests as ``reply`` decides, whole or streamed; anything else is vLLM's 404."""
    numbers = count(1)

    async def script(seen: Seen) -> None:
        if not seen.path.endswith(b"/v1/chat/completions"):
            await seen.wire.send(answer(b'{"detail":"Not Found"}', status=404))
            return
        try:
            request = decode(seen.body)
            read(ChatRequest, request)
        except EngineError as error:
            await seen.wire.send(answer(error.body, status=error.status))
            return
        number = next(numbers)
        said = reply(request, bug)
        if request.get("stream"):
            usage = (request.get("stream_options") or {}).get("include_usage")
            await seen.wire.send(*stream(_frames(said, model, number, usage=bool(usage))))
        else:
            await seen.wire.send(answer(_whole(said, model, number)))

    return script


def _message(said: Words | Call, number: int) -> dict[str, Any]:
    if isinstance(said, Words):
        return {"role": "assistant", "content": said.text}
    function = {"name": said.tool, "arguments": json.dumps(said.arguments)}
    call = {"id": f"chatcmpl-tool-{number}", "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def _finish(said: Words | Call) -> str:
    return "stop" if isinstance(said, Words) else "tool_calls"


def _usage() -> dict[str, int]:
    return {"prompt_tokens": 100, "total_tokens": 120, "completion_tokens": 20}


def _whole(said: Words | Call, model: str, number: int) -> bytes:
    choice = {"index": 0, "message": _message(said, number), "logprobs": None, "finish_reason": _finish(said)}
    value = {"id": f"chatcmpl-{number}", "object": "chat.completion", "created": 1, "model": model}
    return json.dumps({**value, "choices": [choice], "usage": _usage()}).encode()


def _deltas(said: Words | Call, number: int) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": ""}
    message = _message(said, number)
    if isinstance(said, Words):
        yield from ({"content": piece} for piece in _pieces(said.text))
        return
    call = message["tool_calls"][0]
    function = {"name": said.tool, "arguments": ""}
    yield {"tool_calls": [{"id": call["id"], "type": "function", "index": 0, "function": function}]}
    for piece in _pieces(call["function"]["arguments"]):
        yield {"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}


def _pieces(text: str) -> Iterator[str]:
    return (text[start : start + _PIECE] for start in range(0, len(text), _PIECE))


def _frames(said: Words | Call, model: str, number: int, *, usage: bool) -> Iterator[bytes]:
    top = {"id": f"chatcmpl-{number}", "object": "chat.completion.chunk", "created": 1, "model": model}

    def frame(**fields: Any) -> bytes:
        return b"data: " + json.dumps({**top, **fields}, separators=(",", ":")).encode() + b"\n\n"

    for delta in _deltas(said, number):
        yield frame(choices=[{"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}])
    last = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": _finish(said), "stop_reason": None}
    yield frame(choices=[last])
    if usage:
        yield frame(choices=[], usage=_usage())
    yield DONE
