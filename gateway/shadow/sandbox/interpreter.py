"""Where a Python keeps what it needs to run."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

_QUESTION = (
    "import json, sys, sysconfig; print(json.dumps([sys.prefix, sys.base_prefix, sys.base_exec_prefix,"
    " *(sysconfig.get_path(n) for n in ('stdlib', 'platstdlib', 'purelib', 'platlib'))]))"
)
_SECONDS = 30


class SandboxError(Exception):
    """The sandbox can't start; the text says why and what to do about it."""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """``executable`` as it is called (a virtual environment's link matters); ``folders`` outside /usr, outermost only,
    without symbolic links; ``links``: (path, target) of links that lead to them."""

    executable: Path
    prefix: Path
    folders: tuple[str, ...]
    links: tuple[tuple[str, str], ...]


def examine(python: Path) -> Interpreter:
    """Raises SandboxError if ``python`` doesn't run."""
    executable = Path(os.path.abspath(python))
    try:
        done = subprocess.run(
            [executable, "-I", "-c", _QUESTION], capture_output=True, text=True, timeout=_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise SandboxError(f"{python} does not run: {error}") from error
    answers = json.loads(done.stdout)
    named = [str(executable), *answers]
    links: dict[str, str] = {}
    real = [_follow(path, links) for path in named]
    folders = {path for path in (real[0], *real[1:]) if not path.startswith("/usr/") and path != "/usr"}
    outermost = tuple(sorted(p for p in folders if not any(p.startswith(other + "/") for other in folders)))
    outside = tuple((path, target) for path, target in links.items() if not _within(path, (*outermost, "/usr")))
    return Interpreter(executable, Path(answers[0]), outermost, outside)


def _within(path: str, folders: tuple[str, ...]) -> bool:
    return any(path == folder or path.startswith(folder + "/") for folder in folders)


def _follow(path: str, links: dict[str, str]) -> str:
    """``path`` without symbolic links; those on the way are added to ``links``."""
    done = "/"
    rest = [part for part in path.split("/") if part]
    while rest:
        here = os.path.join(done, rest.pop(0))
        if os.path.islink(here):
            target = os.readlink(here)
            links[here] = target
            rest = [*(part for part in os.path.normpath(os.path.join(done, target)).split("/") if part), *rest]
            done = "/"
        else:
            done = here
    return done
