"""The standard library's types in the codec. Codes are part of the format: both sides run this same file."""

from __future__ import annotations

import collections
import datetime
import decimal
import fractions
import pathlib
import sys
import uuid
from collections.abc import Callable
from typing import Any

from .codec_types import CodecError, Kind, Value


def exact(value: Any, *types: type) -> Any:
    """The value, if it is of one of these very types."""
    if type(value) not in types:
        raise CodecError(f"{type(value).__name__} where {types[0].__name__} belongs")
    return value


def _checked(make: Callable[..., Any], *types: tuple[type, ...]) -> Callable[..., Any]:
    """`make`, called with exactly as many values as there are types given, each of one of them."""

    def checked(*values: Any) -> Any:
        if len(values) != len(types):
            raise CodecError("another number of parts")
        return make(*(exact(value, *allowed) for value, allowed in zip(values, types)))  # noqa: B905 (checked above)

    return checked


_INT, _STR, _NONE = (int,), (str,), type(None)


_UTC = datetime.timezone.utc  # noqa: UP017 (scoring environments may have Python 3.10)


def _timezone_take(zone: datetime.timezone) -> tuple[Any, ...]:
    return zone.utcoffset(None), None if zone == _UTC else zone.tzname(None)


def _timezone(offset: datetime.timedelta, name: str | None) -> datetime.timezone:
    if name is None:
        return _UTC if not offset else datetime.timezone(offset)
    plain = datetime.timezone(offset)
    return plain if plain.tzname(None) == name else datetime.timezone(offset, name)


def time_zone(value: Any) -> Any:
    """A time zone as it is: values of ours only, or None."""
    if value is not None and datetime.tzinfo not in type.mro(type(value)):  # not by what it claims to be
        raise CodecError("no time zone")
    return value


def _datetime(*parts: Any) -> datetime.datetime:
    *numbers, fold, zone = (*(exact(part, int) for part in parts[:-1]), time_zone(parts[-1]))
    year, month, day, hour, minute, second, microsecond = numbers
    return datetime.datetime(year, month, day, hour, minute, second, microsecond, zone, fold=fold)


def _time(*parts: Any) -> datetime.time:
    *numbers, fold, zone = (*(exact(part, int) for part in parts[:-1]), time_zone(parts[-1]))
    hour, minute, second, microsecond = numbers
    return datetime.time(hour, minute, second, microsecond, zone, fold=fold)


def _path_codes() -> list[tuple[int, Value]]:
    names = ("PosixPath", "PurePosixPath", "PureWindowsPath")
    return [
        (20 + at, Value(getattr(pathlib, name), lambda path: (str(path),), _checked(getattr(pathlib, name), _STR)))
        for at, name in enumerate(names)
    ]


VALUES: list[tuple[int, Value]] = [
    (0, Value(range, lambda r: (r.start, r.stop, r.step), _checked(range, _INT, _INT, _INT))),
    (1, Value(slice, lambda s: (s.start, s.stop, s.step), lambda start, stop, step: slice(start, stop, step))),
    (2, Value(datetime.date, lambda d: (d.year, d.month, d.day), _checked(datetime.date, _INT, _INT, _INT))),
    (
        3,
        Value(
            datetime.datetime,
            lambda d: (d.year, d.month, d.day, d.hour, d.minute, d.second, d.microsecond, d.fold, d.tzinfo),
            _datetime,
        ),
    ),
    (4, Value(datetime.time, lambda t: (t.hour, t.minute, t.second, t.microsecond, t.fold, t.tzinfo), _time)),
    (
        5,
        Value(
            datetime.timedelta,
            lambda d: (d.days, d.seconds, d.microseconds),
            _checked(datetime.timedelta, _INT, _INT, _INT),
        ),
    ),
    (6, Value(datetime.timezone, _timezone_take, _checked(_timezone, (datetime.timedelta,), (str, _NONE)))),
    (7, Value(decimal.Decimal, lambda d: (str(d),), _checked(decimal.Decimal, _STR))),
    (
        8,
        Value(fractions.Fraction, lambda f: (f.numerator, f.denominator), _checked(fractions.Fraction, _INT, _INT)),
    ),
    (9, Value(uuid.UUID, lambda u: (u.bytes,), lambda data: uuid.UUID(bytes=exact(data, bytes)))),
    *_path_codes(),
]


def _pairs(mapping: Any) -> tuple[Any, ...]:
    return tuple(part for pair in dict.items(mapping) for part in pair)


def _ordered_pairs(mapping: Any) -> tuple[Any, ...]:
    return tuple(part for pair in collections.OrderedDict.items(mapping) for part in pair)


def _fill_mapping(mapping: Any, content: tuple[Any, ...]) -> None:
    if len(content) % 2:
        raise CodecError("a key without its value")
    mapping.clear()
    for key, value in zip(content[::2], content[1::2]):  # noqa: B905 (an even number)
        mapping[key] = value


def _fill_list(values: list[Any], content: tuple[Any, ...]) -> None:
    values[:] = content


def _fill_set(values: set[Any], content: tuple[Any, ...]) -> None:
    values.clear()
    values.update(content)


def _fill_bytearray(values: bytearray, content: tuple[Any, ...]) -> None:
    (data,) = content
    values[:] = exact(data, bytes)


def _fill_deque(values: collections.deque[Any], content: tuple[Any, ...]) -> None:
    values.clear()
    values.extend(content)


def _fill_defaultdict(mapping: Any, content: tuple[Any, ...]) -> None:
    factory, *pairs = content
    _fill_mapping(mapping, tuple(pairs))
    mapping.default_factory = factory


def _nothing(_: object) -> tuple[Any, ...]:
    return ()


KINDS: list[tuple[int, Kind]] = [
    (0, Kind(list, _nothing, list, tuple, _fill_list)),
    (1, Kind(dict, _nothing, dict, _pairs, _fill_mapping)),
    (2, Kind(set, _nothing, set, tuple, _fill_set)),
    (3, Kind(bytearray, _nothing, bytearray, lambda data: (bytes(data),), _fill_bytearray)),
    (4, Kind(collections.OrderedDict, _nothing, collections.OrderedDict, _ordered_pairs, _fill_mapping)),
    (5, Kind(collections.Counter, _nothing, collections.Counter, _pairs, _fill_mapping)),
    (
        6,
        Kind(
            collections.defaultdict,
            _nothing,
            collections.defaultdict,
            lambda d: (d.default_factory, *_pairs(d)),
            _fill_defaultdict,
        ),
    ),
    (
        7,
        Kind(
            collections.deque,
            lambda d: (d.maxlen,),
            lambda maxlen: collections.deque(maxlen=exact(maxlen, int, _NONE)),
            tuple,
            _fill_deque,
        ),
    ),
]


def loaded(module: str) -> Any:
    """The module if this side has it; values of a library that a side never loaded don't cross to it."""
    return sys.modules.get(module)
