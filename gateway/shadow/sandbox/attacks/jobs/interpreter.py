"""Change what later jobs run: the interpreter, its libraries, the runner, the system's libraries."""

import mmap
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.shadow.sandbox.attacks.ways import Ways


def attack(ways: "Ways") -> None:
    """Success is to have one open for writing, or a new file beside it."""
    libraries = [
        path
        for module in tuple(sys.modules.values())
        for path in (getattr(module, "__file__", None), getattr(module, "__cached__", None))
        if path
    ]
    targets = [os.path.realpath(sys.executable), *libraries, "/usr/lib/x86_64-linux-gnu/libc.so.6", "/usr/bin/env"]

    @ways.attempt
    def open_to_write() -> object:
        return opened(targets)

    @ways.attempt
    def through_own_link() -> object:
        return opened(["/proc/self/exe", f"/proc/{os.getppid()}/exe"])

    @ways.attempt
    def map_to_write() -> object:
        with open(libraries[0], "rb") as file:
            return mmap.mmap(file.fileno(), 0, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)

    @ways.attempt
    def file_beside_it() -> object:
        folders = {os.path.dirname(path) for path in targets}
        return [folder for folder in sorted(folders) if created(f"{folder}/{ways.bait['mark']}.py")]

    @ways.attempt
    def folder_without_a_name() -> object:
        return os.open(os.path.dirname(libraries[0]), os.O_TMPFILE | os.O_WRONLY, 0o600)

    @ways.attempt
    def mode() -> object:
        before = os.stat(targets[0])
        os.chmod(targets[0], before.st_mode)
        return os.stat(targets[0]).st_ctime_ns != before.st_ctime_ns  # walls may say yes and do nothing

    @ways.attempt
    def move_it_away() -> object:
        if ways.bait["alone"]:
            return None
        os.rename(libraries[0], libraries[0] + ways.bait["mark"])
        os.rename(libraries[0] + ways.bait["mark"], libraries[0])
        return "moved"


def opened(paths: "list[str]") -> object:
    """The first that opens for writing; raises the last refusal."""
    refused: OSError | None = None
    for path in paths:
        try:
            return f"{path}: descriptor {os.open(path, os.O_WRONLY | os.O_APPEND)}"
        except OSError as error:
            refused = error
    raise refused or OSError("none tried")


def created(path: str) -> bool:
    """Whether a file can be made there; it goes again."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        os.unlink(path)
    except OSError:
        return False
    return True
