"""Mount a file system, or change a mount: over the interpreter, over /proc, from read-only to writable."""

import ctypes
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.shadow.sandbox.attacks.ways import Ways

RDONLY, REMOUNT, BIND, REC, PRIVATE = 1, 32, 4096, 16384, 0x40000


def attack(ways: "Ways") -> None:
    """With the call of old and with the new ones."""
    os.mkdir("target")

    def mount(source: bytes, target: bytes, kind: bytes | None, flags: int) -> object:
        return ways.syscall("mount", source, target, kind, flags, None) == 0

    @ways.attempt
    def memory_file_system() -> object:
        return mount(b"none", b"target", b"tmpfs", 0)

    @ways.attempt
    def proc() -> object:
        return mount(b"none", b"target", b"proc", 0)

    @ways.attempt
    def bind() -> object:
        return mount(b"/", b"target", None, BIND | REC)

    @ways.attempt
    def remount_writable() -> object:
        return [path for path in (b"/", b"/usr", b"/proc", b"/sys", b"/dev") if remounted(ways, path)]

    @ways.attempt
    def propagation() -> object:
        return mount(b"none", b"/", None, REC | PRIVATE)

    @ways.attempt
    def unmount() -> object:
        return [path for path in (b"/tmp", b"/dev/shm", b"/proc", b"/usr") if unmounted(ways, path)]

    @ways.attempt
    def new_file_system() -> object:
        return ways.syscall("fsopen", b"tmpfs", 0)

    @ways.attempt
    def copy_of_the_tree() -> object:
        return ways.syscall("open_tree", -100, b"/", 1)  # OPEN_TREE_CLONE

    @ways.attempt
    def attributes_of_the_tree() -> object:
        attributes = (ctypes.c_ulong * 4)(0, RDONLY, 0, 0)
        return ways.syscall("mount_setattr", -100, b"/", 0x8000, ctypes.byref(attributes), 32) == 0

    @ways.attempt
    def move_a_mount() -> object:
        return ways.syscall("move_mount", -100, b"/tmp", -100, b"target", 0) == 0

    @ways.attempt
    def change_root() -> object:
        return ways.syscall("chroot", b"target") == 0

    @ways.attempt
    def pivot_root() -> object:
        return ways.syscall("pivot_root", b".", b".") == 0


def remounted(ways: "Ways", path: bytes) -> bool:
    """Whether that mount could be made writable."""
    try:
        return ways.syscall("mount", None, path, None, REMOUNT | BIND, None) == 0
    except OSError:
        return False


def unmounted(ways: "Ways", path: bytes) -> bool:
    """Whether that mount could be taken off."""
    try:
        return ways.syscall("umount2", path, 2) == 0
    except OSError:
        return False
