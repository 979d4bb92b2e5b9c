"""Which way each task's tests can be run, learnt from its canonical solution once and kept in a file of the cache.

What is kept is what does not come out otherwise the next time: that the canonical solution passed in a process of its
own, or that one of its values could not cross between the processes. Anything else is learnt anew.

A file is for one Python and its libraries, one level, and the code of ours that verdicts hang on: what is learnt with
one says nothing of another.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Iterable
from pathlib import Path

from gateway.config import cache_dir
from gateway.shadow.sandbox.job import Kind
from gateway.shadow.sandbox.level import Level
from gateway.shadow.score.slots import Where
from gateway.shadow.suites.task import Task

_KEPT_FILES = 8
_LEARNT = (Kind.SEPARATE, Kind.IN_PROCESS)
_DECIDING = ("sandbox", "score", "suites")
"""Folders of this package."""


class Ways:
    """By tasks' contents, not their ids. Without a file, what is learnt lasts as long as this object.

    Threads and processes may share a file. A line that is no line of ours is passed over.
    """

    def __init__(self, file: Path | None = None) -> None:
        self._file = file
        self._lock = threading.Lock()
        self._ways = dict(_read(file)) if file is not None else {}

    def of(self, task: Task) -> Kind | None:
        return self._ways.get(digest(task))

    def learn(self, task: Task, kind: Kind) -> None:
        """That it can't be written costs time the next time, no more."""
        name = digest(task)
        with self._lock:
            if self._ways.get(name) is kind:
                return
            self._ways[name] = kind
            if self._file is None:
                return
            with contextlib.suppress(OSError), self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"task": name, "way": kind.value}) + "\n")


def digest(task: Task) -> str:
    """Of all of a task that is run for its canonical solution."""
    parts = json.dumps([task.prelude, task.test, task.entry_point, task.canonical_solution])
    return hashlib.sha256(parts.encode(errors="surrogatepass")).hexdigest()[:32]


def ways_file(place: Where, level: Level, folder: Path | None = None) -> Path | None:
    """Where what is learnt here is kept; None if nothing can be written there. The oldest files make room."""
    folder = folder or cache_dir() / "ways"
    path = folder / f"{_circumstances(place, level)}.jsonl"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.touch()
        files = sorted(folder.glob("*.jsonl"), key=lambda file: file.stat().st_mtime_ns, reverse=True)
        for old in files[_KEPT_FILES:]:
            old.unlink(missing_ok=True)
    except OSError:
        return None
    return path


def _circumstances(place: Where, level: Level) -> str:
    python = place.python.resolve()
    status = python.stat()
    ours = Path(__file__).parents[1]
    parts = [level.value, place.name, str(python), f"{status.st_size} {status.st_mtime_ns}"]
    for name in _DECIDING:
        parts += [file.read_text(encoding="utf-8") for file in sorted((ours / name).rglob("*.py"))]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]


def _read(file: Path) -> Iterable[tuple[str, Kind]]:
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return
    known = {kind.value: kind for kind in _LEARNT}
    for line in lines:
        try:
            row = json.loads(line)
            yield str(row["task"]), known[row["way"]]
        except (ValueError, TypeError, KeyError):
            continue
