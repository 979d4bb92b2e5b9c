"""A job's folder on a real disk: how much it holds, also where a job tries to hide it, and how to be rid of it."""

from __future__ import annotations

import mmap
import os
import secrets
import stat
from collections.abc import Iterable
from dataclasses import dataclass

_ENTRY = 4096  # what each file and folder counts for beside its content
_DEEPEST = 256
_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
TOO_MUCH = 1 << 62


def used(folder: str, enough: int) -> int:
    """Bytes in ``folder``; stops counting above ``enough``. A tree too deep to look at counts as too much."""
    total = 0
    inside = [_Folder(os.open(folder, _OPEN_FOLDER))]
    try:
        while inside and total <= enough:
            here = inside[-1]
            if not here.names:
                os.close(inside.pop().descriptor)
                continue
            total += _ENTRY
            size, below = _look(here.names.pop(), here.descriptor)
            total += size
            if below is not None:
                inside.append(_Folder(below))
                if len(inside) > _DEEPEST:
                    return TOO_MUCH
    finally:
        for left in inside:
            os.close(left.descriptor)
    return total


class _Folder:
    """An open folder, and what in it is still to be looked at."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.names = os.listdir(descriptor)


def _look(name: str, folder: int) -> tuple[int, int | None]:
    """Bytes of the file ``name``, and a descriptor if it is a folder."""
    try:
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            return 0, _open(name, folder)
    except OSError:
        return 0, None  # it has gone meanwhile
    return status.st_blocks * 512, None


def _open(name: str, folder: int) -> int:
    """A descriptor to read the folder ``name`` by, also if its mode forbids it (the mode is put back)."""
    try:
        return os.open(name, _OPEN_FOLDER, dir_fd=folder)
    except PermissionError:
        pinned = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        itself = f"/proc/self/fd/{pinned}"
        mode = stat.S_IMODE(os.stat(itself).st_mode)
        try:
            os.chmod(itself, 0o700)
            return os.open(itself, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        finally:
            os.chmod(itself, mode)
            os.close(pinned)


@dataclass(frozen=True)
class Device:
    """What files in a folder lie on, as stat and as /proc/pid/maps name it (an overlay's folders differ)."""

    number: int
    mapped_as: bytes


def device_of(folder: str) -> Device:
    """Makes a file in ``folder`` to see, and removes it."""
    descriptor = os.open(f"{folder}/{secrets.token_hex(8)}", os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.unlink(os.readlink(f"/proc/self/fd/{descriptor}"))
        os.ftruncate(descriptor, 1)
        status = os.fstat(descriptor)
        with mmap.mmap(descriptor, 1):
            names = [name for name, inode in _mapped_unlinked(os.getpid()) if inode == status.st_ino]
        return Device(status.st_dev, names[0])
    finally:
        os.close(descriptor)


def unlinked(processes: Iterable[int], device: Device) -> int:
    """Bytes of files on ``device`` that have no name any more, but that ``processes`` hold open.

    One that is only mapped, without a descriptor, can't be measured and counts as too much: Python's own mmap keeps a
    descriptor, so only who hides a file does that.
    """
    opened: dict[int, int] = {}
    mapped: set[int] = set()
    for pid in processes:
        try:
            opened.update(_open_unlinked(pid, device.number))
            mapped |= {inode for name, inode in _mapped_unlinked(pid) if name == device.mapped_as}
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
        except PermissionError:
            if _lives(pid):
                return TOO_MUCH  # it hides what it holds
    return TOO_MUCH if mapped - opened.keys() else sum(opened.values())


def _lives(pid: int) -> bool:
    """Whether the process still has memory: one that is ending belongs to root in /proc."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return not file.read().startswith(b"0 ")
    except OSError:
        return False


def _open_unlinked(pid: int, device: int) -> dict[int, int]:
    found = {}
    for name in os.listdir(f"/proc/{pid}/fd"):
        try:
            status = os.stat(f"/proc/{pid}/fd/{name}")
        except (FileNotFoundError, ProcessLookupError):
            continue
        if status.st_nlink == 0 and status.st_dev == device and stat.S_ISREG(status.st_mode):
            found[status.st_ino] = status.st_blocks * 512
    return found


def _mapped_unlinked(pid: int) -> list[tuple[bytes, int]]:
    with open(f"/proc/{pid}/maps", "rb") as file:
        lines = [line.split(None, 5) for line in file if line.endswith(b" (deleted)\n")]
    return [(fields[3], int(fields[4])) for fields in lines]


def remove(folder: str) -> None:
    """Remove ``folder`` and all in it, however deep; nothing else may change it meanwhile.

    What lies deep is moved up first, so that no path gets longer than the kernel takes.
    """
    moved = f"{folder}/{secrets.token_hex(8)}"
    count = 0
    while folders := _only_folders(folder):
        for outer in folders:
            for inner in _only_folders(outer):
                count += 1
                os.rename(inner, f"{moved}-{count}")
            os.rmdir(outer)
    os.rmdir(folder)


def _only_folders(folder: str) -> list[str]:
    """The paths of the folders in ``folder``, after everything else in it was removed. They can be moved."""
    os.chmod(folder, 0o700)
    with os.scandir(folder) as entries:
        found = [(entry.path, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for path, is_folder in found:
        if is_folder:
            os.chmod(path, 0o700)
        else:
            os.unlink(path)
    return [path for path, is_folder in found if is_folder]
