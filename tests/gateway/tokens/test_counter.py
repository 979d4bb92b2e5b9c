"""Counts equal the reference library's, whatever is counted, and cost no more than they must."""

from __future__ import annotations

import json
import random
import sysconfig
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.tokens import Counter, load_counter, split
from gateway.tokens.demo import special_tokens
from gateway.tokens.equality import equal_ranks
from routing.length import Counted

ALL = 10**9
quick = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

fragments = st.sampled_from(
    [
        *(
            "\n",
            "\n\n",
            " ",
            "  ",
            "\t",
            "\r\n",
            "    ",
            "'s",
            "'ſ",
            "'re",
            "a",
            "Z",
            "word",
            "Word",
            "0",
            "123",
            "12345",
        ),
        *(
            ".",
            "...",
            "({[",
            "é",
            "е",
            "代码",
            "，",
            "。",
            "\u0301",
            "\u200b",
            "\u00a0",
            "\u2028",
            "😀",
            "\U0001d160",
            "ﷺ",
        ),
        *("def f(x):\n    return x\n", '{"a": [1, 2.5]}', "_id_", "<|", "|>", "[", "]"),
        *special_tokens(),
    ]
)
texts = st.lists(st.one_of(fragments, st.text(max_size=6)), max_size=60).map("".join)


@given(text=texts, repeat=st.integers(1, 4))
@quick
def test_counts_as_the_reference_does(both, text, repeat):
    text *= repeat
    assert both.counter.count(text, ALL) == Counted(both.exact(text), complete=True)


@given(text=texts.filter(bool), size=st.integers(1, 40))
@quick
def test_pieces_count_as_the_whole(both, text, size):
    """With pieces of a few characters every place where a text may be cut is used."""
    whole = both.exact(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(split, "PIECE_BYTES", 4 * size)
        cut = "".join(split.pieces(text))
        assert cut == text
        clean = not any(token in text for token in special_tokens())
        if clean:
            assert sum(both.exact(piece) for piece in split.pieces(text)) == whole


def test_counts_large_files_as_the_reference_does(both):
    folder = Path(sysconfig.get_paths()["stdlib"])
    files = [folder / name for name in ("typing.py", "encodings/cp1252.py", "html/entities.py", "turtle.py")]
    text = "".join(path.read_text("utf-8") for path in files)
    for sample in (text, json.dumps(text), text.replace("\n", " "), text.replace(" ", "").replace("\n", "")):
        assert both.counter.count(sample, ALL) == Counted(both.exact(sample), complete=True)


def test_uses_the_fast_library_only_where_it_is_proven(both):
    assert both.counter.exact_library == "tiktoken"
    description = json.loads(both.source)
    description["model"]["merges"].reverse()
    assert Counter(json.dumps(description).encode()).exact_library == "tokenizers"
    description["pre_tokenizer"] = None
    description["normalizer"] = {"type": "NFC"}
    slow = Counter(json.dumps(description).encode())
    assert slow.exact_library == "tokenizers"
    assert slow.expansion.factor == 3


def test_a_list_without_a_needed_merge_proves_nothing():
    ranks = {b"a": 0, b"b": 1, b"c": 2, b"ab": 3, b"abc": 4}
    assert equal_ranks(ranks, [(b"a", b"b"), (b"ab", b"c")], whole_words_first=False) == ranks
    assert equal_ranks(ranks, [(b"ab", b"c"), (b"a", b"b")], whole_words_first=False) is None
    ranks = {b"a": 0, b"b": 1, b"c": 2, b"bc": 3, b"ab": 4, b"abc": 5}
    assert equal_ranks(ranks, [(b"b", b"c"), (b"a", b"b"), (b"ab", b"c")], whole_words_first=False) is None


def test_ranks_may_have_gaps():
    ranks = {b"a": 0, b"b": 1, b"c": 2, b"ab": 5, b"abc": 9}
    assert equal_ranks(ranks, [(b"a", b"b"), (b"ab", b"c")], whole_words_first=False) == ranks


def test_a_token_that_merging_never_builds_is_not_looked_up():
    ranks = {b"a": 0, b"b": 1, b"c": 2, b"abc": 3}
    assert equal_ranks(ranks, [], whole_words_first=False) == {b"a": 0, b"b": 1, b"c": 2}
    assert equal_ranks(ranks, [], whole_words_first=True) == ranks


def test_stops_past_the_limit(trained):
    text = "some words of text, again and again\n" * 30_000
    started = time.thread_time()
    found = trained.counter.count(text, 5000)
    assert 5000 < found.tokens < 5000 + split.PIECE_BYTES
    assert not found.complete
    assert time.thread_time() - started < 0.2


@pytest.mark.parametrize("run", [" ", "a", "\n", "代", ".", "\u0301", "é"])
def test_a_huge_unbroken_run_is_given_up_at_once(trained, run):
    started = time.thread_time()
    found = trained.counter.count(run * 4_000_000, 8192)
    assert found.unsplittable
    assert not found.complete
    assert time.thread_time() - started < 0.5


def test_many_blanks_to_the_token_are_given_up_in_bounded_time(trained):
    started = time.thread_time()
    found = trained.counter.count(("a" + " " * 7000) * 600, 8192)
    assert not found.complete
    assert time.thread_time() - started < 2


class Panic(BaseException):
    """As the regex engine's PanicException: no Exception."""


def test_a_panic_of_the_tokenizer_is_no_crash(trained):
    counter = Counter(trained.source)

    def encode(text: str) -> list[int]:
        raise Panic

    counter._encode = encode
    assert counter.count("text", 10) == Counted(0, complete=False, unsplittable=True)


def test_remembers_pieces_within_its_bytes(trained):
    counter = Counter(trained.source, cache_bytes=160 * 100)
    calls = []
    encode = counter._encode
    counter._encode = lambda text: calls.append(text) or encode(text)
    text = "".join(f"line {at} of a long conversation\n" for at in range(5000))
    first = counter.count(text, ALL)
    counted = len(calls)
    assert counter.count(text + "and one more line", ALL).tokens > first.tokens
    assert len(calls) - counted <= 2, "only what was added is counted anew"
    for at in range(300):
        counter.count(f"{at} " * 200, ALL)
    assert len(counter._cache._counts) <= 100


@pytest.mark.parametrize("source", ["trained", "slow"])
def test_counting_lets_other_threads_run(trained, source):
    """The longest pause of another thread while 3 MB are counted."""
    if source == "slow":
        description = json.loads(trained.source)
        description["model"]["merges"].append(description["model"]["merges"].pop(0))
        counter = Counter(json.dumps(description).encode(), cache_bytes=0)
        assert counter.exact_library == "tokenizers"
    else:
        counter = Counter(trained.source, cache_bytes=0)
    text = "".join(f"value_{random.Random(at).random()} = {at}\n" for at in range(40_000))
    worker = threading.Thread(target=counter.count, args=(text, ALL))
    pauses, last = [], time.perf_counter()
    worker.start()
    while worker.is_alive():
        time.sleep(0)
        now = time.perf_counter()
        pauses.append(now - last)
        last = now
    assert sorted(pauses)[-3] < 0.1


def test_loads_plain_and_gzipped_files_and_says_what_is_wrong(tmp_path, trained):
    import gzip

    plain, packed = tmp_path / "tokenizer.json", tmp_path / "tokenizer.json.gz"
    plain.write_bytes(trained.source)
    packed.write_bytes(gzip.compress(trained.source, 1))
    assert load_counter(str(plain)).count("a b c", ALL) == load_counter(str(packed)).count("a b c", ALL)
    plain.write_text("{}")
    with pytest.raises(ValueError, match=r"not a tokenizer\.json"):
        load_counter(str(plain))
    with pytest.raises(ValueError, match="No such file"):
        load_counter(str(tmp_path / "none.json"))
