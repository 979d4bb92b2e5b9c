"""Blocks of the KV cache: what is found again, what is reused first, and that none gets lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engines.simulated.kv import BLOCK_TOKENS, BlockPool, Prompt, blocks_for

TOKENS = st.lists(st.integers(0, 200_000), max_size=100)


@given(shared=TOKENS, first=TOKENS, second=TOKENS)
def test_equal_hashes_are_equal_beginnings(shared: list[int], first: list[int], second: list[int]) -> None:
    one, other = Prompt(shared + first), Prompt(shared + second)
    assert len(one.hashes) == len(one) // BLOCK_TOKENS
    for number, (left, right) in enumerate(zip(one.hashes, other.hashes, strict=False), start=1):
        end = number * BLOCK_TOKENS
        assert (left == right) == (one.ids[:end] == other.ids[:end])


@given(ids=st.lists(st.integers(0, 200_000), min_size=BLOCK_TOKENS, max_size=100))
def test_blocks_can_be_added_to_a_prompt(ids: list[int]) -> None:
    whole = Prompt(ids)
    last = (len(whole.hashes) - 1) * BLOCK_TOKENS
    before = Prompt(ids[:last])
    assert before.hash_after(before.hashes, ids[last : last + BLOCK_TOKENS]) == whole.hashes[-1]


def test_a_salt_separates_what_is_equal() -> None:
    ids = list(range(40))
    assert set(Prompt(ids, "a").hashes).isdisjoint(Prompt(ids, "b").hashes)
    assert Prompt(ids, "a").hashes == Prompt(ids, "a").hashes


@pytest.mark.parametrize(("tokens", "blocks"), [(0, 0), (1, 1), (16, 1), (17, 2), (131_072, 8192)])
def test_blocks_for(tokens: int, blocks: int) -> None:
    assert blocks_for(tokens) == blocks


def filled(pool: BlockPool, prompt: Prompt) -> list[int]:
    """Blocks that hold the prompt and can be found."""
    blocks = pool.take(blocks_for(len(prompt)))
    for block, known in zip(blocks, prompt.hashes, strict=False):
        pool.remember(block, known)
    return blocks


def test_the_longest_known_beginning_is_found() -> None:
    pool = BlockPool(20)
    ids = list(range(100))
    blocks = filled(pool, Prompt(ids))
    other = Prompt([*ids[:50], 7, *ids[51:]])
    assert pool.longest_hit(other.hashes, 100) == blocks[:3]
    assert pool.longest_hit(Prompt(ids).hashes, 95) == blocks[:5]
    assert pool.longest_hit(Prompt(ids).hashes, 96) == blocks[:6]
    assert pool.longest_hit(Prompt(list(range(1, 101))).hashes, 100) == []


def test_reuse_is_first_nameless_then_longest_unused() -> None:
    """Five blocks: A's two (one full), then B's two full ones, each freed end first; one was never used."""
    pool = BlockPool(6)
    a, b = Prompt(list(range(20))), Prompt(list(range(100, 132)))
    held_a, held_b = filled(pool, a), filled(pool, b)
    assert (held_a, held_b) == ([1, 2], [3, 4])
    pool.release(reversed(held_a))
    pool.release(reversed(held_b))
    # 2 was not full: it comes before 5, which was never used; then A's beginning, B's end, B's beginning.
    assert pool.take(2) == [2, 5]
    assert pool.longest_hit(b.hashes, 32) == [3, 4]
    assert pool.take(2) == [1, 4]
    assert pool.longest_hit(a.hashes, 20) == []
    assert pool.longest_hit(b.hashes, 32) == [3]


def test_what_is_found_and_held_is_not_reused() -> None:
    pool = BlockPool(4)
    prompt = Prompt(list(range(32)))
    held = filled(pool, prompt)
    pool.release(reversed(held))
    assert pool.idle(held) == 2
    pool.hold(pool.longest_hit(prompt.hashes, 31))
    assert (pool.free, pool.idle(held)) == (2, 1)
    assert held[0] not in pool.take(2)
    assert pool.usage == 1.0


def test_a_block_with_two_holders_is_free_after_both() -> None:
    pool = BlockPool(3)
    held = filled(pool, Prompt(list(range(16))))
    pool.hold(held)
    pool.release(held)
    assert pool.free == 1
    pool.release(held)
    assert (pool.free, pool.usage) == (2, 0.0)


def test_of_two_equal_blocks_the_other_is_found_when_one_is_reused() -> None:
    pool = BlockPool(4)
    prompt = Prompt(list(range(16)))
    first, second = filled(pool, prompt), filled(pool, prompt)
    assert pool.longest_hit(prompt.hashes, 16) == first
    pool.release(first)
    assert pool.take(2) == [3, 1]
    assert pool.longest_hit(prompt.hashes, 16) == second


def test_without_caching_nothing_is_found() -> None:
    pool = BlockPool(4, caching=False)
    prompt = Prompt(list(range(32)))
    held = filled(pool, prompt)
    assert pool.longest_hit(prompt.hashes, 32) == []
    pool.release(reversed(held))
    assert pool.take(3) == [2, 1, 3]


def test_a_cache_needs_a_block() -> None:
    with pytest.raises(ValueError, match="at least 2 blocks, got 1"):
        BlockPool(1)
