"""Counts with one tokenizer: exactly, in pieces, and no further than asked.

Counting releases the interpreter lock (both libraries do), so it belongs into a thread.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import secrets
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

import msgspec
import tiktoken
from tokenizers import Tokenizer

from gateway.tokens import split
from gateway.tokens.bytelevel import ranks_of, to_bytes
from gateway.tokens.equality import equal_ranks
from gateway.tokens.expansion import Expansion, expansion_of
from routing.length import Counted

_ENTRY_BYTES = 190  # of one remembered count: key, number, and their places in the dict (measured)
_WORTH_REMEMBERING = 256  # characters
_WHOLE_BYTES = 256 * 1024  # a text that can't be cut, because it is not known where, is counted whole up to this
_COSTLY = 16  # bytes per token asked for beyond which a count is given up: runs of blanks are 512 bytes a token


class _Estimate(Protocol):
    @property
    def tokens(self) -> int: ...


Enough = Callable[[int, int], _Estimate | None]
"""Told the characters read and their tokens after each piece: an estimate of the whole if that will do."""


class Counter:
    """One tokenizer.json. ``expansion`` bounds what it makes of a text; ``exact_library`` says which library counts.

    Takes the place of the tokenizer in a gateway's memory: about 72 MB for 151,000 tokens with tiktoken.
    """

    def __init__(self, source: bytes, *, cache_bytes: int = 32 * 1024 * 1024) -> None:
        """``source``: a tokenizer.json's bytes. Raises ValueError if it is none."""
        try:
            description = msgspec.json.decode(source)
            self.expansion: Expansion = expansion_of(description)
            self._added = _Added(description)
            encode = _fast(description) if self._added.plain else None
        except (msgspec.DecodeError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a tokenizer.json: {error!r}") from None
        self.exact_library = "tokenizers" if encode is None else "tiktoken"
        pattern = _split_pattern(description)
        self._cuttable = pattern in split.KNOWN and description.get("normalizer") is None and self._added.plain
        del description
        self._encode = encode or _slow(source)
        self._cache = _Cache(cache_bytes, hashlib.blake2b(source, digest_size=16).digest())

    @classmethod
    def load(cls, path: Path, **options: Any) -> Counter:
        """A tokenizer.json, plain or gzipped. Raises OSError or ValueError."""
        data = path.read_bytes()
        return cls(gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data, **options)

    def count(self, text: str, up_to: int, *, special: bool = False, enough: Enough | None = None) -> Counted:
        """Tokens of a rendered prompt, as a model server counts them: texts of special tokens in it are such tokens.

        Stops at the first piece that brings the sum past ``up_to``, or where ``enough`` finds that the rest can be
        estimated. ``special``: with the tokens that the tokenizer puts around a bare prompt (`add_special_tokens`).
        """
        tokens = self.expansion.around if special else 0
        read = 0
        for piece in self._pieces(text):
            found = 1 if piece is None else self._count_piece(piece)
            if found is None:
                return Counted(tokens, complete=False, unsplittable=True)
            tokens += found
            read += 0 if piece is None else len(piece)
            if tokens > up_to:
                return Counted(tokens, complete=False)
            if read > _WHOLE_BYTES + _COSTLY * up_to:
                return Counted(tokens, complete=False, unsplittable=True)
            if enough is not None and (estimate := enough(read, tokens)) is not None:
                return Counted(estimate.tokens, complete=False, estimated=True)
        return Counted(tokens, complete=True)

    def sample(self, text: str, places: Iterable[int], size: int) -> list[tuple[int, int, int]]:
        """(place, characters, tokens) of slices of about ``size`` characters from about each place on."""
        found = []
        for place in places:
            piece = split.slice_near(text, place, size)
            tokens = self._tokens_of(piece)
            if tokens is not None and piece:
                found.append((place, len(piece), tokens))
        return found

    def _pieces(self, text: str) -> Iterator[str | None]:
        """Pieces whose counts add up to the text's; None for an added token. What can't be cut comes whole."""
        for segment in self._segments(text):
            if segment is None or not self._cuttable:
                yield segment
            else:
                yield from split.pieces(segment)

    def _segments(self, text: str) -> Iterator[str | None]:
        """The text between added tokens, and None for each added token."""
        if not self._added.plain:
            yield text
            return
        pattern = self._added.pattern(text)
        at = 0
        if pattern is not None:
            for match in pattern.finditer(text):
                if match.start() > at:
                    yield text[at : match.start()]
                yield None
                at = match.end()
        if at < len(text):
            yield text[at:]

    def _count_piece(self, piece: str) -> int | None:
        """None if the piece is too large to count, or the tokenizer failed on it."""
        if len(piece) > (split.PIECE_BYTES if self._cuttable else _WHOLE_BYTES):
            return None
        key = None
        if len(piece) >= _WORTH_REMEMBERING:
            key = self._cache.key(piece)
            if (known := self._cache.get(key)) is not None:
                return known
        found = self._tokens_of(piece)
        if key is not None and found is not None:
            self._cache.put(key, found)
        return found

    def _tokens_of(self, piece: str) -> int | None:
        """None if the tokenizer failed."""
        try:
            return len(self._encode(piece))
        except (KeyboardInterrupt, SystemExit, MemoryError):
            raise
        except BaseException:  # a panic of the regex engine is a PanicException, which is no Exception
            return None


class _Added:
    """The added tokens, which are found in a text before anything else is done with it."""

    def __init__(self, description: dict[str, Any]) -> None:
        added = description.get("added_tokens") or []
        flags = ("lstrip", "rstrip", "single_word")
        normalized = description.get("normalizer") is not None and any(token.get("normalized") for token in added)
        self.plain = not normalized and not any(token.get(flag) for token in added for flag in flags)
        self._texts = sorted((token["content"] for token in added), key=len, reverse=True)
        self._starts = {text[:2] for text in self._texts}
        self._patterns: dict[tuple[str, ...], re.Pattern[str]] = {}

    def pattern(self, text: str) -> re.Pattern[str] | None:
        """Of those tokens that occur in the text, the longest first; None if none does."""
        starts = [start for start in self._starts if start in text]
        present = tuple(token for token in self._texts if token[:2] in starts and token in text)
        if not present:
            return None
        if present not in self._patterns:
            if len(self._patterns) > 64:
                self._patterns.clear()
            self._patterns[present] = re.compile("|".join(map(re.escape, present)))
        return self._patterns[present]


class _Cache:
    """Counts by keyed hash, the latest used last; bounded in bytes. The key is random: no one can make two collide."""

    def __init__(self, limit: int, revision: bytes) -> None:
        self._room = max(1, limit // _ENTRY_BYTES)
        self._hash = hashlib.blake2b(revision, digest_size=16, key=secrets.token_bytes(32))
        self._counts: OrderedDict[bytes, int] = OrderedDict()
        self._lock = Lock()

    def key(self, piece: str) -> bytes:
        state = self._hash.copy()
        state.update(piece.encode())
        return state.digest()

    def get(self, key: bytes) -> int | None:
        with self._lock:
            found = self._counts.get(key)
            if found is not None:
                self._counts.move_to_end(key)
            return found

    def put(self, key: bytes, tokens: int) -> None:
        with self._lock:
            self._counts[key] = tokens
            if len(self._counts) > self._room:
                self._counts.popitem(last=False)


def _fast(description: dict[str, Any]) -> Callable[[str], Any] | None:
    """tiktoken on the same vocabulary, where it provably counts the same; several times faster."""
    model = description["model"]
    pattern = _split_pattern(description)
    odd = ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "fuse_unk", "byte_fallback")
    if model.get("type") != "BPE" or pattern not in split.KNOWN or any(model.get(name) for name in odd):
        return None
    ranks = ranks_of(model["vocab"]) if description.get("normalizer") is None else None
    if ranks is None:
        return None
    merges = [merge.split(" ", 1) if isinstance(merge, str) else merge for merge in model["merges"]]
    pairs = [(to_bytes(left), to_bytes(right)) for left, right in merges]
    equal = equal_ranks(ranks, pairs, whole_words_first=bool(model.get("ignore_merges")))
    if equal is None:
        return None
    encoding = tiktoken.Encoding("own", pat_str=pattern, mergeable_ranks=dict(equal), special_tokens={})
    core: Callable[[str], Any] = encoding._core_bpe.encode_ordinary
    return core


def _slow(source: bytes) -> Callable[[str], Any]:
    tokenizer = Tokenizer.from_buffer(source)
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def encode(text: str) -> Any:
        # The batch call, because the plain one holds the interpreter lock; with one text nothing runs in parallel.
        return tokenizer.encode_batch_fast([text], add_special_tokens=False)[0]

    return encode


def _split_pattern(description: dict[str, Any]) -> str | None:
    """The split pattern of a byte-level pre-tokenizer; None if it is anything else."""
    first = description.get("pre_tokenizer") or {}
    steps = first.get("pretokenizers", [first]) if first.get("type") == "Sequence" else [first]
    last = steps[-1]
    if last.get("type") != "ByteLevel" or last.get("add_prefix_space"):
        return None
    if len(steps) == 1:
        return split.GPT2 if last.get("use_regex", True) else None
    split_step = steps[0]
    isolated = split_step.get("behavior") == "Isolated" and not split_step.get("invert")
    if len(steps) != 2 or split_step.get("type") != "Split" or not isolated or last.get("use_regex", True):
        return None
    pattern = split_step["pattern"].get("Regex")
    return pattern if isinstance(pattern, str) else None
