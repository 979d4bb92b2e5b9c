"""Run as a program of its own before a slot's server: becomes the slot's user, with only what that user needs in reach.

Standard library only. Its argument is JSON: "command" and "env" to execute, "uid" (null: stay who we are), "reveal"
(paths that the user must be able to reach), "links" (path and target of symbolic links to keep on the way to them),
"cgroup" (files to write our process id to), "data" (texts that the command reads from descriptors; "{0}" in the command
is the first one's number).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import stat
import sys
from typing import NoReturn

_CLONE_NEWNS, _MS_BIND, _MS_REC, _MS_PRIVATE = 0x00020000, 4096, 16384, 1 << 18


def main() -> NoReturn:
    settings = json.loads(sys.argv[1])
    for path in settings["cgroup"]:
        with contextlib.suppress(OSError), open(path, "w") as file:  # without it the watch on processes must do
            file.write(str(os.getpid()))
    if settings["uid"] is not None:
        reveal(settings["reveal"], settings["links"], settings["uid"])
        os.setgroups([])
        os.setgid(settings["uid"])
        os.setuid(settings["uid"])
    numbers = [_descriptor(text) for text in settings["data"]]
    command = [
        word.format(*numbers) if word.startswith("{") and len(word) < 6 else word for word in settings["command"]
    ]
    os.execve(command[0], command, settings["env"])


def reveal(paths: list[str], links: list[tuple[str, str]], uid: int) -> None:
    """Let ``uid`` reach ``paths``: in a mount namespace of our own, a folder that it may not enter is covered by an
    empty one with nothing but these paths in it, and those of ``links`` (path, target) that were there."""
    barriers = {path: barrier for path in paths if (barrier := unreachable(path, uid)) is not None}
    covered_links = [(path, target) for path, target in links if unreachable(path, uid) is not None]
    if not barriers and not covered_links:
        return
    try:
        _call("unshare", _CLONE_NEWNS)
    except OSError:
        needed = [*barriers, *(path for path, _ in covered_links)][0]
        folder = unreachable(needed, uid)
        sys.exit(f"{needed} can't be read by user {uid}, since {folder} is closed to others: open it, or move it")
    _mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    kept = {path: os.open(path, os.O_PATH) for path in barriers}
    for barrier in {*barriers.values(), *(str(unreachable(path, uid)) for path, _ in covered_links)}:
        _mount("tmpfs", barrier, "tmpfs", 0, "mode=755,size=1m")
    for path, descriptor in kept.items():
        _put(descriptor, path)
    for path, target in covered_links:
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        os.symlink(target, path)


def _put(descriptor: int, path: str) -> None:
    """What ``descriptor`` was opened on appears at ``path``."""
    is_folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
    os.makedirs(path if is_folder else os.path.dirname(path), mode=0o755, exist_ok=True)
    if not is_folder:
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))
    _mount(f"/proc/self/fd/{descriptor}", path, None, _MS_BIND | _MS_REC)
    os.close(descriptor)


def unreachable(path: str, uid: int) -> str | None:
    """The first folder on the way to ``path`` (absolute, no symbolic links) that ``uid`` may not enter."""
    parts = path.strip("/").split("/")
    for depth in range(1, len(parts)):
        folder = "/" + "/".join(parts[:depth])
        status = os.stat(folder)
        needed = stat.S_IXUSR if status.st_uid == uid else stat.S_IXOTH
        if not status.st_mode & needed:
            return folder
    return None


def _descriptor(text: str) -> int:
    descriptor = os.memfd_create("data", 0)
    os.write(descriptor, text.encode())
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def _mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind, data)]
    _call("mount", texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3])


def _call(name: str, *arguments: object) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments) < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


if __name__ == "__main__":
    main()
