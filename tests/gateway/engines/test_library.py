"""The code that the simulated models answer with is right, and is chosen as promised."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from urllib.error import HTTPError, URLError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engines.simulated.answers import Library
from gateway.engines.simulated.library import (
    binary_search,
    csv_totals,
    flatten,
    iso_dates,
    lru_cache,
    matrix,
    merge_intervals,
    rest_pages,
    shortest_path,
    token_bucket,
    topological_sort,
    trie,
    word_count,
    worker_pool,
)


@pytest.fixture(scope="module")
def library() -> Library:
    return Library()


def test_dates_become_utc() -> None:
    noon = datetime(2025, 1, 31, 12, tzinfo=UTC)
    assert [iso_dates.parse_iso(text) for text in ("2025-01-31T12:00Z", "2025-01-31T14:00+02:00")] == [noon, noon]
    with pytest.raises(ValueError, match="Invalid isoformat"):
        iso_dates.parse_iso("tomorrow")


def test_lru_drops_the_least_recently_used() -> None:
    cache: lru_cache.LRUCache[str, int] = lru_cache.LRUCache(2)
    cache.put("a", 1)
    cache.put("b", 2)
    assert cache.get("a") == 1
    cache.put("c", 3)
    assert (cache.get("b"), cache.get("a"), len(cache)) == (None, 1, 2)


def test_pages_are_followed_and_failures_retried() -> None:
    pages = {"/1": {"items": [1, 2], "next": "/2"}, "/2": {"items": [3], "next": None}}
    assert list(rest_pages.iter_items("/1", pages.__getitem__)) == [1, 2, 3]
    failures = [URLError("down"), HTTPError("/", 503, "busy", {}, None)]  # type: ignore[arg-type]
    pauses: list[float] = []

    def fetch(url: str) -> str:
        if failures:
            raise failures.pop(0)
        return url

    assert rest_pages.get_with_retries("/x", fetch, sleep=pauses.append) == "/x"
    assert pauses == [0.5, 1.0]
    failures.append(HTTPError("/", 404, "gone", {}, None))  # type: ignore[arg-type]
    with pytest.raises(HTTPError):
        rest_pages.get_with_retries("/x", fetch, sleep=pauses.append)


def test_topological_sort() -> None:
    assert topological_sort.topological_sort({"app": ["db", "log"], "db": ["log"]}) == ["log", "db", "app"]
    with pytest.raises(ValueError, match="cycle among a, b"):
        topological_sort.topological_sort({"a": ["b"], "b": ["a"]})


@given(st.lists(st.integers()), st.integers())
def test_binary_search(values: list[int], target: int) -> None:
    values.sort()
    expected = values.index(target) if target in values else -1
    assert binary_search.binary_search(values, target) == expected


def test_intervals() -> None:
    assert merge_intervals.merge_intervals([(5, 6), (1, 3), (2, 4), (4, 5)]) == [(1, 6)]


def test_token_bucket() -> None:
    now = [0.0]
    bucket = token_bucket.TokenBucket(rate=2, capacity=1, clock=lambda: now[0])
    assert [bucket.allow(), bucket.allow()] == [True, False]
    now[0] = 0.5
    assert bucket.allow()


def test_csv_totals() -> None:
    assert csv_totals.totals_by(["who,sum", "a,0.1", "b,1", "a,0.2"], "who", "sum") == {
        "a": Decimal("0.3"),
        "b": Decimal(1),
    }


def test_shortest_path() -> None:
    graph = {"a": {"b": 4, "c": 1}, "c": {"b": 2}}
    assert shortest_path.shortest_path(graph, "a", "b") == (3.0, ["a", "c", "b"])
    with pytest.raises(KeyError, match="no way"):
        shortest_path.shortest_path(graph, "b", "a")


def test_flatten() -> None:
    assert flatten.flatten({"a": [{"b": 1}], "c": 2}) == {"a.0.b": 1, "c": 2}


def test_words_of_any_script() -> None:
    assert word_count.most_common_words("Straße STRASSE, слово don't") == [("strasse", 2), ("don't", 1), ("слово", 1)]


async def test_map_limited_keeps_order() -> None:
    async def double(value: int) -> int:
        return 2 * value

    assert await worker_pool.map_limited(double, range(5), limit=2) == [0, 2, 4, 6, 8]


def test_matrix() -> None:
    assert matrix.multiply([[1, 2]], [[3], [4]]) == [[11]]
    assert matrix.transpose([[1, 2], [3, 4]]) == [[1, 3], [2, 4]]


def test_trie() -> None:
    words = trie.Trie()
    for word in ("car", "cart", "dog"):
        words.add(word)
    assert words.starting_with("car") == ["car", "cart"]
    assert words.starting_with("x") == []


def test_every_subject_is_code_and_can_be_asked_for(library: Library) -> None:
    assert len(library.subjects) >= 12
    for subject in library.subjects:
        compile(subject.code, subject.name, "exec")
        assert subject in [library.choose(" ".join(sorted(subject.keywords)), 0, index) for index in range(3)]


def test_a_named_subject_is_answered(library: Library) -> None:
    assert library.choose("Please write a topological sort of a dependency graph", 0, 0).name == "topological_sort"
    assert "def parse_iso" in library.chat("How do I parse an ISO timestamp?", 0, 0)


@given(st.text(), st.integers(-(2**63), 2**63 - 1), st.integers(0, 20))
def test_the_same_question_gets_the_same_answer(prompt: str, seed: int, index: int) -> None:
    library = Library()
    assert library.chat(prompt, seed, index) == library.chat(prompt, seed, index)


def test_seeds_and_choices_vary(library: Library) -> None:
    assert len({library.chat("hello", seed, 0) for seed in range(20)}) > 3
    assert len({library.chat("hello", 0, index) for index in range(4)}) == 4
