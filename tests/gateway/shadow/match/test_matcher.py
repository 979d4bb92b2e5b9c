from __future__ import annotations

import time
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.shadow.match import Form, Kind, Match, Matcher, Prompt
from gateway.shadow.match.alike import groups_of, pairs_alike
from gateway.shadow.match.prompt import LONGEST
from gateway.shadow.match.tfidf import Weights, grams, similarity
from gateway.shadow.suites.load import load
from gateway.shadow.suites.task import Task

FIVE = list(load("five").tasks.values())
MATCHER = Matcher(FIVE)
TASK = FIVE[0]


def copy(task_id: str, *, word: str = "", of: Task = TASK) -> Task:
    """The task with another word at the end of its description."""
    return replace(
        of, task_id=task_id, complete_prompt=of.complete_prompt.replace("Parameters:", f"{word} Parameters:")
    )


def near(task: Task = TASK) -> Prompt:
    return Prompt(f"Do this.\n{task.complete_prompt}")


def test_kinds_and_forms() -> None:
    complete, instruct = TASK.complete_prompt, TASK.instruct_prompt
    assert MATCHER.match(Prompt(complete)) == Match(TASK.task_id, Kind.EXACT, Form.COMPLETE, 1.0)
    assert MATCHER.match(Prompt(instruct)) == Match(TASK.task_id, Kind.EXACT, Form.INSTRUCT, 1.0)
    assert MATCHER.match(Prompt(complete, alone=False)) == Match(TASK.task_id, Kind.NEAR, Form.COMPLETE, 1.0)
    assert MATCHER.match(Prompt(instruct, True, False)) == Match(TASK.task_id, Kind.NEAR, Form.CHAT, 1.0)
    found = MATCHER.match(near())
    assert found is not None
    assert (found.kind, found.form) == (Kind.NEAR, Form.COMPLETE)
    assert 0.9 < found.score < 1


def test_nothing_without_the_signature() -> None:
    assert MATCHER.match(Prompt(TASK.complete_prompt.replace("(bookings)", "(bookings, strict)"))) is None
    assert MATCHER.match(Prompt(TASK.complete_prompt.replace("def merge_bookings", "def merge"))) is None
    assert MATCHER.match(Prompt("def merge_bookings(bookings):\n")) is None


def test_the_threshold_is_kept() -> None:
    found = MATCHER.match(near())
    assert found is not None
    assert Matcher(FIVE, threshold=found.score).match(near()) == found
    assert Matcher(FIVE, threshold=found.score + 1e-6).match(near()) is None


def test_the_most_alike_of_those_with_the_signature() -> None:
    """BigCodeBench has dozens of tasks with one header; here ten share one."""
    header = TASK.code_prompt.strip()
    shared = [
        replace(other, code_prompt=TASK.code_prompt, entry_point=TASK.entry_point, complete_prompt=f"{header}\n{text}")
        for other in FIVE[:10]
        if (text := other.complete_prompt.partition(":\n")[2])
    ]
    matcher = Matcher(shared)
    for task in shared:
        found = matcher.match(near(task))
        assert found is not None
        assert found.task_id == task.task_id


def test_tasks_alike_are_flagged() -> None:
    matcher = Matcher([*FIVE, copy("b", word="zeal"), copy("a"), copy("c", word="yoke", of=FIVE[3])])
    assert matcher.groups == ((TASK.task_id, "b", "a"), (FIVE[3].task_id, "c"))
    found = matcher.match(Prompt(TASK.complete_prompt))
    assert found is not None
    assert (found.task_id, set(found.alike)) == (TASK.task_id, {"a", "b"})
    assert matcher.match(Prompt(FIVE[1].complete_prompt)) == MATCHER.match(Prompt(FIVE[1].complete_prompt))
    assert MATCHER.groups == ()


def test_groups_are_joined() -> None:
    assert groups_of([("a", "b"), ("c", "d"), ("e", "f"), ("b", "c")]) == (("a", "b", "c", "d"), ("e", "f"))
    assert groups_of([]) == ()


def test_of_equal_prompts_the_first_is_found() -> None:
    found = Matcher([replace(TASK, task_id="a"), replace(TASK, task_id="b")]).match(Prompt(TASK.complete_prompt))
    assert found == Match("a", Kind.EXACT, Form.COMPLETE, 1.0, ("b",))


def test_an_empty_prompt_is_no_task() -> None:
    """HumanEval has no instruct prompts."""
    matcher = Matcher([replace(TASK, instruct_prompt="")])
    assert matcher.match(Prompt("")) is None
    assert matcher.match(Prompt("```\n```")) is None
    assert Matcher([]).match(Prompt(TASK.complete_prompt)) is None


def test_work_is_bounded() -> None:
    assert MATCHER.match(Prompt(TASK.complete_prompt + " " * LONGEST)) is None
    assert Matcher([replace(TASK, complete_prompt="a" * 10_000_000)]).match(Prompt(TASK.instruct_prompt)) is not None


def test_cost() -> None:
    """Ten times what it takes, so that only another order of growth fails."""
    matcher = Matcher([copy(str(number), word=f"word{number} " * 60) for number in range(100)])
    assert _best_seconds(matcher, TASK.complete_prompt + "x") < 0.03
    hardest = f"{TASK.code_prompt}{'a b c d e ' * LONGEST}"[:LONGEST]
    assert _best_seconds(matcher, hardest) < 0.1


def _best_seconds(matcher: Matcher, text: str) -> float:
    def seconds() -> float:
        started = time.process_time()
        matcher.match(Prompt(text))
        return time.process_time() - started

    return min(seconds() for _ in range(5))


@pytest.mark.parametrize("piece", ["\0", "\ud800", "def merge_bookings(", "```\n", '"', "(", "\r", "\n\t", "é\u0301"])
@pytest.mark.parametrize("length", [1, LONGEST, 10_000_000])
def test_any_piece_any_length(piece: str, length: int) -> None:
    assert MATCHER.match(Prompt((piece * (length // len(piece) + 1))[:length])) is None


_WORDS = st.sampled_from(TASK.complete_prompt.split(" "))


@given(
    st.lists(_WORDS | st.characters() | st.sampled_from(["\ud800", "\0"])).map(" ".join), st.booleans(), st.booleans()
)
def test_any_text(text: str, turns: bool, alone: bool) -> None:
    found = MATCHER.match(Prompt(text, turns, alone))
    assert found is None or (0 <= found.score <= 1 and (found.kind is Kind.NEAR or (alone and found.score == 1)))


_FEW_WORDS = st.lists(st.sampled_from("abcdef"), max_size=12).map(" ".join)


@given(st.lists(_FEW_WORDS, max_size=12), st.sampled_from([0.1, 0.5, 0.7, 0.95, 1]))
def test_pairs_alike_are_all_of_them(texts: list[str], threshold: float) -> None:
    """Prefixes leave nothing out."""
    counted = [grams(text) for text in texts]
    weights = Weights(counted)
    documents = [weights.document(counts, threshold) for counts in counted]
    queries = [weights.vector(counts) for counts in counted]
    found = set(pairs_alike(documents, threshold))
    for one, other in combinations(range(len(texts)), 2):
        score = similarity(queries[other], documents[one])
        if abs(score - threshold) > 1e-6:
            assert ((one, other) in found) is (score >= threshold)
        if score >= threshold + 1e-6:
            assert documents[one].may_reach(queries[other])
