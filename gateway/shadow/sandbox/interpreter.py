"""Where a Python keeps what it needs to run."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
from collections.abc import Iterable
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
    """Raises SandboxError if ``python`` doesn't run, or if what it needs can't be shown without a home directory."""
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
    folders = {path for path in real if not path.startswith("/usr/") and path != "/usr"}
    _refuse_homes(python, folders)
    outermost = tuple(sorted(p for p in folders if not any(p.startswith(other + "/") for other in folders)))
    outside = tuple((path, target) for path, target in links.items() if not _within(path, (*outermost, "/usr")))
    return Interpreter(executable, Path(answers[0]), outermost, outside)


def _refuse_homes(python: Path, folders: Iterable[str]) -> None:
    """All that lies in ``folders`` can be read by what is run, and whoever wrote that may be told of it."""
    homes = {os.path.realpath(home) for home in (os.path.expanduser("~"), *(user.pw_dir for user in pwd.getpwall()))}
    for folder in sorted(folders):
        if folder == "/":
            shown = "the whole file system"
        elif inside := sorted(home for home in homes if _within(home, (folder,))):
            shown = f"{folder}, with the home directory {inside[0]}" if inside[0] != folder else f"the home {folder}"
        else:
            continue
        raise SandboxError(
            f"{python} can't be used: it is spread over {shown}, so the code that is run could read all that is there."
            " Use a Python in a folder of its own, such as /usr/bin/python3 or what `python3 -m venv FOLDER` makes"
        )


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
