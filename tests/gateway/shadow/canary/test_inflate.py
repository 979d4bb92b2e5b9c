"""Inflated prompts: of the length asked for, with the task as it is, and nothing that gives it away."""

from __future__ import annotations

import gzip
import os
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.shadow.canary.distractors import Distractors
from gateway.shadow.canary.draw import Draw
from gateway.shadow.canary.inflate import Inflated, OutOfReach, Position, inflate
from gateway.shadow.canary.plan import Inflation
from gateway.shadow.canary.prompt import Prompt, RoutingTokens, prompt_of
from gateway.shadow.canary.sources import Source, read_sources
from gateway.shadow.match.matcher import Form
from gateway.shadow.suites.load import load
from gateway.shadow.suites.task import Task
from gateway.tokens import Counter as Tokenizer
from tests.gateway.shadow.canary.worlds import FIVE, TOKENS, by_characters, by_words

ON = Inflation(enabled=True)
TASKS = list(FIVE.tasks.values())
WORDS = ["alpha", "beta", "gamma(x)", "x = 1", "return", "for", "'text'", "éñ", "17", "{}", "    ", "#"]


def written(files: int = 60, seed: int = 0) -> tuple[Source, ...]:
    random = Random(seed)

    def line() -> str:
        return "    " * random.randrange(4) + " ".join(random.choices(WORDS, k=random.randrange(14)))

    return tuple(
        Source(f"package/module_{n}.py", "\n".join(["import os", *(line() for _ in range(random.randrange(10, 150)))]))
        for n in range(files)
    )


WRITTEN = written()


def drawn(target: int | None, id: str = "d", task: Task = TASKS[0], form: Form = Form.COMPLETE) -> Draw:
    return Draw(id, "design", 0, task.task_id, form, 0, 10**6, target, target or 1, 0.5)


def inflated(
    draw: Draw, task: Task, prompt: Prompt, tokens: RoutingTokens = TOKENS, sources: tuple[Source, ...] = WRITTEN
) -> Inflated:
    return inflate(draw, task, prompt, Distractors(sources, tokens.count), tokens, ON)


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 6_000),
    st.sampled_from(TASKS),
    st.sampled_from([Form.COMPLETE, Form.INSTRUCT]),
    st.text(max_size=8),
    st.sampled_from([by_words, by_characters]),
)
def test_any_task_at_any_length(more: int, task: Task, form: Form, id: str, count: Callable[[str], int]) -> None:
    prompt, tokens = prompt_of(task, form), RoutingTokens(count, overhead=5)
    target = tokens.rendered(prompt) + 320 + more  # the least that the design draws
    found = inflated(drawn(target, id, task, form), task, prompt, tokens)
    assert target - ON.slack(target) <= found.tokens <= target
    assert found.tokens == tokens.rendered(found.prompt)
    before, _, after = found.prompt.text.partition(prompt.text)
    assert found.prompt.text.count(prompt.text) == 1
    named = re.compile(rf"\b{re.escape(task.entry_point)}\b")
    assert not named.search(before)
    assert not named.search(after)
    files = before.count("<file path="), after.count("<file path=")
    assert found.position is {(False, True): Position.BEGINNING, (True, False): Position.END}.get(
        (files[0] > 0, files[1] > 0), Position.MIDDLE
    )
    assert len(found.files) == sum(files) > 0
    assert found == inflated(drawn(target, id, task, form), task, prompt, tokens)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 3_000), st.text(max_size=3), st.sampled_from([len, lambda text: len(set(text.split())), hash]))
def test_never_out_of_tolerance_whatever_the_counter(target: int, id: str, count: Callable[[str], int]) -> None:
    tokens = RoutingTokens(count)
    try:
        found = inflated(drawn(target, id), TASKS[0], prompt_of(TASKS[0], Form.COMPLETE), tokens)
    except OutOfReach:
        return
    assert target - ON.slack(target) <= tokens.rendered(found.prompt) <= target


def test_positions_and_files_are_drawn_by_the_id() -> None:
    prompt = prompt_of(TASKS[0], Form.COMPLETE)
    found = [inflated(drawn(3_000, str(number)), TASKS[0], prompt) for number in range(150)]
    positions = Counter(each.position for each in found)
    assert all(30 <= positions[position] <= 70 for position in Position)
    assert len({each.digest for each in found}) > 140
    middle = [each.tokens_before / each.tokens for each in found if each.position is Position.MIDDLE]
    assert 0.1 < min(middle) < 0.4 < 0.5 < max(middle) < 0.8


def test_a_completion_ends_with_its_task() -> None:
    prompt = prompt_of(TASKS[0], Form.COMPLETE, direct_completion=True)
    for number in range(20):
        found = inflated(drawn(4_000, str(number)), TASKS[0], prompt)
        assert found.position is Position.END
        assert found.prompt.text.endswith(f"\n# task.py\n{TASKS[0].complete_prompt}")
        assert (found.prompt.answer_start, found.prompt.stops) == (prompt.answer_start, prompt.stops)
        assert 4_000 - ON.slack(4_000) <= by_words(found.prompt.text) == found.tokens <= 4_000


def test_the_digest_is_of_the_files() -> None:
    prompt = prompt_of(TASKS[0], Form.COMPLETE)
    found = inflated(drawn(3_000), TASKS[0], prompt)
    changed = tuple(replace(source, text=source.text.replace("alpha", "omega")) for source in WRITTEN)
    assert inflated(drawn(3_000), TASKS[0], prompt, sources=changed).digest != found.digest


def test_what_is_out_of_reach_says_why() -> None:
    prompt = prompt_of(TASKS[0], Form.COMPLETE)
    with pytest.raises(OutOfReach, match="tokens by itself, so it can't be brought to 100"):
        inflated(drawn(100), TASKS[0], prompt)
    with pytest.raises(OutOfReach, match="too few files"):
        inflated(drawn(10_000), TASKS[0], prompt, sources=WRITTEN[:1])
    with pytest.raises(OutOfReach, match="has no target"):
        inflated(drawn(None), TASKS[0], prompt)


def test_two_files_of_one_path_are_refused() -> None:
    with pytest.raises(ValueError, match="same path"):
        Distractors((WRITTEN[0], WRITTEN[0]), by_words)


def test_text_is_counted_about_once() -> None:
    counted = [0]

    def count(text: str) -> int:
        counted[0] += len(text)
        return by_words(text)

    tokens = RoutingTokens(count)
    distractors, prompt = Distractors(WRITTEN, count), prompt_of(TASKS[0], Form.COMPLETE)
    found = inflate(drawn(20_000), TASKS[0], prompt, distractors, tokens, ON)
    assert counted[0] < 2.7 * len(found.prompt.text)
    counted[0] = 0
    inflate(drawn(20_000), TASKS[0], prompt, distractors, tokens, ON)
    assert counted[0] < 1.3 * len(found.prompt.text)


@pytest.mark.skipif("YARDSTICK_TEST_DATA" not in os.environ, reason="YARDSTICK_TEST_DATA names no folder with tasks")
def test_real_tasks_among_real_files_with_a_real_tokenizer() -> None:
    folder = Path(os.environ["YARDSTICK_TEST_DATA"])
    tokenizer = Tokenizer(gzip.decompress((folder / "tokenizers" / "glm4" / "tokenizer.json.gz").read_bytes()))
    whole = list[int]()

    def count(text: str) -> int:
        if len(text) > 4_000:
            whole.append(len(text))
        return tokenizer.count(text, 1 << 30).tokens

    tokens, distractors = RoutingTokens(count, overhead=6), Distractors(read_sources(), count)
    tasks = list(load(str(folder / "bigcodebench" / "tasks.jsonl")).tasks.values())
    for number, target in enumerate((1_024, 2_048, 8_192, 32_768, 120_000)):
        task = tasks[number]
        whole.clear()
        found = inflate(drawn(target, "real"), task, prompt_of(task, Form.INSTRUCT), distractors, tokens, ON)
        assert target - ON.slack(target) <= found.tokens <= target
        assert len(whole) <= 2, "the whole prompt is counted once: pieces add up"
