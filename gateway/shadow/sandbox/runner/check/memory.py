"""Which of many objects hold something else by now, read from their memory.

To ask the objects writes to the reference counts of what they hold, and in a forked process every page that is written
to is copied first: of a warm process's 60,000 functions and 9,000 classes that is most of its memory.

What is read are addresses that CPython (3.10 to 3.13) changes with what they stand for: a function's code and defaults,
a class's bases, and the version of a dict, a number that no two states of any dicts share. Where they lie is found by
trying, not known; an interpreter in which they are not found is asked as if there were no such thing.
"""

from __future__ import annotations

import ctypes
import gc
import os
import types
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

_WORD = 8
_MOST = 1024  # addresses a call, of the kernel's; with at most three words each they fit into a pipe
_PARTS = 3


class _Place(ctypes.Structure):
    _fields_ = (("address", ctypes.c_void_p), ("length", ctypes.c_size_t))


class Layout(NamedTuple):
    """Offsets, in bytes, of a dict's version, of a function's code (its defaults follow it) and of a class's bases."""

    version: int
    code: int
    bases: int


class Memory:
    """Reads this process's memory through a pipe of its own; make it before anything hostile ran."""

    def __init__(self) -> None:
        self._out, self._into = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._read, self._writev = os.read, ctypes.CDLL(None, use_errno=True).writev

    def now(self, places: Any, count: int, width: int) -> bytes | None:
        """What the first `count` of `places`, `width` bytes each, hold. None if it can't be read."""
        try:
            if self._writev(self._into, places, count) != count * width:
                return None
            return self._read(self._out, count * width)
        except OSError:
            return None


class Watched:
    """Objects by number, each with as many words from an address on."""

    def __init__(self, addresses: Sequence[int], words: int) -> None:
        self._width = words * _WORD
        self._parts = [
            _part(addresses[start : start + _MOST], self._width) for start in range(0, len(addresses), _MOST)
        ]

    def changed(self, memory: Memory) -> Iterable[int]:
        """The numbers of those that hold something else; all where that can't be read."""
        for number, (places, count, before) in enumerate(self._parts):
            now = memory.now(places, count, self._width)
            if now != before:
                yield from (number * _MOST + at for at in range(count) if now is None or self._differs(at, now, before))

    def _differs(self, at: int, now: bytes, before: bytes) -> bool:
        piece = slice(at * self._width, (at + 1) * self._width)
        return now[piece] != before[piece]


def _part(addresses: Sequence[int], width: int) -> tuple[Any, int, bytes]:
    places = (_Place * len(addresses))(*(_Place(address, width) for address in addresses))
    return places, len(addresses), b"".join(ctypes.string_at(address, width) for address in addresses)


def watched_dicts(dicts: Sequence[dict[str, Any]], layout: Layout) -> Watched:
    return Watched([id(one) + layout.version for one in dicts], 1)


def watched_bases(kinds: Sequence[type], layout: Layout) -> Watched:
    return Watched([id(kind) + layout.bases for kind in kinds], 1)


def watched_functions(functions: Sequence[types.FunctionType], layout: Layout) -> Watched:
    return Watched([id(function) + layout.code for function in functions], _PARTS)


def dict_of(kind: type) -> dict[str, Any]:
    """What a class's attributes are kept in, of which `vars` gives a view."""
    (found,) = gc.get_referents(vars(kind))
    if not isinstance(found, dict):  # ctypes has dicts of its own kind
        raise TypeError(f"{kind} has no dict of its own")
    return found


def layout() -> Layout | None:
    """None for an interpreter that does not have what is looked for, or in another way."""
    try:
        return Layout(_version_of_dicts(), _code_of_functions(), _bases_of_classes())
    except (LookupError, TypeError, ValueError):
        return None


def _words(value: object, size: int) -> list[int]:
    return list((ctypes.c_uint64 * (size // _WORD)).from_buffer_copy(ctypes.string_at(id(value), size)))


def _version_of_dicts() -> int:
    """The only word that is another one after a value was replaced, also by itself; reading changes none."""
    one: dict[str, Any] = {f"name {number}": number for number in range(20)}
    size = dict.__basicsize__
    before = _words(one, size)
    if one.get("name 3") != 3 or _words(one, size) != before:
        raise LookupError("dicts change when they are read")
    one["name 3"] = None
    after = _words(one, size)
    (at,) = (number for number, word in enumerate(before) if after[number] != word)
    seen = {before[at], after[at]}
    for step in (lambda: one.update({"name 4": None}), lambda: one.pop("name 5"), lambda: one.clear()):
        step()
        seen.add(_words(one, size)[at])
    if len(seen) != 5:  # the states it has been in
        raise LookupError("dicts have no version")
    return at * _WORD


def _code_of_functions() -> int:
    def probe(a: int = 1, *, b: int = 2) -> None: ...

    wanted = [id(probe.__code__), id(probe.__defaults__), id(probe.__kwdefaults__)]
    words = _words(probe, type(probe).__basicsize__)
    return words.index(wanted[0]) * _WORD if _follow(words, wanted) else _missing("a function's parts")


def _follow(words: list[int], wanted: list[int]) -> bool:
    at = words.index(wanted[0])
    return words[at : at + len(wanted)] == wanted


def _bases_of_classes() -> int:
    class Base: ...

    class Probe(Base): ...

    return _words(Probe, object.__sizeof__(Probe)).index(id(Probe.__bases__)) * _WORD


def _missing(what: str) -> int:
    raise LookupError(what)
