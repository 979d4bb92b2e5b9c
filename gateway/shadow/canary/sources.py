"""Real source files to put around a task: this Python's standard library, or a folder that the user names."""

from __future__ import annotations

import os
import re
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.families import MODELS

_LEFT_OUT = frozenset({"site-packages", "dist-packages", "node_modules", "test", "tests", "idle_test", "venv"})
_SHORTEST, _LONGEST = 400, 100_000  # characters
_LONGEST_LINE = 240  # characters: longer ones are data, and a prompt can't be cut within a line
_MOST_FILES, _MOST_TEXT = 5_000, 64_000_000
_PLAIN_PATH = re.compile(r"[\w./+ -]+")
# What the prompt puts around files, and what a model server would read as special tokens.
_NOT_IN_A_FILE = ("\0", "<file path=", "</file>", *sorted({text for m in MODELS.values() for text in m.special_tokens}))


@dataclass(frozen=True, slots=True)
class Source:
    """`path`: relative, with slashes. `text` begins and ends with a visible character."""

    path: str
    text: str


def standard_library() -> Path:
    return Path(sysconfig.get_path("stdlib"))


def read_sources(folder: Path | None = None) -> tuple[Source, ...]:
    """The usable Python files in a folder (default: the standard library's), by path.

    Tests, hidden folders, links and installed packages are left out, and files that are small, large, not UTF-8, or
    hold what would be read as part of the prompt's own frame. At most 5,000 files and 64 MB. Raises OSError where the
    folder can't be read, ValueError where it has no usable file.
    """
    root = standard_library() if folder is None else folder
    found, size = list[Source](), 0
    for path in _python_files(root):
        source = _read(root, path)
        if source is not None:
            found.append(source)
            size += len(source.text)
        if len(found) >= _MOST_FILES or size >= _MOST_TEXT:
            break
    if not found:
        raise ValueError(
            f"{root} has no Python file of {_SHORTEST:,} to {_LONGEST:,} characters to use as a distractor"
        )
    return tuple(found)


def _python_files(root: Path) -> Iterator[Path]:
    def refuse(error: OSError) -> None:
        if error.filename == str(root):
            raise error

    for folder, folders, names in os.walk(root, onerror=refuse):
        folders[:] = sorted(name for name in folders if name not in _LEFT_OUT and not name.startswith((".", "__")))
        yield from (Path(folder, name) for name in sorted(names) if name.endswith(".py"))


def _read(root: Path, path: Path) -> Source | None:
    try:
        if path.is_symlink() or not _SHORTEST <= path.stat().st_size <= 4 * _LONGEST:
            return None
        text = path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None
    name = path.relative_to(root).as_posix()
    plain = _PLAIN_PATH.fullmatch(name) and not any(mark in text for mark in _NOT_IN_A_FILE)
    if not plain or not _SHORTEST <= len(text) <= _LONGEST or max(map(len, text.splitlines())) > _LONGEST_LINE:
        return None
    return Source(name, text)
