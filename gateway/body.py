"""A request body as bytes whose top level is known: read a few fields, change a few, leave every other byte alone.

Bodies are never decoded and encoded again: a model server gets exactly what the client wrote, except for the members
that are spliced. 400 KB of messages cost one pass of msgspec over the bytes and no Python object.
"""

from __future__ import annotations

import re
from collections.abc import Set
from typing import Any, cast

import msgspec

from gateway.errors import ApiError, bad_request

_decode_top = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_decode_any = msgspec.json.Decoder().decode
_member = re.compile(rb'[\s,]*("(?:[^"\\]|\\.)*")\s*:\s*').match
_first = re.compile(rb"\s*\{").match
_last = re.compile(rb"\s*\}").match
_half_pair = re.compile(rb"\\u[dD][89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F]").search
_colon = re.compile(rb"\s*:\s*").match
_delimiter = re.compile(rb"\s*[,}]").match

_SMALL = 16 * 1024
_KNOWN = (
    *("model", "messages", "prompt", "stream", "stream_options", "max_tokens", "max_completion_tokens", "temperature"),
    *("top_p", "top_k", "n", "stop", "seed", "tools", "tool_choice", "user", "suffix", "response_format", "logprobs"),
)
_QUOTED = {name: b'"%b"' % name.encode() for name in _KNOWN}

_COMMA = ord(",")

MISSING = object()


class Body:
    """One JSON object; ``raws`` holds each top-level value as it was written, ``opening`` is where members start."""

    __slots__ = ("_inserted", "_removed", "_replaced", "_spans", "data", "opening", "raws")

    def __init__(self, data: bytes) -> None:
        """Raises a 400 for anything but one JSON object (RFC 8259) without repeated keys."""
        try:
            self.raws = _decode_top(data)
        except msgspec.ValidationError:
            raise bad_request("The request body must be a JSON object.", code="invalid_json") from None
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            reason = "an escape is half a surrogate pair" if _half_pair(data) else str(error)
            raise bad_request(f"The request body is not valid JSON: {reason}.", code="invalid_json") from None
        except RecursionError:
            raise bad_request("The request body is nested too deeply.", code="invalid_json") from None
        self.data = data
        self.restore()
        start = cast("re.Match[bytes]", _first(data)).end()
        self.opening = start
        self._spans = None if self._seen_once() else self._walk()

    def _seen_once(self) -> bool:
        """Whether each key stands in the text exactly once, which settles most small bodies without walking them.

        Inside a string a quoted key reads ``\\"key\\"``, so a plain ``"key"`` is a key or a whole string. Any other
        spelling of a key needs a ``\\u`` escape or a ``\\/``.
        """
        data = self.data
        if len(data) > _SMALL or b"\\u" in data or b"\\/" in data:
            return False
        for key in self.raws:
            quoted = _QUOTED.get(key)
            if quoted is None:
                if not key.isidentifier():  # `,` in quotes may also be what stands between two texts
                    return False
                quoted = b'"%b"' % key.encode()
            if data.count(quoted) != 1:
                return False
        return True

    def _walk(self) -> dict[str, tuple[int, int]]:
        """Goes from member to member, over each value in one step: its length is that of the raw value.

        A repeated key shows as a second visit, or as a value that does not stand where it should (`raws` has the last
        one): objects, arrays, strings and literals end themselves, and after a cut number no member follows.
        """
        data, raws = self.data, self.raws
        spans: dict[str, tuple[int, int]] = {}
        at = self.opening
        while (member := _member(data, at)) is not None:
            quoted = member[1]
            key = _decode_any(quoted) if b"\\" in quoted else quoted[1:-1].decode()
            start = member.end()
            if key in spans or not data.startswith(raws[key], start):
                raise bad_request(f"The key {key!r} occurs more than once.", param=key, code="duplicate_key")
            at = start + len(memoryview(raws[key]))
            spans[key] = (start, at)
        if len(spans) != len(raws) or _last(data, at) is None:
            raise bad_request("A key occurs more than once.", code="duplicate_key")
        return spans

    def _span(self, key: str) -> tuple[int, int]:
        if self._spans is not None:
            return self._spans[key]
        quoted = _QUOTED.get(key) or b'"%b"' % key.encode()
        start = cast("re.Match[bytes]", _colon(self.data, self.data.index(quoted) + len(quoted))).end()
        return start, start + len(memoryview(self.raws[key]))

    def __contains__(self, key: str) -> bool:
        return key in self.raws

    def get(self, key: str, default: Any = None) -> Any:
        """The decoded value, or ``default`` where it is missing."""
        raw = self.raws.get(key)
        if raw is None:
            return default
        try:
            return _decode_any(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise bad_request(f"{key!r} is not valid JSON: {error}.", param=key, code="invalid_json") from None

    def size(self, key: str) -> int:
        """Bytes of the raw value, 0 where it is missing."""
        raw = self.raws.get(key)
        return 0 if raw is None else len(memoryview(raw))

    def raw(self, key: str) -> bytes | None:
        raw = self.raws.get(key)
        return None if raw is None else bytes(raw)

    # -- changes ----------------------------------------------------------------------------------------------------

    def restore(self) -> None:
        """Takes all changes back: the body may have to be prepared for another model."""
        self._replaced: dict[str, bytes] = {}
        self._removed: set[str] = set()
        self._inserted: list[bytes] = []

    def replace(self, key: str, value: bytes) -> None:
        """Gives a member that is there another value. The last of several changes to it counts."""
        self._removed.discard(key)
        self._replaced[key] = value

    def remove(self, key: str) -> None:
        """Takes out a member, with the blanks around it and one comma, if it is there."""
        if key in self.raws:
            self._replaced.pop(key, None)
            self._removed.add(key)

    def insert(self, members: bytes) -> None:
        """Adds ``"key":value`` members (without a trailing comma) before all others."""
        self._inserted.append(members)

    def set(self, key: str, value: bytes) -> None:
        """Gives a member this value, whether it was there or not."""
        if key in self.raws:
            self.replace(key, value)
        else:
            self.insert(msgspec.json.encode(key) + b":" + value)

    def spliced(self, **replaced: bytes) -> list[bytes | memoryview]:
        """The body with its changes, and with the values ``replaced`` this time only, as pieces to send in order."""
        splices = [(*self._span(key), value) for key, value in {**self._replaced, **replaced}.items()]
        removed = self._removed.difference(replaced)
        if removed:
            splices += self._cuts(removed)
        if self._inserted:
            members = b",".join(reversed(self._inserted))
            if len(self.raws) > len(removed):
                members += b","
            splices.append((self.opening, self.opening, members))
        if not splices:
            return [self.data]
        splices.sort()  # what is inserted ends where it begins, so it precedes a cut from there
        view = memoryview(self.data)
        pieces: list[bytes | memoryview] = []
        at = 0
        for start, end, value in splices:
            pieces.append(view[at:start])
            pieces.append(value)
            at = end
        pieces.append(view[at:])
        return pieces

    def _cuts(self, removed: Set[str]) -> list[tuple[int, int, bytes]]:
        """What to cut out for these members: each from delimiter to delimiter, with the comma before it, or with the
        one behind it as long as no member before it stays."""
        if self._spans is None:
            self._spans = self._walk()
        cuts = []
        start, stays_before = self.opening, False
        for key, (_, end) in self._spans.items():
            end = cast("re.Match[bytes]", _delimiter(self.data, end)).end() - 1
            if key not in removed:
                stays_before = True
            elif stays_before:
                cuts.append((start - 1, end, b""))
            else:
                cuts.append((start, end + (self.data[end] == _COMMA), b""))
            start = end + 1
        return cuts


def too_large(limit: int) -> ApiError:
    return ApiError(
        413,
        f"The request body is larger than the {limit:,} bytes that are accepted.",
        code="request_too_large",
        close=True,
    )
