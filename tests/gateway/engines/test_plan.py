"""From answers to tokens: nothing is lost, no character is split, every way to end is named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from gateway.engines.simulated.answers import Library
from gateway.engines.simulated.plan import Limits, Plan, Planner

TEXT = "naïve 🙂🙂 “Größe” → слово\n\tdef f(x):\n    return x\n"


@pytest.fixture(scope="module")
def planner(tokenizer_file: Path) -> Planner:
    return Planner(Tokenizer.from_file(str(tokenizer_file)), Library())


@pytest.fixture(scope="module")
def plan(planner: Planner) -> Callable[..., Plan]:
    def make(text: str = TEXT, **limits: object) -> Plan:
        return planner.plan(text, Limits(**{"max_tokens": 10_000, **limits}))  # type: ignore[arg-type]

    return make


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(st.characters(codec="utf-8")))
def test_pieces_are_the_text(plan: Callable[..., Plan], text: str) -> None:
    made = plan(text)
    if "\ufffd" not in text:
        assert made.text == text
    assert len(made.pieces) == len(made.ids)


def test_a_character_of_several_tokens_comes_with_its_last_one(plan: Callable[..., Plan]) -> None:
    made = plan("🙂")
    assert made.pieces[-2:] == ["🙂", ""]
    assert set(made.pieces[:-2]) == {""}
    assert len(made.pieces) > 3


def test_an_end_token_counts_and_adds_nothing(plan: Callable[..., Plan], planner: Planner) -> None:
    made = plan()
    assert (made.ids[-1], made.pieces[-1], made.finish_reason) == (planner.end_id, "", "stop")


@pytest.mark.parametrize("most", [1, 2, 7])
def test_max_tokens(plan: Callable[..., Plan], most: int) -> None:
    made = plan(max_tokens=most)
    assert (len(made), made.finish_reason, made.stop_reason) == (most, "length", None)
    assert TEXT.startswith(made.text)


def test_room_for_all_but_the_end_token_is_length(plan: Callable[..., Plan]) -> None:
    tokens = len(plan())
    assert plan(max_tokens=tokens).finish_reason == "stop"
    assert plan(max_tokens=tokens - 1).finish_reason == "length"


def test_ignoring_the_end(plan: Callable[..., Plan], planner: Planner) -> None:
    made = plan("short", max_tokens=500, ignore_end=True)
    assert (len(made), made.finish_reason) == (500, "length")
    assert planner.end_id not in made.ids


def test_min_tokens(plan: Callable[..., Plan]) -> None:
    assert len(plan("short", min_tokens=50)) > 50


@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_stop_strings(plan: Callable[..., Plan], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(TEXT) - 1))
    stop = TEXT[start : start + data.draw(st.integers(1, 6))]
    made, kept = plan(stop=(stop,)), plan(stop=(stop,), keep_stop=True)
    assert made.text == TEXT[: TEXT.index(stop)]
    assert kept.text == made.text + stop
    assert (made.finish_reason, made.stop_reason) == ("stop", stop)
    assert len(made) == len(kept) <= len(plan())


def test_a_stop_string_that_never_comes(plan: Callable[..., Plan]) -> None:
    assert plan(stop=("nowhere",)) == plan()


def test_stop_tokens(plan: Callable[..., Plan]) -> None:
    whole = plan()
    made = plan(stop_ids=frozenset({whole.ids[4]}))
    assert made.ids == whole.ids[: whole.ids.index(whole.ids[4]) + 1]
    assert (made.pieces[-1], made.stop_reason) == ("", whole.ids[4])
