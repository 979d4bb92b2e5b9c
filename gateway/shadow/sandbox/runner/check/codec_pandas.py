"""pandas in the codec: frames, series and indexes by value, with their exact types of columns."""

from __future__ import annotations

from typing import Any

from .codec_numpy import pack, unpack
from .codec_plain import exact, loaded, time_zone
from .codec_types import CodecError, Kind, Unplain, Value

_MOST_LEVELS = 50


def _pandas() -> Any:
    pandas = loaded("pandas")
    if pandas is None:
        raise Unplain("pandas object")
    return pandas


def _pack_column(column: Any) -> tuple[Any, ...]:
    """An array of pandas' own, or of numpy's, as (how, parts)."""
    pandas, numpy = _pandas(), loaded("numpy")
    dtype = column.dtype
    if type(column) is numpy.ndarray:
        return "numpy", pack(column)
    if type(dtype) is pandas.CategoricalDtype:
        codes = pack(numpy.asarray(column.codes, numpy.int64))
        return "category", (codes, dtype.categories, bool(dtype.ordered))
    if type(dtype) is pandas.DatetimeTZDtype:
        naive = column.tz_convert("UTC").tz_localize(None)
        return "zoned", (pack(numpy.asarray(naive)), dtype.unit, dtype.tz)
    if type(dtype) is pandas.IntervalDtype:
        return "interval", (_index(column.left), _index(column.right), column.closed)
    if type(dtype) is pandas.PeriodDtype:
        return "period", (pack(numpy.asarray(column.astype("int64"))), dtype.freq.freqstr)
    if type(dtype) is pandas.StringDtype:
        missing = numpy.asarray(column.isna(), bool)
        items = tuple("" if gone else str(item) for item, gone in zip(column, missing))  # noqa: B905 (same array)
        return "string", (items, pack(missing), dtype.storage, dtype.na_value is pandas.NA)
    if str(dtype) in _MASKED:
        return "masked", (str(dtype), pack(column._data), pack(column._mask))
    if dtype.kind in "mM" and type(column).__name__ in ("DatetimeArray", "TimedeltaArray"):
        return "times", pack(numpy.asarray(column))
    raise Unplain(f"pandas column of {dtype}"[:200])


_MASKED = {f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)} | {"boolean", "Float32", "Float64"}


def _index(index: Any) -> Any:
    """An index whose elements are those of an array that may not be one (a column's intervals)."""
    return _pandas().Index(index)


def _unpack_column(how: Any, parts: Any) -> Any:
    pandas, numpy = _pandas(), loaded("numpy")
    exact(parts, tuple)
    if how == "numpy":
        return unpack(*parts)
    if how == "times":
        return pandas.Series(unpack(*parts)).array
    if how == "category":
        codes, categories, ordered = parts
        _an_index(categories)
        dtype = pandas.CategoricalDtype(categories, ordered=exact(ordered, bool))
        return pandas.Categorical.from_codes(unpack(*exact(codes, tuple)), dtype=dtype)
    if how == "zoned":
        times, unit, zone = parts
        naive = pandas.DatetimeIndex(unpack(*exact(times, tuple)))
        if naive.dtype.str[4:-1] != unit:
            raise CodecError("another unit")
        return naive.tz_localize("UTC").tz_convert(time_zone(zone)).array
    if how == "interval":
        left, right, closed = parts
        return pandas.arrays.IntervalArray.from_arrays(_an_index(left), _an_index(right), closed=exact(closed, str))
    if how == "period":
        ordinals, frequency = parts
        return pandas.arrays.PeriodArray(unpack(*exact(ordinals, tuple)), dtype=f"period[{exact(frequency, str)}]")
    if how == "string":
        items, missing, storage, marks_na = parts
        gone = unpack(*exact(missing, tuple))
        dtype = pandas.StringDtype(storage) if exact(marks_na, bool) else pandas.StringDtype(storage, numpy.nan)
        marked = [None if lacks else exact(item, str) for item, lacks in zip(exact(items, tuple), gone)]  # noqa: B905
        return pandas.array(marked, dtype=dtype)
    if how == "masked":
        name, data, mask = parts
        if name not in _MASKED:
            raise CodecError("no type of column")
        made = pandas.array(unpack(*exact(data, tuple)), dtype=name)
        made[unpack(*exact(mask, tuple)).astype(bool)] = pandas.NA
        return made
    raise CodecError("no type of column")


def _an_index(value: Any) -> Any:
    if _pandas().Index not in type.mro(type(value)):
        raise CodecError("no index")
    return value


def _take_index(index: Any) -> tuple[Any, ...]:
    pandas = _pandas()
    if type(index) is pandas.RangeIndex:
        return "range", (index.start, index.stop, index.step), (index.name,), None
    if type(index) is pandas.MultiIndex:
        levels = tuple(index.levels)
        codes = tuple(pack(loaded("numpy").asarray(code, "int64")) for code in index.codes)
        return "multi", (levels, codes), tuple(index.names), None
    frequency = getattr(index, "freqstr", None) if type(index).__name__ in ("DatetimeIndex", "TimedeltaIndex") else None
    return "flat", _pack_column(_values(index)), (index.name,), frequency


def _values(index: Any) -> Any:
    """What backs an index or series: numpy's array if that is all there is, or one of pandas' own."""
    numpy = loaded("numpy")
    if isinstance(index.dtype, numpy.dtype):
        return numpy.asarray(index)
    return index.array


def _make_index(how: Any, parts: Any, names: Any, frequency: Any) -> Any:
    pandas = _pandas()
    exact(names, tuple)
    if how == "range":
        start, stop, step = (exact(part, int) for part in exact(parts, tuple))
        return pandas.RangeIndex(start, stop, step, name=names[0])
    if how == "multi":
        levels, codes = parts
        if len(exact(levels, tuple)) > _MOST_LEVELS:
            raise CodecError("too many levels")
        return pandas.MultiIndex(
            levels=[_an_index(level) for level in levels],
            codes=[unpack(*exact(code, tuple)) for code in exact(codes, tuple)],
            names=list(names),
        )
    if how != "flat":
        raise CodecError("no kind of index")
    column = _unpack_column(*exact(parts, tuple))
    index = pandas.Index(column, dtype=column.dtype, name=names[0])
    if frequency is not None:
        index = type(index)(index, freq=exact(frequency, str), name=names[0])
    return index


def _series_content(series: Any) -> tuple[Any, ...]:
    return _pack_column(_values(series)), series.index, series.name


def _series_fill(series: Any, content: tuple[Any, ...]) -> None:
    column, index, name = content
    made = _series(_unpack_column(*exact(column, tuple)), _an_index(index))
    _replace(series, made)
    series.name = name


def _series(column: Any, index: Any) -> Any:
    return _pandas().Series(column, index=index, dtype=column.dtype, copy=False)


def _frame_content(frame: Any) -> tuple[Any, ...]:
    columns = tuple(_pack_column(_values(frame.iloc[:, at])) for at in range(frame.shape[1]))
    return columns, frame.columns, frame.index


def _frame_fill(frame: Any, content: tuple[Any, ...]) -> None:
    pandas = _pandas()
    columns, names, index = content
    _an_index(names)
    _an_index(index)
    made_columns = [_series(_unpack_column(*exact(column, tuple)), index) for column in exact(columns, tuple)]
    if len(made_columns) != len(names):
        raise CodecError("columns without names")
    made = pandas.DataFrame(dict(enumerate(made_columns)), index=index)
    made.columns = names
    _replace(frame, made)


def _replace(target: Any, made: Any) -> None:
    """Make a frame or series hold what another holds, as pandas' own in-place operations do."""
    target._update_inplace(made)


def _frame() -> Any:
    return _pandas().DataFrame()


def _new_series() -> Any:
    return _pandas().Series(dtype=object)


def kinds(pandas: Any) -> list[tuple[int, Kind]]:
    return [
        (50, Kind(pandas.Series, lambda _: (), _new_series, _series_content, _series_fill)),
        (51, Kind(pandas.DataFrame, lambda _: (), _frame, _frame_content, _frame_fill)),
    ]


def _take_timestamp(stamp: Any) -> tuple[Any, ...]:
    naive = stamp.tz_convert("UTC").tz_localize(None) if stamp.tz is not None else stamp
    return naive.to_datetime64(), stamp.tz


def _make_timestamp(moment: Any, zone: Any) -> Any:
    pandas = _pandas()
    made = pandas.Timestamp(exact(moment, loaded("numpy").datetime64))
    return made if zone is None else made.tz_localize("UTC").tz_convert(time_zone(zone))


def _take_categorical(column: Any) -> tuple[Any, ...]:
    return _pack_column(column)


_INDEXES = [
    "Index",
    "RangeIndex",
    "MultiIndex",
    "DatetimeIndex",
    "TimedeltaIndex",
    "CategoricalIndex",
    "IntervalIndex",
    "PeriodIndex",
    "Int64Index",
    "UInt64Index",
    "Float64Index",
]


def values(pandas: Any) -> list[tuple[int, Value]]:
    numpy = loaded("numpy")
    indexes = [
        (80 + at, Value(getattr(pandas, name), _take_index, _make_index))
        for at, name in enumerate(_INDEXES)
        if hasattr(pandas, name)
    ]
    return [
        *indexes,
        (100, Value(pandas.Timestamp, _take_timestamp, _make_timestamp)),
        (
            101,
            Value(
                pandas.Timedelta,
                lambda delta: (delta.to_timedelta64(),),
                lambda delta: pandas.Timedelta(exact(delta, numpy.timedelta64)),
            ),
        ),
        (102, Value(type(pandas.NaT), lambda _: (), lambda: pandas.NaT)),
        (103, Value(type(pandas.NA), lambda _: (), lambda: pandas.NA)),
        (104, Value(pandas.Categorical, _take_categorical, _unpack_column)),
        (
            105,
            Value(
                pandas.Interval,
                lambda one: (one.left, one.right, one.closed),
                lambda left, right, closed: pandas.Interval(left, right, closed=exact(closed, str)),
            ),
        ),
        (
            106,
            Value(
                pandas.Period,
                lambda one: (one.ordinal, one.freqstr),
                lambda ordinal, frequency: pandas.Period(ordinal=exact(ordinal, int), freq=exact(frequency, str)),
            ),
        ),
        (
            107,
            Value(
                pandas.arrays.IntervalArray,
                _take_categorical,
                _unpack_column,
            ),
        ),
    ]
