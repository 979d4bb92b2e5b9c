"""The parts of the codec's contract: its errors, how a type is written, and what a side has to say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol


class CodecError(Exception):
    """These bytes are no message of ours."""


class Unplain(BaseException):
    """A value that can't cross. No `Exception`, so that tests which expect one don't take it for the candidate's."""

    def __init__(self, type_name: str) -> None:
        super().__init__(f"a value of type {type_name} can't cross between the tests and the candidate")
        self.type_name = type_name


class Features(NamedTuple):
    """What the other side is told of an object behind a handle."""

    callable: bool
    name: str
    doc: str | None
    special: tuple[str, ...]  # which of `standin.SPECIAL` its type has
    classes: tuple[tuple[str, str], ...]  # (module, qualified name) of its type and that one's bases


class Value(NamedTuple):
    """An immutable type that is written as a tuple of simpler values; `make` raises for what it would not have sent."""

    type: type
    take: Callable[[Any], tuple[Any, ...]]
    make: Callable[..., Any]


class Family(NamedTuple):
    """Types made while the program runs that are written alike: named tuples, a library's time zones."""

    matches: Callable[[type], bool]
    value: Value


class Kind(NamedTuple):
    """A mutable type: made from `start` (immutable), then filled; filling replaces whatever it held."""

    type: type
    start: Callable[[Any], tuple[Any, ...]]
    make: Callable[..., Any]
    content: Callable[[Any], tuple[Any, ...]]
    fill: Callable[[Any, tuple[Any, ...]], None]
    fixed: bool = False  # never restated: exceptions, of which the other side may have a base class only


class Side(Protocol):
    """What differs between the two sides: which objects get handles, and what a handle or a name becomes."""

    def features(self, value: object) -> Features | None:
        """None if the value must not cross."""

    def stand_in(self, number: int, features: Features) -> object: ...

    def name_of(self, value: object) -> tuple[str, str] | None:
        """The (module, qualified name) by which the other side finds its own object of that name."""

    def find(self, module: str, name: str) -> object: ...


class Numbered:
    """An object that has a number, and what the other side last knew of it."""

    __slots__ = ("kind", "known", "object")

    def __init__(self, value: object, kind: int) -> None:
        self.object, self.kind = value, kind
        self.known: bytes | None = None
