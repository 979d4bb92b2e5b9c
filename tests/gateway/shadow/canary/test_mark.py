"""Salts that vLLM takes and no two canaries share; the mark that only we can make; the two requests; the pace."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engines.simulated.kv import BLOCK_TOKENS
from gateway.engines.simulated.kv import Prompt as CachedPrompt
from gateway.engines.simulated.rules import check_generation
from gateway.send import OURS
from gateway.shadow.canary.mark import HEADER, cache_salt, mark, marked
from gateway.shadow.canary.pace import is_due, seconds_between_looks
from gateway.shadow.canary.plan import PerHour, PerLiveRequest
from gateway.shadow.canary.prompt import prompt_of
from gateway.shadow.canary.request import CHAT, COMPLETIONS, requests
from gateway.shadow.match.matcher import Form
from tests.gateway.shadow.canary.worlds import FIRST, FIVE, SECOND, plan

SECRET = b"of this gateway"
TASK = next(iter(FIVE.tasks.values()))


@given(st.binary(max_size=40), st.text(max_size=200), st.integers(0, 3))
def test_a_salt_is_one_that_vllm_takes(secret: bytes, id: str, attempt: int) -> None:
    salt = cache_salt(secret, id, attempt)
    check_generation({"cache_salt": salt})
    assert len(salt) == 43


def test_salts_share_no_blocks() -> None:
    salts = {cache_salt(SECRET, f"{number}", attempt) for number in range(100) for attempt in range(2)}
    assert len(salts) == 200
    assert cache_salt(b"another", "1") not in salts
    ids = list(range(4 * BLOCK_TOKENS))
    hashes = [set(CachedPrompt(ids, salt).hashes) for salt in ("", *sorted(salts)[:5])]
    assert len(set.union(*hashes)) == sum(map(len, hashes)) == 24


@given(st.text(st.characters(max_codepoint=127), min_size=1, max_size=40))
def test_only_who_has_the_secret_can_mark(id: str) -> None:
    assert marked(SECRET, mark(SECRET, id)) == id
    assert marked(b"guess", mark(SECRET, id)) is None


def test_what_is_no_mark() -> None:
    value = mark(SECRET, "abc")
    assert marked(SECRET, value) == "abc"
    for other in (None, b"", b"abc", b"abd" + value[3:], value[:-1], b"." + value, b"\xff.\xff"):
        assert marked(SECRET, other) is None
    assert HEADER.startswith(OURS), "headers with this beginning never reach a model server"


def test_both_models_are_asked_the_same() -> None:
    prompt = prompt_of(TASK, Form.INSTRUCT)
    first, second = requests(plan(temperature=0.2), prompt, "salt")
    assert (first.route, first.model, second.model) == (CHAT, FIRST["model"], SECOND["model"])
    assert first.body == {
        "model": FIRST["model"],
        "messages": [{"role": "user", "content": prompt.text}],
        "max_tokens": 1_280,
        "temperature": 0.2,
        "cache_salt": "salt",
    }
    assert second.body == {**first.body, "model": SECOND["model"]}
    assert requests(plan(temperature=0.2), prompt, "salt", priority=7)[1].body == {**second.body, "priority": 7}
    bare = prompt_of(TASK, Form.COMPLETE, direct_completion=True)
    first, _ = requests(plan(), bare, "salt")
    assert (first.route, first.body["prompt"], "temperature" in first.body) == (COMPLETIONS, bare.text, False)


def test_pace() -> None:
    hourly, seldom = PerHour(per_hour=12), PerLiveRequest(per_live_request=0.01)
    assert not is_due(hourly, hours=0.08, live_requests=1_000)
    assert is_due(hourly, hours=0.084, live_requests=0)
    assert not is_due(seldom, hours=99, live_requests=99)
    assert is_due(seldom, hours=0, live_requests=100)


def test_it_is_looked_as_often_as_draws_may_be_due() -> None:
    assert seconds_between_looks(PerHour(per_hour=12)) == 1
    assert seconds_between_looks(PerLiveRequest(per_live_request=1)) == 1
    assert seconds_between_looks(PerHour(per_hour=10_000)) == pytest.approx(0.09)
