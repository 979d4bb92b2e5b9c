"""The KV cache of a simulated engine: fixed blocks, the prefix cache over them, and the order in which they are reused.

The rules are those of vLLM 0.32 (``v1/core/block_pool.py``, ``kv_cache_utils.py``) for a model whose layers all attend
to everything. A full block is found again by a hash over its tokens and, by the hash before it, over all tokens before
it. A block that nobody holds is free, whether or not it can still be found: it is forgotten when it is handed out.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from hashlib import blake2b

BLOCK_TOKENS = 16
_HASH_BYTES = 16


class Prompt:
    """The token ids of one prompt, hashed at most once however many sequences start with it."""

    def __init__(self, ids: Sequence[int], salt: str = "") -> None:
        """Prompts with different salts share no blocks (a request's ``cache_salt``)."""
        self.ids = ids
        self._salt = salt.encode("utf-8", "surrogatepass")

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def hashes(self) -> tuple[bytes, ...]:
        """One hash for each full block. 131,072 tokens take about 10 ms."""
        return tuple(_hashes(self._salt, self.ids))

    def hash_after(self, hashes: Sequence[bytes], ids: Sequence[int]) -> bytes:
        """The hash of one further full block; ``hashes`` are those of all blocks before it."""
        return next(_hashes(hashes[-1] if hashes else self._salt, ids))


def _hashes(before: bytes, ids: Sequence[int]) -> Iterator[bytes]:
    numbers = array("q", ids)
    data, size = numbers.tobytes(), numbers.itemsize * BLOCK_TOKENS
    for start in range(0, len(data) - size + 1, size):
        before = blake2b(before + data[start : start + size], digest_size=_HASH_BYTES).digest()
        yield before


def blocks_for(tokens: int) -> int:
    return -(-tokens // BLOCK_TOKENS)


class BlockPool:
    """All blocks, by number. As in vLLM, block 0 is a placeholder that is never handed out.

    Free blocks are reused from the front of one queue: first those without a hash, the latest freed first, then those
    that can be found, the earliest freed first. Who frees blocks names those that may be reused first, first.
    """

    def __init__(self, blocks: int, *, caching: bool = True) -> None:
        if blocks < 2:
            raise ValueError(f"a KV cache needs at least 2 blocks, got {blocks}")
        self.size = blocks - 1
        self._caching = caching
        self._free: OrderedDict[int, None] = OrderedDict.fromkeys(range(1, blocks))
        self._holders = [0] * blocks
        self._hash: list[bytes | None] = [None] * blocks
        # Two sequences may compute the same block side by side: then a hash has several, the first of which is found.
        self._found: dict[bytes, tuple[int, ...]] = {}

    @property
    def free(self) -> int:
        return len(self._free)

    @property
    def usage(self) -> float:
        """The held share, 0 to 1."""
        return 1.0 - len(self._free) / self.size

    def longest_hit(self, hashes: Sequence[bytes], most_tokens: int) -> list[int]:
        """The blocks of the longest known prefix, as whole blocks within ``most_tokens``."""
        hit: list[int] = []
        if not self._caching:
            return hit
        for number in range(min(len(hashes), most_tokens // BLOCK_TOKENS)):
            blocks = self._found.get(hashes[number])
            if blocks is None:
                break
            hit.append(blocks[0])
        return hit

    def idle(self, blocks: Iterable[int]) -> int:
        """How many of these are free at the moment, and would no longer be when held again."""
        return sum(1 for block in blocks if not self._holders[block])

    def hold(self, blocks: Iterable[int]) -> None:
        """Hold blocks that were found."""
        for block in blocks:
            if not self._holders[block]:
                del self._free[block]
            self._holders[block] += 1

    def take(self, count: int) -> list[int]:
        """Hold ``count`` free blocks, which forget what they were. There must be as many."""
        taken = [self._free.popitem(last=False)[0] for _ in range(count)]
        for block in taken:
            self._forget(block)
            self._holders[block] = 1
        return taken

    def remember(self, block: int, hash_: bytes) -> None:
        """A held block is full, and can be found from now on."""
        if self._caching:
            self._hash[block] = hash_
            self._found[hash_] = (*self._found.get(hash_, ()), block)

    def release(self, blocks: Iterable[int]) -> None:
        nameless: list[int] = []
        for block in blocks:
            self._holders[block] -= 1
            if self._holders[block]:
                continue
            if self._hash[block] is None:
                nameless.append(block)
            else:
                self._free[block] = None
        for block in reversed(nameless):
            self._free[block] = None
            self._free.move_to_end(block, last=False)

    def _forget(self, block: int) -> None:
        known = self._hash[block]
        if known is None:
            return
        self._hash[block] = None
        others = tuple(other for other in self._found[known] if other != block)
        if others:
            self._found[known] = others
        else:
            del self._found[known]
