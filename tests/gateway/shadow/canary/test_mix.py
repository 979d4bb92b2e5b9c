"""The sketch of live traffic: what it keeps, that it merges, what it reads."""

from __future__ import annotations

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.shadow.canary.mix import EDGES, NO_LIBRARY, LiveMix, libraries_in
from gateway.shadow.match.matcher import Form
from tests.gateway.shadow.canary.worlds import mixes


def test_it_counts_lengths_libraries_and_forms() -> None:
    mix = LiveMix()
    mix.observe(128, ["numpy", "os"], Form.COMPLETE)
    mix.observe(129, [], Form.CHAT, stands_for=10)
    mix.observe(10**9, ["our_secret"], Form.CHAT)
    assert (mix.lengths[0], mix.lengths[1], mix.lengths[-1], mix.requests) == (1, 10, 1, 12)
    assert mix.libraries == {NO_LIBRARY: 11, "numpy": 1, "os": 1}
    assert mix.forms == {Form.CHAT: 11, Form.COMPLETE: 1}


@given(mixes(), mixes(), mixes())
def test_merging_is_associative_and_in_any_order(a: LiveMix, b: LiveMix, c: LiveMix) -> None:
    assert a.merged(b).merged(c) == a.merged(b.merged(c)) == c.merged(a).merged(b)
    assert a.merged(LiveMix()) == a
    assert a.merged(b).requests == a.requests + b.requests


@given(mixes())
def test_it_survives_a_store(mix: LiveMix) -> None:
    assert LiveMix.from_json(json.loads(json.dumps(mix.to_json()))) == mix


@given(mixes())
def test_it_keeps_known_names_only_and_bounded(mix: LiveMix) -> None:
    assert "a_secret_project" not in json.dumps(mix.to_json())
    assert len(mix.lengths) == len(EDGES) + 1


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"edges": [1, 2]}, "other bins"),
        ({"lengths": [0]}, "other bins"),
        ({"libraries": {"a_secret_project": 1}}, "known libraries only"),
        ({"libraries": {"os": -1}}, "counts only"),
        ({"libraries": {"os": 1.5}}, "counts only"),
        ({"forms": {"poem": 1}}, "not a valid Form"),
        ({"forms": None}, "counts of libraries and of forms"),
    ],
)
def test_what_is_no_mix_is_refused(change: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        LiveMix.from_json({**LiveMix().to_json(), **change})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("import numpy as np, os.path\nimport pandas", {"numpy", "os", "pandas"}),
        ("from sklearn.linear_model import Lasso", {"sklearn"}),
        (">>> import json  # to dump\r\n    from random import shuffle\r\n", {"json", "random"}),
        ("import json; print(1)", {"json"}),
        ("import our_secret, re", {"re"}),
        ("from time to time\nimport random numbers into it", set()),
        ("x" * 200_000 + "\nimport os", set()),
    ],
)
def test_libraries_that_a_prompt_imports(text: str, found: set[str]) -> None:
    assert libraries_in(text) == found


@given(st.text(alphabet="import fromas.,\n\t> x#", max_size=300))
def test_any_text_can_be_looked_at(text: str) -> None:
    libraries_in(text)


@pytest.mark.parametrize("text", ["import " + "a" * 200_000, "import " + "a, " * 60_000, ">" * 200_000, "\t" * 200_000])
def test_no_text_takes_long(text: str) -> None:
    start = time.process_time()
    libraries_in(text)
    assert time.process_time() - start < 0.5
