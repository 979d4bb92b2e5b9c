"""Slots of a scoring environment, and which environment that is."""

from __future__ import annotations

import hashlib
import platform
import subprocess
import sys
import tempfile
import venv
from dataclasses import dataclass
from pathlib import Path

from gateway.config import cache_dir
from gateway.shadow.environment import EnvironmentMissing, find
from gateway.shadow.suites.task import SuiteKind

BARE = f"none (the standard library of Python {platform.python_version()})"
"""`bare_python` has our own version; what the library's functions answer differs from one to another."""


class CannotScore(Exception):
    """Says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Where:
    """What samples are run with: a Python, what is warmed in it, and its name for reports."""

    python: Path
    preload: tuple[str, ...]
    name: str


def where(folder: Path | None, kind: SuiteKind) -> Where:
    """The scoring environment. The suite `five` needs no library, so it may do without one."""
    try:
        found = find(folder)
    except EnvironmentMissing as error:
        if folder is None and kind is SuiteKind.FIVE:
            return Where(bare_python(), (), BARE)
        raise CannotScore(str(error)) from None
    return Where(found.python, found.preload, found.name)


def bare_python(cache: Path | None = None) -> Path:
    """A Python with the standard library and nothing else: what is installed beside ours, or the system's, stays out.

    An empty environment of the interpreter that ours was made from; made once, in `cache` (by default, our cache).
    """
    base = Path(getattr(sys, "_base_executable", "") or sys.executable).resolve()
    digest = hashlib.sha256(f"{base} {sys.version}".encode()).hexdigest()[:12]
    folder = (cache or cache_dir()) / f"bare-python-{digest}"
    python = folder / "bin" / "python"
    if not python.exists():
        try:
            _make(folder)
        except (OSError, subprocess.CalledProcessError) as error:
            raise CannotScore(f"{folder}, an empty environment to score in, can't be made: {error}") from None
    return python


def _make(folder: Path) -> None:
    """Beside its place first: whoever finds it finds it whole, and of two that make it one wins."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as part:
        made = Path(part) / "made"
        venv.EnvBuilder(symlinks=True, with_pip=False).create(made)
        try:
            made.rename(folder)
        except OSError:
            if not (folder / "bin" / "python").exists():
                raise
