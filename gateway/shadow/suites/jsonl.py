"""Files with a JSON object a line, read in bounded memory. Their errors name file and line, and are told together."""

from __future__ import annotations

import gzip
import json
import sys
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

LONGEST_LINE = 32 << 20
_TOLD = 10
_PIECE = 1 << 20
_GZIP = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"


class Problem(NamedTuple):
    line: int  # 0: the file as a whole
    text: str


class InputError(Exception):
    """What is wrong with a file that was given: the first few problems, each with its line."""

    def __init__(self, name: str, problems: Iterable[Problem], *, more: int = 0) -> None:
        self.problems = tuple(problems)
        lines = [f"{name}:{line}: {text}" if line else f"{name}: {text}" for line, text in self.problems]
        super().__init__("\n".join([*lines, f"and {more:,} more like these"] if more else lines))


class Problems:
    """Collects problems, and keeps the first few."""

    def __init__(self, name: str) -> None:
        self._name, self._kept, self._count = name, list[Problem](), 0

    def add(self, line: int, text: str) -> None:
        self._count += 1
        if len(self._kept) < _TOLD:
            self._kept.append(Problem(line, text))

    def raise_any(self) -> None:
        if self._kept:
            raise InputError(self._name, self._kept, more=self._count - len(self._kept))


@dataclass(frozen=True, slots=True)
class Line:
    """An object, or why there is none. `length` is that of its text, in bytes."""

    number: int
    length: int
    value: dict[str, Any] | None
    problem: str = ""


def opened(path: str) -> IO[bytes]:
    """A file that can be read twice; `-` is stdin. Gzip is recognised by its first bytes. InputError if it can't be."""
    if path == "-":
        return _unpacked(_spooled(sys.stdin.buffer))
    if Path(path).is_dir():
        raise InputError(path, [Problem(0, "is a folder; name a file with one JSON object a line")])
    try:
        file = Path(path).open("rb")  # noqa: SIM115 the caller closes it
    except OSError as error:
        raise InputError(path, [Problem(0, f"can't be read: {error.strerror or error}")]) from None
    if file.seekable():
        return _unpacked(file)
    with file:
        return _unpacked(_spooled(file))


def lines(file: IO[bytes], name: str) -> Iterator[Line]:
    """Every line that is not blank, from the beginning. InputError where the file itself is broken."""
    file.seek(0)
    number = 0
    try:
        while raw := file.readline(LONGEST_LINE + 1):
            number += 1
            if len(raw) > LONGEST_LINE:
                length = len(raw) + _skip_line(file)
                yield Line(number, length, None, f"is {length >> 20:,} MB long; {LONGEST_LINE >> 20} MB are the most")
            elif raw := raw.removeprefix(_BOM if number == 1 else b"").strip():
                yield _parsed(number, raw)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(name, [Problem(number + 1, f"the gzip data is broken: {error}; download it again")]) from None
    except OSError as error:
        raise InputError(name, [Problem(number + 1, f"can't be read: {error.strerror or error}")]) from None


def _parsed(number: int, raw: bytes) -> Line:
    def wrong(problem: str) -> Line:
        return Line(number, len(raw), None, problem)

    try:
        value = json.loads(raw.decode())
    except UnicodeDecodeError as error:
        return wrong(f"byte {error.start + 1} is not UTF-8; save the file as UTF-8")
    except json.JSONDecodeError as error:
        return wrong(f"is not JSON: {error.msg} at column {error.colno}; each line has to be one JSON object")
    except (RecursionError, ValueError):  # nested too deeply, or an integer of thousands of digits
        return wrong("holds JSON that can't be read; each line has to be one plain JSON object")
    if not isinstance(value, dict):
        return wrong(f"is a JSON {_JSON_NAMES[type(value)]}; each line has to be one JSON object")
    return Line(number, len(raw), value)


_JSON_NAMES = {list: "array", str: "string", int: "number", float: "number", bool: "boolean", type(None): "null"}


def kind_of(value: object) -> str:
    """What JSON calls it."""
    return "object" if isinstance(value, dict) else _JSON_NAMES[type(value)]


def _skip_line(file: IO[bytes]) -> int:
    skipped = 0
    while piece := file.readline(_PIECE):
        skipped += len(piece)
        if piece.endswith(b"\n"):
            break
    return skipped


def _spooled(stream: IO[bytes]) -> IO[bytes]:
    """A copy that can be read twice; on disk, so that memory stays bounded."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 the caller closes it
    while piece := stream.read(_PIECE):
        file.write(piece)
    file.seek(0)
    return cast(IO[bytes], file)


def _unpacked(file: IO[bytes]) -> IO[bytes]:
    packed = file.read(len(_GZIP)) == _GZIP
    file.seek(0)
    return cast(IO[bytes], gzip.GzipFile(fileobj=file)) if packed else file
