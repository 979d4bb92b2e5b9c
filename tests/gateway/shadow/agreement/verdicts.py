"""What a harness said of a sample, and a file that it is kept in."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from tests.gateway.shadow.agreement.samples import Judged

_DIGITS = 24


@dataclass(frozen=True, slots=True)
class Said:
    """A harness's verdict. ``level``: how ours came to it."""

    verdict: str
    seconds: float
    reason: str = ""
    level: str = ""


Run = Callable[[Sequence[Judged]], Iterable[tuple[Judged, Said]]]


class Kept:
    """A line for each verdict, written as it comes, so that an interrupted run goes on where it was.

    ``key``: of all that decides the verdict on a sample and is not in the file's name.
    """

    def __init__(self, file: Path, key: Callable[[Judged], str]) -> None:
        self.file, self._key = file, key

    def or_run(self, samples: Sequence[Judged], run: Run) -> Iterator[tuple[Judged, Said]]:
        """What is kept of ``samples``, then what ``run`` says of the others, which is kept from then on."""
        known = self._read()
        missing = []
        for sample in samples:
            if said := known.get(self._key(sample)):
                yield sample, said
            else:
                missing.append(sample)
        if missing:
            for sample, said in run(missing):
                self._add(sample, said)
                yield sample, said

    def _read(self) -> dict[str, Said]:
        known: dict[str, Said] = {}
        with suppress(FileNotFoundError):
            for line in self.file.read_text(encoding="utf-8").splitlines():
                with suppress(ValueError):  # a line that an interrupted run did not finish
                    row = json.loads(line)
                    known[row["key"]] = Said(**row["said"])
        return known

    def _add(self, sample: Judged, said: Said) -> None:
        line = json.dumps({"key": self._key(sample), "said": asdict(said)})
        with self.file.open("a+b") as out:  # closed, and so written, before the next one comes
            out.write(b"" if _ends_a_line(out) else b"\n")
            out.write(f"{line}\n".encode())


def _ends_a_line(file: BinaryIO) -> bool:
    if file.seek(0, os.SEEK_END) == 0:
        return True
    file.seek(-1, os.SEEK_END)
    return file.read(1) == b"\n"


def official_key(sample: Judged) -> str:
    """Of all that the official harness is given."""
    return _digest([sample.program, sample.task.test, sample.task.entry_point])


def our_key(sample: Judged) -> str:
    """Of all that ours is given: it also runs the canonical solution, and reads which libraries a task has."""
    return _digest([asdict(sample.task), sample.solution])


def _digest(content: object) -> str:
    text = json.dumps(content)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:_DIGITS]


def digest_of_code(root: Path, parts: Iterable[str]) -> str:
    """Of every Python file in ``parts``, which are files and folders below ``root``."""
    content = hashlib.sha256()
    for file in sorted(file for part in parts for file in _python_files(root / part)):
        content.update(f"{file.relative_to(root)}\0".encode() + file.read_bytes() + b"\0")
    return content.hexdigest()[:12]


def _python_files(part: Path) -> Iterable[Path]:
    """A part that is gone would go unnoticed otherwise, and with it what decides verdicts."""
    if part.is_dir():
        return part.rglob("*.py")
    if not part.is_file():
        raise FileNotFoundError(f"{part} decides verdicts, and is gone: name what took its place")
    return [part]
