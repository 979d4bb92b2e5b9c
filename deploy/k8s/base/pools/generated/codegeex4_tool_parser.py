"""A vLLM tool parser for CodeGeeX4's function calls: ``--tool-parser-plugin FILE --tool-call-parser codegeex4``.

CodeGeeX4 calls a function by a block of its own, one for each call, with or without text around them:

    ```json
    {"name": "weather", "arguments": {"location": "Beijing"}}
    ```

Sources: function_call_demo in THUDM/CodeGeeX4, which also reads what the model at times writes instead (single quotes,
parentheses for brackets). This parser takes a list of calls in one block and ``arguments`` before ``name`` besides.
Whatever else is in a block is content, byte for byte, and so is a call of a function that the request does not have.
White space beside calls is nobody's: where there are calls, content neither begins nor ends with it.

It runs inside vLLM 0.32 (one instance for each answer), so it imports nothing of this project.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal, NamedTuple

import regex
from vllm.entrypoints.generate.base import protocol
from vllm.renderers.chat_utils import make_tool_call_id
from vllm.tool_parsers.abstract_tool_parser import ToolParser, ToolParserManager
from vllm.tool_parsers.structural_tag_registry import get_function_parameters, register_vllm_structural_tag
from vllm.tool_parsers.utils import get_function_tools
from xgrammar import StructuralTag
from xgrammar.structural_tag import JSONSchemaFormat, TagFormat, TagsWithSeparatorFormat, TriggeredTagsFormat

NAME = "codegeex4"
_FENCE = "```json"
_MOST_SPACE = 64  # white space in a row where a call begins: more of it would be searched again and again
_SPACE = rf"[ \t\r\n]{{0,{_MOST_SPACE}}}"
_CLOSE = regex.compile(_SPACE + r"\}" + _SPACE + "```")
_BRACE = regex.compile(_SPACE + r"\}")
_LONGEST_ODD_BLOCK = 32 * 1024  # characters: such a block is withheld until it ends
_mark = re.compile(r'["\\{}\[\]\x00-\x1f]').finditer


class Part(NamedTuple):
    """A piece of content, the name of a call that begins, or more of the arguments of the call that began last."""

    kind: Literal["content", "call", "arguments"]
    text: str


class ObjectReader:
    """Finds where a JSON object ends, however it is cut into pieces.

    Raw control characters in its strings (models write line ends so) are printed as JSON wants them.
    """

    def __init__(self) -> None:
        self.closed = False
        self._depth = 0
        self._in_string = False
        self._escaped = False  # the character to come stands behind a backslash

    def read(self, text: str) -> tuple[str, int]:
        """What to print of ``text``, and how much of it belongs to the object."""
        printed: list[str] = []
        done, escaped = 0, 0 if self._escaped else -1
        for mark in _mark(text):
            at, char = mark.start(), mark.group()
            if char < " ":
                if self._in_string:
                    backslash = "\\" if at == escaped else ""
                    printed += text[done:at], backslash, json.dumps(char)[1:-1]
                    done = at + 1
            elif at == escaped:
                continue
            elif char == '"':
                self._in_string = not self._in_string
            elif self._in_string:
                escaped = at + 1 if char == "\\" else escaped
            elif char != "\\":
                self._depth += 1 if char in "{[" else -1
                if self._depth == 0:
                    self.closed = True
                    return "".join((*printed, text[done : at + 1])), at + 1
        self._escaped = escaped == len(text)
        return "".join((*printed, text[done:])), len(text)


class AnswerReader:
    """Tells an answer's content from its calls; its parts come out the same however it is cut into pieces.

    ``names``: the functions that can be called. ``complete``: the answer comes in one piece, so that a call whose
    arguments are no JSON object, or are cut off, is left in the content. In a stream such a call has begun before that
    is known: its arguments are passed on as they are.
    """

    def __init__(self, names: Iterable[str], *, complete: bool = False) -> None:
        self._names = frozenset(names)
        self._head = _head(self._names) if self._names else None
        self._complete = complete
        self._held = ""  # read and not decided
        self._blank: list[str] = []  # white space that is content if more content follows
        self._called = self._said = False
        self._step: Callable[[bool], Iterator[Part]] = self._read_text
        self._object = ObjectReader()

    def read(self, piece: str) -> list[Part]:
        return self._parts(piece, last=False)

    def end(self) -> list[Part]:
        """What was held back for what might have followed."""
        parts = self._parts("", last=True)
        if self._blank and not self._called:
            parts.append(Part("content", "".join(self._blank)))
        self._blank = []
        return parts

    def _parts(self, piece: str, *, last: bool) -> list[Part]:
        if self._head is None:
            return [Part("content", piece)] if piece else []
        self._held += piece
        parts: list[Part] = []
        before = None
        while self._held and (self._held, self._step) != before:  # until a step needs more than there is
            before = (self._held, self._step)
            parts += self._step(last)
        return parts

    def _read_text(self, last: bool) -> Iterator[Part]:
        at = self._held.find(_FENCE)
        if at != 0:
            end = at if at > 0 else len(self._held) - (0 if last else _overlap(self._held))
            yield from self._content(self._take(end))
            return
        assert self._head is not None
        head = self._head.match(self._held, partial=not last)
        if head is None:
            yield from self._content(self._take(len(_FENCE)))
        elif head.partial:
            return
        elif head["odd"]:
            yield from self._read_odd_block(head.end(), last)
        elif self._complete and (unsound := _unsound(self._held, head.start("arguments"))):
            yield from self._content(self._take(unsound))
        else:
            self._take(head.start("arguments"))
            self._step, self._object = self._read_arguments, ObjectReader()
            yield self._call(json.loads(head["quoted"]))

    def _read_odd_block(self, start: int, last: bool) -> Iterator[Part]:
        """A block that is not in the usual form is a call if all of it reads as calls."""
        end = self._held.find("```", start, _LONGEST_ODD_BLOCK)
        if end < 0:
            if last or len(self._held) >= _LONGEST_ODD_BLOCK:
                yield from self._content(self._take(len(_FENCE)))
            return
        block = self._take(end)
        calls = _odd_calls(block[len(_FENCE) :].strip(), self._names)
        if not calls:
            yield from self._content(block)
            return
        self._take(len("```"))
        for name, arguments in calls:
            yield self._call(name)
            yield Part("arguments", arguments)

    def _read_arguments(self, last: bool) -> Iterator[Part]:
        printed, end = self._object.read(self._held)
        self._take(end)
        if self._object.closed:
            self._step = self._read_close
        yield Part("arguments", printed)

    def _read_close(self, last: bool) -> Iterator[Part]:
        """The brace and the fence behind the arguments. Where one lacks, what is there instead is content."""
        close = _CLOSE.match(self._held, partial=True)
        if close is not None and close.partial and not last:
            return
        close = close or _BRACE.match(self._held)
        self._take(close.end() if close else 0)
        self._step = self._read_text
        yield from ()

    def _take(self, end: int) -> str:
        taken, self._held = self._held[:end], self._held[end:]
        return taken

    def _call(self, name: str) -> Part:
        self._called = True
        if not self._said:
            self._blank = []
        return Part("call", name)

    def _content(self, text: str) -> Iterator[Part]:
        if text.isspace():
            if self._said or not self._called:
                self._blank.append(text)
            return
        if self._called and not self._said:
            text = text.lstrip()
        if kept := text.rstrip():
            yield Part("content", "".join((*self._blank, kept)))
            self._said, self._blank = True, [text[len(kept) :]] if len(kept) < len(text) else []


def _head(names: Iterable[str]) -> Any:
    """What a call begins with, up to where it can be nothing else; ``partial`` tells what may become one."""
    known = "|".join(regex.escape(json.dumps(name, ensure_ascii=False)) for name in sorted(names))
    usual = rf'"name"{_SPACE}:{_SPACE}(?P<quoted>{known}){_SPACE},{_SPACE}"arguments"{_SPACE}:{_SPACE}'
    usual += rf'(?P<arguments>\{{){_SPACE}["}}]'
    key = "(?:name|arguments)"
    odd = rf"""(?P<odd>\[{_SPACE}\{{{_SPACE}(?:"{key}"|'{key}')|\{{{_SPACE}(?:'{key}'|"arguments"))"""
    return regex.compile(rf"{_FENCE}{_SPACE}(?:\{{{_SPACE}{usual}|{odd})")


def _overlap(text: str) -> int:
    """How many characters at the end of ``text`` could be the beginning of a fence."""
    return next((size for size in range(len(_FENCE) - 1, 0, -1) if text.endswith(_FENCE[:size])), 0)


def _unsound(text: str, start: int) -> int | None:
    """Where a call ends whose arguments are cut off or no JSON; None if they are sound."""
    reader = ObjectReader()
    printed, size = reader.read(text[start:])
    try:
        sound = reader.closed and isinstance(json.loads(printed, parse_constant=_refuse), dict)
    except (ValueError, RecursionError):
        sound = False
    return None if sound else start + size


def _odd_calls(block: str, names: frozenset[str]) -> list[tuple[str, str]]:
    """Names and arguments (as JSON) of the calls that a block consists of; none if it is anything else."""
    calls = []
    try:
        try:
            value = json.loads(block, strict=False, parse_constant=_refuse)
        except ValueError:
            value = ast.literal_eval(block)
        for item in value if isinstance(value, list | tuple) else [value]:
            name, arguments = item["name"], item["arguments"]
            if name not in names or not isinstance(arguments, dict):
                return []
            calls.append((name, json.dumps(arguments, ensure_ascii=False, allow_nan=False)))
            calls[-1][1].encode()  # a lone surrogate can't be sent
    except (ValueError, TypeError, LookupError, SyntaxError, RecursionError, MemoryError):
        return []
    return calls


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _callable_names(request: Any) -> list[str]:
    """The functions that the answer to ``request`` (a chat or Responses request) can call."""
    if request.tool_choice == "none" or not request.tools:
        return []
    tools = get_function_tools(request.tools)
    return [(tool.function if hasattr(tool, "function") else tool).name for tool in tools]


class CodeGeeX4ToolParser(ToolParser):  # type: ignore[misc]
    """Calls that have to be made, and those of ``strict`` functions, come in CodeGeeX4's own form: by a grammar."""

    structural_tag_model = NAME
    supports_required_and_named = False  # as vLLM would: by a form of its own
    engine_based_streaming = True  # so vLLM says when an answer has ended, and what was held back is not lost

    def __init__(self, tokenizer: Any, tools: Any = None) -> None:
        super().__init__(tokenizer, tools)
        self._reader: AnswerReader | None = None
        self._calls = 0

    def extract_tool_calls(self, model_output: str, request: Any) -> Any:
        reader = AnswerReader(_callable_names(request), complete=True)
        made = self._delta([*reader.read(model_output), *reader.end()]) or protocol.DeltaMessage()
        calls = [protocol.FunctionCall(**call.function.model_dump()) for call in made.tool_calls]
        return protocol.ExtractedToolCallInformation(
            tools_called=bool(calls),
            tool_calls=[protocol.ToolCall(function=call) for call in calls],
            content=made.content,
        )

    def extract_tool_calls_streaming(
        self,
        previous_text: str,
        current_text: str,
        delta_text: str,
        previous_token_ids: Sequence[int],
        current_token_ids: Sequence[int],
        delta_token_ids: Sequence[int],
        request: Any,
    ) -> Any:
        self._reader = self._reader or AnswerReader(_callable_names(request))
        return self._delta(self._reader.read(delta_text))

    def finish_streaming(self) -> Any:
        return self._delta(self._reader.end()) if self._reader else None

    def _delta(self, parts: list[Part]) -> Any:
        """One DeltaMessage of all the parts; None if there are none."""
        content, calls = "", {}
        for kind, text in parts:
            if kind == "content":
                content += text
            elif kind == "call":
                function = protocol.DeltaFunctionCall(name=text, arguments="")
                calls[self._calls] = protocol.DeltaToolCall(
                    index=self._calls, id=make_tool_call_id(), type="function", function=function
                )
                self._calls += 1
            else:
                newest = self._calls - 1
                function = protocol.DeltaFunctionCall(arguments="")
                call = calls.setdefault(newest, protocol.DeltaToolCall(index=newest, function=function))
                call.function.arguments += text
        given = {name: value for name, value in (("content", content), ("tool_calls", [*calls.values()])) if value}
        return protocol.DeltaMessage(**given) if given else None


# How the model may begin and end a call when it is free to write anything; the first is how it has to.
_SPELLINGS = (
    ('```json\n{"name": ', ', "arguments": ', "}\n```"),
    ('```json\n{"name":', ',"arguments":', "}\n```"),
    ('```json\n{\n  "name": ', ',\n  "arguments": ', "\n}\n```"),
    ('```json\n{\n    "name": ', ',\n    "arguments": ', "\n}\n```"),
)


def structural_tag(tools: Any, builtin_tools: Any, tool_choice: str, reasoning: bool, token_suffix: str = "") -> Any:
    """The grammar of an answer. ``tool_choice``: "auto", "required" or "forced" (one function, called once).

    With "auto", text is free until it has named one of the functions as a call does: other JSON blocks stay possible.
    """
    free = tool_choice == "auto"
    tags = [
        TagFormat(
            begin=begin + json.dumps(tool.function.name, ensure_ascii=False) + between,
            content=JSONSchemaFormat(json_schema=_arguments_schema(tool.function), max_whitespace_cnt=_MOST_SPACE),
            end=end,
        )
        for begin, between, end in (_SPELLINGS if free else _SPELLINGS[:1])
        for tool in tools
    ]
    if free:
        triggers = list(dict.fromkeys(tag.begin for tag in tags))  # a request may have a function twice
        return StructuralTag(format=TriggeredTagsFormat(triggers=triggers, tags=tags))
    once = tool_choice == "forced"
    calls = TagsWithSeparatorFormat(tags=tags, separator="\n", at_least_one=True, stop_after_first=once)
    return StructuralTag(format=calls)


def _arguments_schema(function: Any) -> Any:
    """A function's own schema if it is strict, else any object."""
    parameters = get_function_parameters(function)
    return parameters if isinstance(parameters, dict) else {"type": "object"}


register_vllm_structural_tag(NAME)(structural_tag)
ToolParserManager.register_module(NAME, module=CodeGeeX4ToolParser)
