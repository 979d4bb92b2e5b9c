"""The codec's bytes. A message is: the numbered objects that are new or changed (number, kind, what is needed to make
one), their contents in the same order, and a value. Within values, a tag tells how the rest is read.
"""

from __future__ import annotations

import math
import struct
import sys
from typing import TYPE_CHECKING, Any

from .codec_types import CodecError, Features, Numbered, Unplain

if TYPE_CHECKING:
    from .codec import Codec

# Tuples within tuples; what is numbered nests without limit.
DEEPEST = 60

(_NONE, _FALSE, _TRUE, _ELLIPSIS, _NOT_IMPLEMENTED, _INT, _FLOAT, _COMPLEX, _STR, _BYTES, _TUPLE, _FROZENSET) = range(
    12
)
(_VALUE, _NUMBERED, _MINE, _YOURS, _NAMED) = range(12, 17)

_SINGLES: dict[int, object] = {
    _NONE: None,
    _FALSE: False,
    _TRUE: True,
    _ELLIPSIS: Ellipsis,
    _NOT_IMPLEMENTED: NotImplemented,
}
_double, _doubles = struct.Struct("<d"), struct.Struct("<dd")


def put_size(out: bytearray, size: int) -> None:
    while size > 127:
        out.append(size & 127 | 128)
        size >>= 7
    out.append(size)


class Writer:
    def __init__(self, codec: Codec, out: bytearray) -> None:
        self._codec, self._out = codec, out

    def put(self, value: Any, depth: int) -> None:
        kind = type(value)
        if depth > DEEPEST:
            raise Unplain("tuple, too deep")
        if value is None or kind is bool or value is Ellipsis or value is NotImplemented:
            self._out.append(next(tag for tag, single in _SINGLES.items() if single is value))
        elif kind is int:
            self._put_bytes(_INT, value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True))
        elif kind is float:
            self._out.append(_FLOAT)
            self._out += _double.pack(value)
        elif kind is complex:
            self._out.append(_COMPLEX)
            self._out += _doubles.pack(value.real, value.imag)
        elif kind is str:
            self._put_bytes(_STR, value.encode("utf-8", "surrogatepass"))
        elif kind is bytes:
            self._put_bytes(_BYTES, value)
        elif kind is tuple or kind is frozenset:
            self._out.append(_TUPLE if kind is tuple else _FROZENSET)
            self.put_items(value, depth)
        elif found := self._codec.value_code(kind):
            code, plain = found
            self._out.append(_VALUE)
            self._out.append(code)
            self.put_items(plain.take(value), depth)
        else:
            self._put_object(value, depth)

    def put_items(self, items: Any, depth: int) -> None:
        put_size(self._out, len(items))
        for item in items:
            self.put(item, depth + 1)

    def _put_bytes(self, tag: int, data: bytes) -> None:
        self._out.append(tag)
        put_size(self._out, len(data))
        self._out += data

    def _put_object(self, value: object, depth: int) -> None:
        codec = self._codec
        number = codec.number(value)
        if number is not None:
            self._out.append(_NUMBERED)
            put_size(self._out, number)
        elif name := codec.side.name_of(value):
            self._out.append(_NAMED)
            self.put_items(name, depth)
        elif handle := codec.handle(value):
            number, mine = handle
            self._out.append(_MINE if mine else _YOURS)
            put_size(self._out, number)
            if mine:
                self.put_items(codec.side.features(value), depth)
        else:
            raise Unplain(f"{type(value).__module__}.{type(value).__qualname__}"[:200])


class Reader:
    def __init__(self, codec: Codec, data: bytes) -> None:
        self._codec, self._data, self._at = codec, data, 0

    def message(self) -> object:
        codec = self._codec
        entries = [self._entry() for _ in range(self._size())]
        for entry in entries:
            content = self._items(0)
            codec.kinds[entry.kind].fill(entry.object, content)
        value = self._get(0)
        if self._at != len(self._data):
            raise CodecError("more than a message")
        for entry in entries:
            entry.known = codec.content(entry)
        return value

    def _entry(self) -> Numbered:
        codec, number = self._codec, self._size()
        kind, start = self._byte(), self._get(0)
        if type(start) is not tuple:
            raise CodecError("no start")
        if kind not in codec.kinds:
            raise Unplain("one of a library that is not loaded here")
        known = codec.numbered.get(number)
        if known is not None:
            if known.kind != kind or codec.kinds[kind].fixed or codec.kinds[kind].start(known.object) != start:
                raise CodecError("another object has that number")
            return known
        if number % 2 == codec.parity:
            raise CodecError("a number that this side never gave")
        codec.adopt(number, codec.kinds[kind].make(*start), kind)
        return codec.numbered[number]

    def _byte(self) -> int:
        at, self._at = self._at, self._at + 1
        return self._data[at]

    def _size(self) -> int:
        size = shift = 0
        while (byte := self._byte()) > 127:
            size |= (byte & 127) << shift
            shift += 7
            if shift > 28:
                raise CodecError("too large")
        return size | byte << shift

    def _bytes(self, size: int) -> bytes:
        at, self._at = self._at, self._at + size
        if self._at > len(self._data):
            raise CodecError("cut short")
        return self._data[at : self._at]

    def _items(self, depth: int) -> tuple[Any, ...]:
        size = self._size()
        if size > len(self._data) - self._at:  # an item takes a byte at least
            raise CodecError("cut short")
        return tuple([self._get(depth + 1) for _ in range(size)])

    def _get(self, depth: int) -> Any:
        if depth > DEEPEST:
            raise CodecError("too deep")
        tag = self._byte()
        if tag in _SINGLES:
            return _SINGLES[tag]
        if tag == _INT:
            return int.from_bytes(self._bytes(self._size()), "little", signed=True)
        if tag == _FLOAT:
            number = _double.unpack(self._bytes(8))[0]
            # Containers take nan for equal if it is the same object, as numpy's mostly is.
            return number if number == number else getattr(sys.modules.get("numpy"), "nan", math.nan)
        if tag == _COMPLEX:
            return complex(*_doubles.unpack(self._bytes(16)))
        if tag == _STR:
            return self._bytes(self._size()).decode("utf-8", "surrogatepass")
        if tag == _BYTES:
            return self._bytes(self._size())
        if tag == _TUPLE:
            return self._items(depth)
        if tag == _FROZENSET:
            return frozenset(self._items(depth))
        return self._get_object(tag, depth)

    def _get_object(self, tag: int, depth: int) -> Any:
        codec = self._codec
        if tag == _VALUE:
            code, parts = self._byte(), self._items(depth)
            if code not in codec.values:
                raise Unplain("one of a library that is not loaded here")
            return codec.values[code].make(*parts)
        number = 0 if tag == _NAMED else self._size()
        if tag == _NUMBERED:
            return codec.numbered[number].object
        if tag == _YOURS:
            return codec.mine[number]
        if tag == _MINE:
            return codec.stand_in(number, _features(*self._items(depth)))
        if tag == _NAMED:
            module, name = self._items(depth)
            if type(module) is str and type(name) is str:
                return codec.side.find(module, name)
        raise CodecError("no such tag")


def _features(is_callable: object, name: object, doc: object, special: object, classes: object) -> Features:
    if type(is_callable) is not bool or type(name) is not str or type(doc) not in (str, type(None)):
        raise CodecError("no features")
    if type(special) is not tuple or any(type(one) is not str for one in special):
        raise CodecError("no features")
    if type(classes) is not tuple or not all(
        type(pair) is tuple and len(pair) == 2 and all(type(part) is str for part in pair) for pair in classes
    ):
        raise CodecError("no features")
    return Features(is_callable, name[:200], doc[:10_000] if isinstance(doc, str) else None, special, classes)
