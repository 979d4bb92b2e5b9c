"""Before anything is scored at a level, it has to have withstood the attacks here. That takes seconds, so it is noted.

A note counts for this start of the machine, this container, this user, this Python, this bubblewrap, this code of ours.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from gateway.config import cache_dir
from gateway.shadow import sandbox
from gateway.shadow.sandbox.level import Level, obstacle
from gateway.shadow.sandbox.proof import Proof
from gateway.shadow.score.slots import CannotScore

_NOTES = "sandbox-proofs.json"
_MOST_NOTES = 20
_SURROUNDINGS = ("/proc/sys/kernel/random/boot_id", "/proc/version", "/proc/self/cgroup", "/proc/self/attr/current")
_NAMESPACES = ("user", "mnt", "pid", "net", "cgroup")
_OF_STATUS = ("Uid:", "Gid:", "Groups:", "CapEff:", "CapBnd:", "NoNewPrivs:", "Seccomp:")


def level_that_holds(
    wanted: Level | None,
    python: Path,
    prove: Callable[[Level, Path], Proof],
    *,
    obstacle: Callable[[Level, Path], str | None] = obstacle,
    folder: Path | None = None,
) -> Level:
    """The strongest level, or the wanted one. CannotScore says of each what it lacks; `folder` holds the notes."""
    lacks = list[str]()
    for level in [wanted] if wanted else list(Level):
        reason = obstacle(level, python) or _weakness(level, python, prove, (folder or cache_dir()) / _NOTES)
        if reason is None:
            return level
        lacks.append(f"{level}: {reason}")
    raise CannotScore("\n".join(["no sandbox holds here, and answers are never run without one", *lacks]))


def _weakness(level: Level, python: Path, prove: Callable[[Level, Path], Proof], notes: Path) -> str | None:
    here = circumstances(level, python)
    if here in _noted(notes):
        return None
    proof = prove(level, python)
    if proof.holds:
        _note(notes, here)
        return None
    through = "; ".join(f"{row.attack} ({row.how})" for row in proof.rows if not row.stopped)
    return f"not every attack was stopped: {through or 'none was tried'}. `yardstick shadow sandbox` shows them all"


def circumstances(level: Level, python: Path) -> str:
    """A digest of what the proof rests on."""
    parts = [
        level.value,
        str(python.resolve()),
        _stamp(python.resolve()),
        _stamp(Path(shutil.which("bwrap") or "/none")),
    ]
    parts += [_content(Path(name)) for name in _SURROUNDINGS]
    parts += [_link(Path("/proc/self/ns") / name) for name in _NAMESPACES]
    status = _content(Path("/proc/self/status")).splitlines()
    parts += [line for line in status if line.startswith(_OF_STATUS)]
    ours = Path(sandbox.__file__).parent
    parts += [f"{path.relative_to(ours)} {_content(path)}" for path in sorted(ours.rglob("*.py"))]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()


def _noted(notes: Path) -> list[str]:
    try:
        found = json.loads(notes.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [note for note in found if isinstance(note, str)] if isinstance(found, list) else []


def _note(notes: Path, here: str) -> None:
    """That it can't be written costs time, no more."""
    with contextlib.suppress(OSError):
        notes.parent.mkdir(parents=True, exist_ok=True)
        kept = [*_noted(notes), here][-_MOST_NOTES:]
        with tempfile.NamedTemporaryFile("w", dir=notes.parent, prefix=f".{notes.name}.", delete=False) as part:
            json.dump(kept, part)
        os.replace(part.name, notes)


def _content(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _link(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""


def _stamp(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return ""
    return f"{status.st_dev} {status.st_ino} {status.st_size} {status.st_mtime_ns}"
