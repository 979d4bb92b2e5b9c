"""Whether each row got what it had to get, and whether the run as a whole did."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from gateway.demo.client import Answer
from gateway.demo.workload import MAX_TOKENS, Row
from gateway.families import MODELS

LIMIT_SECONDS = 120.0
_code_block = re.compile(r"```python\n(.+?)```", re.DOTALL).search


@dataclass(frozen=True, slots=True)
class Result:
    """``counted``: the gateway's own full count of the prompt in the row's model (-1: it could not be had)."""

    row: Row
    answer: Answer
    counted: int


def failures(results: Sequence[Result], addresses: Mapping[str, str], seconds: float) -> list[str]:
    """One line for each thing that is not as it has to be, with its row; empty if the demo succeeded."""
    texts = {result.row.name: result.answer.text for result in results}
    found = [f"{result.row.name}: {line}" for result in results for line in _row(result, addresses, texts)]
    answered = {MODELS[result.answer.model].family for result in results if result.answer.model in MODELS}
    missing = {MODELS[model].family for model in addresses} - answered
    found += [f"no answer came from the family {family}" for family in sorted(missing)]
    if seconds >= LIMIT_SECONDS:
        found.append(f"it took {seconds:.0f} s, which is not under {LIMIT_SECONDS:.0f} s")
    return found


def _row(result: Result, addresses: Mapping[str, str], texts: Mapping[str, str]) -> Iterator[str]:
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
    yield from _usage(answer, result.counted)
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


def _usage(answer: Answer, counted: int) -> Iterator[str]:
    prompt, completion = answer.usage.get("prompt_tokens"), answer.usage.get("completion_tokens")
    if prompt != counted:
        yield f"usage says {prompt} prompt tokens, the gateway counts {counted}"
    if answer.headers.get("x-yardstick-counted") == "counted" and answer.headers["x-yardstick-prompt-tokens"] != str(
        prompt
    ):
        yield f"it was decided by {answer.headers['x-yardstick-prompt-tokens']} tokens, usage says {prompt}"
    if not isinstance(completion, int) or not 0 < completion <= MAX_TOKENS:
        yield f"usage says {completion} tokens out, of at most {MAX_TOKENS}"


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
