"""Prompts, compared with what bigcodebench 0.2.5 itself makes of the same tasks."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from gateway.shadow.canary.prompt import prompt_of
from gateway.shadow.match.matcher import Form
from gateway.shadow.suites.load import load
from gateway.shadow.suites.task import Suite
from tests.gateway.shadow.canary.worlds import FIVE

# SHA-256 over `make_raw_chat_prompt(...)` of bigcodebench 0.2.5 without a tokenizer, as its OpenAI client calls it with
# `generate`'s default prefixes: complete and instruct of each task in turn, each ended by a zero byte.
OFFICIAL_FIVE = "21c185f3f801f993b045872e4c4050e242ae9897a9c9ed6022d2abb4dea189da"
OFFICIAL_840_TASKS = "7bddc65973748c78f8a596c613a3a20c6a6a9377cf63d9b36a2d813747729147"


def digest(suite: Suite) -> str:
    found = hashlib.sha256()
    for task in suite.tasks.values():
        for form in (Form.COMPLETE, Form.INSTRUCT):
            found.update(prompt_of(task, form).text.encode() + b"\0")
    return found.hexdigest()


@pytest.mark.skipif(
    "YARDSTICK_TEST_DATA" not in os.environ, reason="YARDSTICK_TEST_DATA names no folder with real tasks"
)
def test_chat_prompts_are_the_official_ones() -> None:
    assert digest(load(str(Path(os.environ["YARDSTICK_TEST_DATA"], "bigcodebench", "tasks.jsonl")))) == (
        OFFICIAL_840_TASKS
    )


def test_chat_prompts_of_our_own_suite() -> None:
    assert digest(FIVE) == OFFICIAL_FIVE, "or the suite's tasks changed: then record it anew"


def test_one_by_eye() -> None:
    task = FIVE.tasks["five/algorithms/1"]
    start = (
        "Please provide a self-contained Python script that solves the following problem in a markdown code block:\n"
    )
    complete, instruct = prompt_of(task, Form.COMPLETE), prompt_of(task, Form.INSTRUCT)
    assert complete.text == f"{start}```\n{task.complete_prompt.strip()}\n```\n"
    assert instruct.text == f"{start}{task.instruct_prompt.strip()}\n"
    assert instruct.fields() == {"messages": [{"role": "user", "content": instruct.text}]}


def test_a_base_model_is_given_the_complete_form_alone() -> None:
    task = FIVE.tasks["five/algorithms/1"]
    prompt = prompt_of(task, Form.COMPLETE, direct_completion=True)
    assert (prompt.text, prompt.answer_start) == (task.complete_prompt, task.complete_prompt)
    assert prompt.fields()["prompt"] == task.complete_prompt
    assert len(prompt.stops) == 11
    with pytest.raises(ValueError, match="only be given the complete form"):
        prompt_of(task, Form.INSTRUCT, direct_completion=True)
    with pytest.raises(ValueError, match="no form of canaries"):
        prompt_of(task, Form.CHAT)
