"""What the tests' process gives up so that files and memory shared with the candidate can't run code in it."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import tempfile
from typing import Any

_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE = 1, 4


def hide_memory() -> None:
    """No other process of this user may read or trace this one."""
    _prctl(_PR_SET_DUMPABLE, 0)


def die_with_parent() -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    try:
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)
    except (OSError, AttributeError):
        pass


def only_installed_modules() -> None:
    """Import nothing from folders that a candidate may write to: the current one, home, the one for temporary files."""
    theirs = [os.path.realpath(folder) for folder in (os.getcwd(), tempfile.gettempdir(), os.path.expanduser("~"))]
    installed = [os.path.realpath(folder) for folder in (sys.prefix, sys.base_prefix)]
    sys.path[:] = [
        entry for entry in sys.path if entry and (_is_below(entry, installed) or not _is_below(entry, theirs))
    ]


def _is_below(path: str, folders: list[str]) -> bool:
    resolved = os.path.realpath(path)
    return any(resolved == folder or resolved.startswith(f"{folder}/") for folder in folders if folder != "/")


def refuse_code_from_files() -> None:
    """From now on unpickling finds no class. (The audit hook can't be taken away again.)"""

    def refuse(event: str, _: tuple[Any, ...]) -> None:
        if event == "pickle.find_class":
            raise PermissionError("no unpickling of classes where a candidate may have written the file")

    sys.addaudithook(refuse)
