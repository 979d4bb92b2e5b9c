"""The codec: values that cross between the tests' process and the candidate's, never code.

A value is taken by its exact type. Immutable values are written inline. Mutable ones (lists, dicts, sets, arrays,
exceptions ...) carry numbers, so that aliasing survives; a message restates those that changed since they last
crossed, and the other side changes its own objects in place. What has no value (functions, instances of other classes)
crosses as a handle: the owner keeps the object, the other side gets a stand-in that can only ask for it.

Bytes that were made up or damaged raise CodecError; no object of the other side's choice is ever called.
"""

from __future__ import annotations

from collections.abc import Iterable

from .codec_bytes import Reader, Writer, put_size
from .codec_types import CodecError, Family, Features, Kind, Numbered, Side, Unplain, Value

# What one message may hold, in bytes.
LARGEST = 64 * 2**20
_MOST_KNOWN, _MOST_KNOWN_BYTES = 100, 2**18


class Codec:
    """One side's end; `parity` (0 or 1) tells this side's numbers from the other's.

    Mutable objects are known until `forget` (on both sides at once), handles for good.
    """

    def __init__(
        self,
        side: Side,
        parity: int,
        values: Iterable[tuple[int, Value]],
        kinds: Iterable[tuple[int, Kind]],
        families: Iterable[tuple[int, Family]] = (),
    ) -> None:
        self.side = side
        self.parity = parity
        self.values: dict[int, Value] = {}
        self.kinds: dict[int, Kind] = {}
        self.value_of: dict[type, tuple[int, Value]] = {}
        self.kind_of: dict[type, int] = {}
        self.learn(values, kinds)
        self.families = dict(families)
        self.values.update({code: family.value for code, family in self.families.items()})
        self.mine: list[object] = []
        self._mine_by_id: dict[int, int] = {}
        self.theirs: dict[int, object] = {}
        self._theirs_by_id: dict[int, int] = {}
        self.forget()

    def learn(self, values: Iterable[tuple[int, Value]], kinds: Iterable[tuple[int, Kind]]) -> None:
        """More types: those of a library that was loaded meanwhile."""
        for code, value in values:
            self.values[code] = value
            self.value_of.setdefault(value.type, (code, value))
        for code, kind in kinds:
            self.kinds[code] = kind
            self.kind_of.setdefault(kind.type, code)

    def forget(self) -> None:
        self.numbered: dict[int, Numbered] = {}
        self._number_by_id: dict[int, int] = {}
        self._next = self.parity
        self._touched: set[int] = set()

    def is_full(self) -> bool:
        """Whether so much is known that restating what changed would take longer than starting afresh."""
        return (
            len(self.numbered) > _MOST_KNOWN
            or sum(len(entry.known or b"") for entry in self.numbered.values()) > _MOST_KNOWN_BYTES
        )

    def dumps(self, value: object, *, restate: bool = True) -> bytes:
        """Raises Unplain, and then knows what it knew before. Also restates what changed of all that is known."""
        known = set(self.numbered)
        self._touched.clear()
        try:
            return self._dumps(value, set() if restate else set(known))
        except BaseException:
            for number in set(self.numbered) - known:
                del self._number_by_id[id(self.numbered.pop(number).object)]
            raise

    def _dumps(self, value: object, done: set[int]) -> bytes:
        tail = bytearray()
        Writer(self, tail).put(value, 0)
        head, body, news = bytearray(), bytearray(), list[tuple[Numbered, bytes]]()
        while waiting := [number for number in self.numbered if number not in done]:
            for number in waiting:
                done.add(number)
                entry = self.numbered[number]
                kind = self.kinds[entry.kind]
                if kind.fixed and entry.known is not None:
                    continue
                try:
                    content = self.content(entry)
                except Unplain:
                    if number in self._touched:
                        raise
                    continue  # of an earlier call; what it came to hold is no matter of this one
                if entry.known != content:
                    news.append((entry, content))
                    put_size(head, number)
                    head.append(entry.kind)
                    Writer(self, head).put(kind.start(entry.object), 0)
                    body += content
        out = bytearray()
        put_size(out, len(news))
        for entry, content in news:
            entry.known = content
        return bytes(out + head + body + tail)

    def loads(self, data: bytes) -> object:
        """Raises CodecError for whatever is no message, Unplain for values of libraries that this side lacks."""
        if len(data) > LARGEST:
            raise CodecError("too long")
        try:
            return Reader(self, data).message()
        except CodecError:
            raise
        except Exception as error:
            raise CodecError(f"{type(error).__name__} in a message") from error

    def content(self, entry: Numbered) -> bytes:
        out = bytearray()
        Writer(self, out).put_items(self.kinds[entry.kind].content(entry.object), 0)
        return bytes(out)

    def value_code(self, kind: type) -> tuple[int, Value] | None:
        if kind not in self.value_of and kind not in self.kind_of:
            for code, family in self.families.items():
                if family.matches(kind):
                    self.value_of[kind] = code, family.value
        return self.value_of.get(kind)

    def number(self, value: object) -> int | None:
        """The number of a mutable object, a new one if need be; None if it is of no such type."""
        number = self._number_by_id.get(id(value))
        if number is None:
            kind = self.kind_of.get(type(value))
            if kind is None and BaseException in type.mro(type(value)):
                kind = self.kind_of.get(BaseException)
            if kind is None:
                return None
            number = self._next
            self._next += 2
            self.adopt(number, value, kind)
        self._touched.add(number)
        return number

    def adopt(self, number: int, value: object, kind: int) -> None:
        self.numbered[number] = Numbered(value, kind)
        self._number_by_id[id(value)] = number

    def handle(self, value: object) -> tuple[int, bool] | None:
        """The number of a handle, and whether the object is this side's; None if the value can't have one."""
        number = self._theirs_by_id.get(id(value))
        if number is not None:
            return number, False
        number = self._mine_by_id.get(id(value))
        if number is None:
            if self.side.features(value) is None:
                return None
            number = self._mine_by_id[id(value)] = len(self.mine)
            self.mine.append(value)
        return number, True

    def stand_in(self, number: int, features: Features) -> object:
        if number not in self.theirs:
            stand_in = self.theirs[number] = self.side.stand_in(number, features)
            self._theirs_by_id[id(stand_in)] = number
        return self.theirs[number]

    def is_mine(self, value: object) -> bool:
        return id(value) in self._mine_by_id
