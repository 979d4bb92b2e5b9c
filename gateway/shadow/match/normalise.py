"""Prompts without what clients wrap around them, to be compared for equality.

Exactly this is taken away, in rounds until nothing changes:

- byte order marks; CRLF and CR become LF; blanks and tabs at the ends of lines; blank lines at both ends, and of
  several in a row all but one; indentation that all lines share;
- first lines that are known to ask for nothing but the task (`_HEADS`), last lines that announce the answer (`_TAILS`);
- a fence of three or more backquotes or tildes around all that is left.

Everything else counts: every word, number, sign and blank within a line, case, where lines break, how deep they are
indented. So an instruction that is not on the list makes a prompt another one: it may ask for more than the task does.
"""

from __future__ import annotations

import re

_MOST_LAYERS = 8
_FENCE = re.compile(r"(`{3,}|~{3,})[ \t]*(python|python3|py)?[ \t]*", re.IGNORECASE)

# As whole lines. Sources: bigcode-project/bigcodebench and evalplus/evalplus (codegen), EleutherAI's
# lm-evaluation-harness (humaneval_instruct), openai/simple-evals, deepseek-ai/DeepSeek-Coder and nlpxucan/WizardLM
# (HumanEval); then phrases that people write.
_HEADS = re.compile(
    r"""
    (please\ )?provide\ an?\ (efficient\ and\ )?self-contained\ python\ script\ that\ solves\ the\ following\ problem
        (\ in\ a\ markdown\ code\ block)?
    | write\ a\ solution\ to\ the\ following\ problem\ and\ make\ sure\ that\ it\ passes\ the\ tests
    | read\ the\ following\ function\ signature\ and\ docstring,\ and\ fully\ implement\ the\ function\ described\.
        \ your\ response\ should\ only\ contain\ the\ code\ for\ this\ function
    | please\ continue\ to\ complete\ the\ function\.\ you\ are\ not\ allowed\ to\ modify\ the\ given\ code\ and\ do
        \ the\ completion\ only\.\ please\ return\ all\ completed\ function\ in\ a\ codeblock\.
        \ here\ is\ the\ given\ code\ to\ do\ completion
    | below\ is\ an\ instruction\ that\ describes\ a\ task\.
        \ write\ a\ response\ that\ appropriately\ completes\ the\ request
    | you\ are\ an\ intelligent\ programming\ assistant\ to\ produce\ python\ algorithmic\ solutions
    | create\ a\ python\ script\ for\ this\ problem
    | (\#+\ )?(instruction|question|problem|task|prompt|user)
    | ((can|could)\ you\ )?(please\ )?(complete|implement|finish|write|solve)
        \ (the\ following|this|the)\ (python\ )?(function|code|task|problem|program)
        (\ (below|in\ python|for\ me|please))?
    | (hi|hello|hey)([ ,]+(there|assistant))?
    """,
    re.IGNORECASE | re.VERBOSE,
)
_TAILS = re.compile(r"(\#+ )?(response|answer|solution|assistant)|thanks|thank you|please", re.IGNORECASE)
_END_MARKS = " .:!?,"


def normalise(text: str) -> str:
    """Idempotent. What has more than 8 layers of wrapping keeps all of them."""
    lines = plain = _plain(text)
    for _ in range(_MOST_LAYERS + 1):
        inner = _without_layer(lines)
        if inner == lines:
            return "\n".join(lines)
        lines = inner
    return "\n".join(plain)


def _plain(text: str) -> list[str]:
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\ufeff", "")
    lines = list[str]()
    for line in text.split("\n"):
        line = line.rstrip(" \t")
        if line or (lines and lines[-1]):
            lines.append(line)
    while lines and not lines[-1]:
        lines.pop()
    return _dedented(lines)


def _dedented(lines: list[str]) -> list[str]:
    margins = [line[: len(line) - len(line.lstrip(" \t"))] for line in lines if line] or [""]
    first, last = min(margins), max(margins)
    shared = next((n for n, sign in enumerate(first) if sign != last[n]), len(first))
    return [line[shared:] for line in lines] if shared else lines


def _without_layer(lines: list[str]) -> list[str]:
    first, last = 0, len(lines)
    while first < last and _HEADS.fullmatch(lines[first].strip(_END_MARKS)):
        first += 1
        while first < last and not lines[first]:
            first += 1
    while last > first and _TAILS.fullmatch(lines[last - 1].strip(_END_MARKS)):
        last -= 1
        while last > first and not lines[last - 1]:
            last -= 1
    if last - first >= 2 and _is_one_block(lines[first:last]):
        first, last = first + 1, last - 1
    return lines if (first, last) == (0, len(lines)) else _plain("\n".join(lines[first:last]))


def _is_one_block(lines: list[str]) -> bool:
    opening = _FENCE.fullmatch(lines[0])
    if opening is None or lines[-1] != opening[1]:
        return False
    deepest = f"   {opening[1]}"  # CommonMark: a fence that is indented by four is text
    return not any(
        opening[1] in line[: len(deepest)] and line.lstrip(" ").startswith(opening[1]) for line in lines[1:-1]
    )
