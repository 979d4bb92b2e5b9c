"""Whether each row got what it had to get, and whether the run as a whole did."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gateway.demo.client import Answer
from gateway.demo.engine import Engine
from gateway.demo.workload import Row
from gateway.families import MODELS

_code_block = re.compile(r"```python\n(.+?)```", re.DOTALL).search


@dataclass(frozen=True, slots=True)
class Result:
    """``counted``: the gateway's own full count of the prompt in the row's model (-1: it could not be had)."""

    row: Row
    answer: Answer
    counted: int


def failures(results: Sequence[Result], addresses: Mapping[str, str], seconds: float, engine: Engine) -> list[str]:
    """One line for each thing that is not as it has to be, with its row; empty if the demo succeeded."""
    texts = {result.row.name: result.answer.text for result in results}
    found = [f"{result.row.name}: {line}" for result in results for line in _row(result, addresses, texts, engine)]
    answered = {MODELS[result.answer.model].family for result in results if result.answer.model in MODELS}
    missing = {MODELS[model].family for model in addresses} - answered
    found += [f"no answer came from the family {family}" for family in sorted(missing)]
    if seconds >= engine.limit_seconds:
        found.append(f"it took {seconds:.0f} s, which is not under {engine.limit_seconds:.0f} s")
    return found


def _row(result: Result, addresses: Mapping[str, str], texts: Mapping[str, str], engine: Engine) -> Iterator[str]:
    row, answer = result.row, result.answer
    if row.tokens is not None and result.counted != row.tokens:
        yield f"POST /tokenize counts {result.counted:,} tokens, the prompt was made of {row.tokens:,}"
    if row.refusal:
        yield from _refusal(row, answer)
        return
    if answer.problem or answer.status != 200:
        yield f"status {answer.status}: {answer.problem}"
        return
    yield from _decision(row, answer, addresses[row.model])
    yield from _usage(answer, result.counted, engine.lengths.max_tokens)
    if not engine.writes_code:
        yield from _ending(answer, engine.lengths.max_tokens)
        return
    yield from _content(answer)
    if row.twin and texts.get(row.twin) != answer.text:
        yield f"its answer differs from that of {row.twin!r}, which asked the same"


def _refusal(row: Row, answer: Answer) -> Iterator[str]:
    if (answer.status, answer.error_code) != (400, row.refusal):
        yield f"expected 400 {row.refusal}, got {answer.status} {answer.error_code} {answer.problem}"
    elif str(row.tokens) not in answer.problem:
        yield f"the error does not say that the prompt has {row.tokens} tokens: {answer.problem}"


def _decision(row: Row, answer: Answer, address: str) -> Iterator[str]:
    expected = {"x-yardstick-model": row.model, "x-yardstick-reason": row.reason, "x-yardstick-endpoint": address}
    for name, value in expected.items():
        if answer.headers.get(name) != value:
            yield f"{name} is {answer.headers.get(name)!r}, expected {value!r}"
    if answer.model != row.model:
        yield f"the answer's model is {answer.model!r}, expected {row.model!r}"


def _usage(answer: Answer, counted: int, max_tokens: int) -> Iterator[str]:
    prompt, completion = answer.usage.get("prompt_tokens"), answer.usage.get("completion_tokens")
    if prompt != counted:
        yield f"usage says {prompt} prompt tokens, the gateway counts {counted}"
    if answer.headers.get("x-yardstick-counted") == "counted" and answer.headers["x-yardstick-prompt-tokens"] != str(
        prompt
    ):
        yield f"it was decided by {answer.headers['x-yardstick-prompt-tokens']} tokens, usage says {prompt}"
    if not isinstance(completion, int) or not 0 < completion <= max_tokens:
        yield f"usage says {completion} tokens out, of at most {max_tokens}"


def _ending(answer: Answer, max_tokens: int) -> Iterator[str]:
    """Of an answer in which nothing but its length can be right or wrong."""
    completion = answer.usage.get("completion_tokens")
    if answer.finish_reason not in ("stop", "length"):
        yield f"it ended with {answer.finish_reason!r}, expected 'stop' or 'length'"
    elif answer.finish_reason == "length" and completion != max_tokens:
        yield f"it ended with 'length' after {completion} of {max_tokens} tokens"
    if not answer.text and completion != 1:
        yield f"{completion} tokens out, and no text"


def _content(answer: Answer) -> Iterator[str]:
    if answer.finish_reason != "stop":
        yield f"it ended with {answer.finish_reason!r}, expected 'stop'"
    code = _code_block(answer.text)
    if code is None:
        yield "there is no code in the answer"
        return
    try:
        ast.parse(code[1])
    except SyntaxError as error:
        yield f"the code in the answer is not Python: {error}"
