"""Types in the codec that programs and libraries make as they run: named tuples and time zones by name."""

from __future__ import annotations

import keyword
import operator
import sys
import zoneinfo
from typing import Any

from .codec_errors import loaded_class
from .codec_plain import exact, loaded
from .codec_types import CodecError, Family, Unplain, Value

_MOST_FIELDS = 1000
_made: dict[tuple[Any, ...], type] = {}


def _is_named_tuple(kind: type) -> bool:
    bases = type.mro(kind)
    # The very shape that collections.namedtuple makes; a class that adds to it has behaviour, which is no value.
    return len(bases) == 3 and bases[1] is tuple and type(vars(kind).get("_fields")) is tuple and "_make" in vars(kind)


def _take_named(value: Any) -> tuple[Any, ...]:
    kind = type(value)
    return str(kind.__module__), str(kind.__qualname__), vars(kind)["_fields"], tuple(tuple.__iter__(value))


def _make_named(module: Any, name: Any, fields: Any, items: Any) -> Any:
    names = [exact(field, str) for field in exact(fields, tuple)]
    if len(names) != len(exact(items, tuple)) or len(set(names)) != len(names) or len(names) > _MOST_FIELDS:
        raise CodecError("no named tuple")
    if not all(field.isidentifier() and not keyword.iskeyword(field) and field[0] != "_" for field in names):
        raise CodecError("no names of fields")
    found = loaded_class(exact(module, str), exact(name, str))
    if found is None or not _is_named_tuple(found) or vars(found)["_fields"] != fields:
        found = _class(name, fields)
    return tuple.__new__(found, items)


def _class(name: str, fields: tuple[str, ...]) -> type:
    """As collections.namedtuple makes it, without compiling anything."""
    if (name, fields) not in _made:
        body: dict[str, Any] = {field: property(operator.itemgetter(at)) for at, field in enumerate(fields)}
        body |= {
            "__slots__": (),
            "_fields": fields,
            "_make": classmethod(lambda cls, items: tuple.__new__(cls, items)),
            "_asdict": lambda self: dict(zip(fields, self)),  # noqa: B905 (as many as fields)
            "__repr__": lambda self: f"{name}({', '.join(f'{f}={v!r}' for f, v in zip(fields, self))})",  # noqa: B905
        }
        _made[name, fields] = type(name.rpartition(".")[2], (tuple,), body)
    return _made[name, fields]


def _is_pytz(kind: type) -> bool:
    pytz = loaded("pytz")
    return pytz is not None and any(str(one.__module__).partition(".")[0] == "pytz" for one in type.mro(kind))


def _take_pytz(zone: Any) -> tuple[Any, ...]:
    name = getattr(zone, "zone", None)
    offset = getattr(zone, "_utcoffset", None)
    known = getattr(zone, "_tzinfos", None)
    if name is None:
        raise Unplain("pytz zone")
    which = None
    if known:
        which = next((info for info, one in known.items() if one is zone), None)
    return str(name), None if which is None or offset is None else tuple(which)


def _make_pytz(name: Any, which: Any) -> Any:
    pytz = loaded("pytz")
    if pytz is None:
        raise Unplain("pytz zone")
    if exact(name, str) not in pytz.all_timezones_set:
        raise CodecError("no such zone")
    zone = pytz.timezone(name)
    return zone if which is None else zone._tzinfos[exact(which, tuple)]


def _make_zone(key: Any) -> zoneinfo.ZoneInfo:
    if exact(key, str) not in zoneinfo.available_timezones():
        raise CodecError("no such zone")
    return zoneinfo.ZoneInfo(key)


def _is_dateutil_utc(kind: type) -> bool:
    dateutil = sys.modules.get("dateutil.tz")
    return dateutil is not None and kind is type(dateutil.UTC)


def _dateutil_utc() -> Any:
    dateutil = loaded("dateutil.tz")
    if dateutil is None:
        raise Unplain("dateutil zone")
    return dateutil.UTC


FAMILIES: list[tuple[int, Family]] = [
    (110, Family(_is_named_tuple, Value(tuple, _take_named, _make_named))),
    (111, Family(_is_pytz, Value(object, _take_pytz, _make_pytz))),
    (
        112,
        Family(
            lambda kind: kind is zoneinfo.ZoneInfo,
            Value(zoneinfo.ZoneInfo, lambda zone: (zone.key,), _make_zone),
        ),
    ),
    (113, Family(_is_dateutil_utc, Value(object, lambda _: (), _dateutil_utc))),
]
