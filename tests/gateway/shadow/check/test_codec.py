"""The codec, from one side to the other within this process."""

from __future__ import annotations

import argparse
import collections
import datetime
import fractions
import math
import pathlib
import types
import uuid
import zoneinfo
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.shadow.sandbox.runner.check.codec import Codec
from gateway.shadow.sandbox.runner.check.codec_errors import ERRORS
from gateway.shadow.sandbox.runner.check.codec_named import FAMILIES
from gateway.shadow.sandbox.runner.check.codec_plain import KINDS, VALUES
from gateway.shadow.sandbox.runner.check.codec_types import CodecError, Unplain
from gateway.shadow.sandbox.runner.check.sides import CandidateSide
from gateway.shadow.sandbox.runner.check.sides import TestsSide as SideOfTests


class Pair:
    """Both ends, without a link: stand-ins ask nobody."""

    def __init__(self) -> None:
        tests, candidate = SideOfTests({"__name__": "__test__"}), CandidateSide()
        tests.link = candidate.link = None  # type: ignore[assignment]
        self.tests = tests.codec = Codec(tests, 0, VALUES, [*KINDS, *ERRORS], FAMILIES)
        self.candidate = candidate.codec = Codec(candidate, 1, VALUES, [*KINDS, *ERRORS], FAMILIES)

    def to_candidate(self, value: Any) -> Any:
        return self.candidate.loads(self.tests.dumps(value))

    def to_tests(self, value: Any) -> Any:
        return self.tests.loads(self.candidate.dumps(value))


class Point(NamedTuple):
    x: int
    y: object


_zones = st.one_of(
    st.none(),
    st.just(datetime.UTC),
    st.builds(datetime.timezone, st.timedeltas(datetime.timedelta(hours=-23), datetime.timedelta(hours=23))),
    st.sampled_from([zoneinfo.ZoneInfo("Europe/Berlin"), zoneinfo.ZoneInfo("UTC")]),
)
_hashable = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    st.text(st.characters(exclude_categories=())),
    st.binary(),
    st.dates(),
    st.datetimes(timezones=_zones, allow_imaginary=False),
    st.times(),
    st.timedeltas(),
    st.decimals(allow_nan=False),
    st.fractions(),
    st.uuids(),
    st.sampled_from(
        [..., NotImplemented, range(3), range(9, 0, -2), pathlib.Path("a/b"), pathlib.PureWindowsPath("c:/d")]
    ),
    st.sampled_from([int, str, ValueError, zoneinfo.ZoneInfo("Asia/Tokyo")]),
)
_keys = st.one_of(_hashable, st.tuples(_hashable, _hashable), st.frozensets(_hashable, max_size=3))
_values: st.SearchStrategy[Any] = st.recursive(
    _keys,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(_keys, inner, max_size=4),
        st.dictionaries(_keys, inner, max_size=4).map(collections.OrderedDict),
        st.dictionaries(_keys, inner, max_size=4).map(lambda d: collections.defaultdict(list, d)),
        st.sets(_keys, max_size=4),
        st.lists(inner, max_size=4).map(lambda v: collections.deque(v, 5)),
        st.lists(_keys, max_size=4).map(collections.Counter),
        st.binary().map(bytearray),
        st.builds(Point, st.integers(), inner),
        st.builds(slice, st.none() | st.integers(), st.integers()),
    ),
    max_leaves=12,
)


def shape(value: Any) -> Any:
    """A value as text that tells types, nan, signs of zero and order apart."""
    kind = type(value)
    if kind in (list, tuple, collections.deque) or isinstance(value, tuple):
        return kind.__name__, getattr(value, "maxlen", None), [shape(one) for one in value]
    if isinstance(value, dict):
        factory = getattr(value, "default_factory", None)
        return kind.__name__, factory, [(shape(key), shape(one)) for key, one in value.items()]
    if kind in (set, frozenset):
        return kind.__name__, sorted(repr(shape(one)) for one in value)
    if isinstance(value, datetime.datetime | datetime.time):
        return repr(value), value.fold
    return kind.__name__, repr(value)


@given(_values)
@settings(max_examples=300, deadline=None)
def test_round_trip(value: Any) -> None:
    pair = Pair()
    there = pair.to_candidate(value)
    assert shape(there) == shape(value)
    assert shape(pair.to_tests([there])) == shape([value])


@given(st.lists(_values, min_size=1, max_size=4), st.data())
@settings(max_examples=200, deadline=None)
def test_aliases_and_cycles_survive(parts: list[Any], data: st.DataObject) -> None:
    boxes: list[list[Any]] = [[part] for part in parts]
    for box in boxes:
        box.append(data.draw(st.sampled_from(boxes)))
    there = Pair().to_candidate(boxes)
    for box, copy in zip(boxes, there, strict=True):
        at = next(n for n, other in enumerate(boxes) if other is box[1])
        assert copy[1] is there[at]


def test_changes_are_made_in_the_owners_objects() -> None:
    pair = Pair()
    inner = [1]
    numbers, table, names, data = [3, inner], {"a": inner}, {1}, bytearray(b"ab")
    there = pair.to_candidate((numbers, table, names, data))
    there[0][1].append(2)
    there[0].insert(0, there[1])
    there[1]["b"] = there[0]
    there[2].add(5)
    there[3][:] = b"xyz"
    back = pair.to_tests([there[0], "new"])
    assert back[0] is numbers
    assert numbers[0] is table
    assert table["b"] is numbers
    assert (inner, names, data) == ([1, 2], {1, 5}, bytearray(b"xyz"))
    inner.append(3)
    assert pair.to_candidate(None) is None
    assert there[1]["a"] == [1, 2, 3]


def test_what_did_not_change_is_not_sent_again() -> None:
    pair = Pair()
    pair.to_candidate([list(range(1000))])
    assert len(pair.candidate.dumps(None)) < 10
    assert len(pair.tests.dumps(None)) < 10


def test_exceptions_have_the_nearest_known_class_and_their_values() -> None:
    own = type("Own", (KeyError,), {"__module__": "__test__"})
    error = own("a", [1])
    error.where = {"x": 1}
    error.__cause__ = OSError(2, "gone", "/x")
    back = Pair().to_tests(error)
    assert (type(back).__name__, type(back).__mro__[1], back.args, back.where) == (
        "Own",
        KeyError,
        ("a", [1]),
        {"x": 1},
    )
    assert (type(back.__cause__), back.__cause__.filename) == (FileNotFoundError, "/x")


@pytest.mark.parametrize("module", ["unittest.case", "unittest", "builtins", "_pytest.outcomes"])
@pytest.mark.parametrize("name", ["SkipTest", "_ShouldStop", "SystemExit", "KeyboardInterrupt", "Skipped", "Exception"])
def test_no_exception_makes_an_outcome(module: str, name: str) -> None:
    forged = type(name, (Exception,), {"__module__": module, "__qualname__": name})
    back = Pair().to_tests(forged("x"))
    assert [one for one in type(back).__mro__ if one.__module__ not in ("builtins", module)] == []
    assert type(back) is Exception or type(back).__bases__ == (Exception,)
    assert not isinstance(back, __import__("unittest").SkipTest)


def test_an_exceptions_class_can_not_be_set() -> None:
    error = ValueError(1)
    error.__dict__["__class__"] = int
    error.__dict__["__traceback__"] = 1
    assert type(Pair().to_tests(error)) is ValueError
    assert vars(Pair().to_tests(error)) == {}


def test_the_tests_side_gives_only_what_is_plain() -> None:
    class Subclass(list[int]):
        pass

    for value in (object(), Subclass(), open, math, type("T", (), {})(), pytest):
        if value is open:
            continue
        with pytest.raises(Unplain):
            Pair().tests.dumps([value])


def test_what_failed_to_cross_leaves_nothing_behind() -> None:
    pair = Pair()
    with pytest.raises(Unplain):
        pair.tests.dumps([[1], object()])
    assert pair.to_candidate([2]) == [2]


def test_values_of_a_subclass_are_stand_ins_that_equal_nothing() -> None:
    class All(str):
        def __eq__(self, other: object) -> bool:
            return True

        __hash__ = str.__hash__

    back = Pair().to_tests(All("x"))
    assert back != "x"
    assert not isinstance(back, str)


@pytest.mark.parametrize(
    "claim",
    [
        ("builtins", "int"),
        ("abc", "ABCMeta"),
        ("json", "JSONDecodeError"),
        ("collections", "Counter"),
        ("pathlib", "PosixPath"),
        ("unittest.mock", "MagicMock"),
        ("decimal", "Decimal"),
    ],
)
def test_a_stand_in_does_not_claim_to_be_a_value(claim: tuple[str, str]) -> None:
    __import__(claim[0])
    kind = type(claim[1], (), {"__module__": claim[0], "__qualname__": claim[1]})
    pair = Pair()
    back = pair.to_tests(kind())
    assert type(back) is back.__class__


def test_a_stand_in_is_an_instance_of_what_has_no_value() -> None:
    pair = Pair()
    pair.tests.learn([], [])
    back = pair.to_tests(argparse.ArgumentParser())
    assert isinstance(back, argparse.ArgumentParser)
    assert str(type(back)) == str(argparse.ArgumentParser)
    assert type(back) is not argparse.ArgumentParser
    assert isinstance(pair.to_tests(one for one in ()), types.GeneratorType)
    with pytest.raises(Unplain):
        pair.tests.dumps(object())


@given(st.binary(max_size=200))
@settings(max_examples=500, deadline=None)
def test_made_up_bytes(data: bytes) -> None:
    _loads_or_refuses(Pair(), data)


@given(_values, st.data())
@settings(max_examples=500, deadline=None)
def test_damaged_bytes(value: Any, data: st.DataObject) -> None:
    pair = Pair()
    there = pair.to_candidate([value])
    for codec in (pair.candidate, pair.tests):
        whole = bytearray((pair.candidate if codec is pair.tests else pair.tests).dumps([there, ValueError(value)]))
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(whole) - 1))
            whole[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
            if not whole:
                return
        try:
            codec.loads(bytes(whole))
        except (CodecError, Unplain):
            pass
        pair = Pair()
        there = pair.to_candidate([value])


def _loads_or_refuses(pair: Pair, data: bytes) -> None:
    for codec in (pair.tests, pair.candidate):
        try:
            codec.loads(data)
        except (CodecError, Unplain):
            pass


def _nested(depth: int) -> bytes:
    return b"\x00" + b"\x0a\x01" * depth + b"\x00"


@pytest.mark.parametrize(
    "data",
    [
        _nested(61),
        _nested(10**6),
        b"\x00\x0a\xff\xff\xff\x7f" + b"\x00" * 100,
        b"\x00\x08\xff\xff\xff\xff\x7f",
        b"\x01\x00\x00\x0a\x00",
        b"\x01\x01\x00\x0a\x00\x01\x0d\x01\x00trailing",
        b"\x01\x00\x00\x0a\x00\x00\x00",
        b"\x00\x0d\x05",
        b"\x00\x0f\x00",
        b"",
    ],
    ids=["deep", "very-deep", "many-items", "long-text", "cut", "more", "number-of-ours", "unknown", "handle", "empty"],
)
def test_bombs(data: bytes) -> None:
    with pytest.raises(CodecError):
        Pair().tests.loads(data)


def test_uuids_and_fractions_are_checked() -> None:
    assert Pair().to_tests(fractions.Fraction(1, 3)) == fractions.Fraction(1, 3)
    assert Pair().to_tests(uuid.UUID(int=3)) == uuid.UUID(int=3)
    whole = bytearray(Pair().candidate.dumps(fractions.Fraction(1, 3)))
    whole[whole.index(b"\x05\x01\x03") + 2] = 0
    with pytest.raises(CodecError):
        Pair().tests.loads(bytes(whole))
