"""numpy in the codec: scalars and arrays of plain types; object and text arrays by element."""

from __future__ import annotations

import math
import re
from typing import Any

from .codec_plain import exact, loaded
from .codec_types import CodecError, Kind, Unplain, Value

# Numbers, times, and (by element) text, bytes and objects. No long double: its padding has no value.
_NUMBERS = re.compile(r"[<>|=](b1|[iu][1248]|f[248]|c8|c16|[mM]8(\[\d{0,9}\w{1,7}\])?)")
_BY_ELEMENT = re.compile(r"\|O|[<>|=]U\d{1,7}|\|S\d{1,7}")


def pack(array: Any) -> tuple[Any, ...]:
    """(type, shape, bytes or elements) of an ndarray."""
    kind = array.dtype.str
    if array.dtype.names is None and _NUMBERS.fullmatch(kind):
        return kind, tuple(int(size) for size in array.shape), array.tobytes()
    if array.dtype.names is None and _BY_ELEMENT.fullmatch(kind):
        return kind, tuple(int(size) for size in array.shape), tuple(array.ravel().tolist())
    raise Unplain(f"numpy.ndarray of {array.dtype}"[:200])


def empty(kind: Any, shape: Any) -> Any:
    """A new array of that type and shape, whose contents are still to come."""
    numpy = loaded("numpy")
    if numpy is None:
        raise Unplain("numpy.ndarray")
    if not (_NUMBERS.fullmatch(exact(kind, str)) or _BY_ELEMENT.fullmatch(kind)):
        raise CodecError("no plain type of array")
    for size in exact(shape, tuple):
        if exact(size, int) < 0:
            raise CodecError("no shape")
    dtype = numpy.dtype(kind)
    if math.prod(shape) * max(dtype.itemsize, 1) > 2**30:
        raise CodecError("too large an array")
    return numpy.empty(shape, dtype)


def fill(array: Any, content: Any) -> None:
    """Put what `pack` gave for an array of this type and shape into it."""
    numpy = loaded("numpy")
    if type(content) is bytes:
        if array.dtype.hasobject or array.dtype.kind in "US":
            raise CodecError("bytes for an array of objects")
        if array.dtype.kind == "b":
            flat = numpy.frombuffer(content, numpy.uint8) != 0
        else:
            flat = numpy.frombuffer(content, array.dtype)
        array[...] = flat.reshape(array.shape)
        return
    items = exact(content, tuple)
    if len(items) != array.size:
        raise CodecError("another number of elements")
    if array.dtype.kind in "US":
        wanted = str if array.dtype.kind == "U" else bytes
        array[...] = numpy.array([exact(item, wanted) for item in items], array.dtype).reshape(array.shape)
    elif array.dtype.hasobject:
        flat = numpy.empty(array.size, object)
        for at, item in enumerate(items):
            flat[at] = item
        array[...] = flat.reshape(array.shape)
    else:
        raise CodecError("elements for an array of numbers")


def unpack(kind: Any, shape: Any, content: Any) -> Any:
    array = empty(kind, shape)
    fill(array, content)
    return array


def _take_scalar(scalar: Any) -> tuple[Any, ...]:
    array = loaded("numpy").asarray(scalar)
    kind, _, content = pack(array)
    return kind, content


def _make_scalar(kind: Any, content: Any) -> Any:
    array = unpack(kind, (), content)
    if array.dtype.hasobject:
        raise CodecError("no scalar")
    return array[()]


def _make_dtype(kind: Any) -> Any:
    return empty(kind, (0,)).dtype


def _take_dtype(dtype: Any) -> tuple[Any, ...]:
    if dtype.names is not None or not (_NUMBERS.fullmatch(dtype.str) or _BY_ELEMENT.fullmatch(dtype.str)):
        raise Unplain(f"numpy.dtype {dtype}"[:200])
    return (dtype.str,)


def _content(array: Any) -> tuple[Any, ...]:
    return (pack(array)[2],)


def _fill(array: Any, content: tuple[Any, ...]) -> None:
    (data,) = content
    fill(array, data)


def _head(array: Any) -> tuple[Any, ...]:
    return array.dtype.str, tuple(int(size) for size in array.shape)


def _empty_masked(kind: Any, shape: Any) -> Any:
    return loaded("numpy").ma.MaskedArray(empty(kind, shape))


def _masked_content(array: Any) -> tuple[Any, ...]:
    numpy = loaded("numpy")
    mask = None if array.mask is numpy.ma.nomask else pack(numpy.asarray(array.mask))[2]
    return pack(numpy.asarray(array.data))[2], mask


def _masked_fill(array: Any, content: tuple[Any, ...]) -> None:
    numpy = loaded("numpy")
    data, mask = content
    plain = array.view(numpy.ndarray)
    fill(plain, data)
    array.mask = numpy.ma.nomask if mask is None else unpack("|b1", array.shape, mask)


def kinds(numpy: Any) -> list[tuple[int, Kind]]:
    masked = Kind(numpy.ma.MaskedArray, _head, _empty_masked, _masked_content, _masked_fill)
    return [(40, Kind(numpy.ndarray, _head, empty, _content, _fill)), (41, masked)]


# One code serves all scalar types: the type of array says which.
_SCALARS = [
    "bool_",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
    "complex64",
    "complex128",
    "datetime64",
    "timedelta64",
    "str_",
    "bytes_",
    "longlong",
    "ulonglong",
]


def values(numpy: Any) -> list[tuple[int, Value]]:
    scalars = [(40 + at, Value(getattr(numpy, name), _take_scalar, _make_scalar)) for at, name in enumerate(_SCALARS)]
    dtypes = {type(numpy.dtype(getattr(numpy, name))) for name in _SCALARS} | {type(numpy.dtype(object))}
    ordered = sorted(dtypes, key=lambda one: str(one))
    return scalars + [(70 + at, Value(one, _take_dtype, _make_dtype)) for at, one in enumerate(ordered)]
