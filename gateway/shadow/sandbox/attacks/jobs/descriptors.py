"""Use descriptors that were left open for it: sockets of the fork server, folders outside, other jobs' pipes."""

import fcntl
import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.shadow.sandbox.attacks.ways import Ways


def attack(ways: "Ways") -> None:
    """A job needs /dev/null, one pipe to write its report to, and perhaps its own sealed source."""

    @ways.here
    def descriptors_beyond_need() -> object:
        return extra()

    @ways.here
    def shared_memory_with_the_fork_server() -> object:
        with open("/proc/self/maps") as maps:
            return [line.strip() for line in maps if "rw-s" in line]

    @ways.attempt
    def write_to_all_of_them() -> object:
        written = []
        for descriptor in range(3, 256):
            try:
                if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
                    os.write(descriptor, b'{"end": "exited", "cpu": 0, "wall": 0}\n')
                    written.append(descriptor)
            except OSError:
                continue
        return written

    @ways.attempt
    def terminal() -> object:
        held = os.open("/dev/tty", os.O_RDWR)
        fcntl.ioctl(held, 0x5412, b"x")  # TIOCSTI: types a letter into it
        return "typed"

    @ways.attempt
    def type_into_the_standard_streams() -> object:
        for descriptor in (0, 1, 2):
            try:
                fcntl.ioctl(descriptor, 0x5412, b"\0")
            except OSError:
                continue
            return descriptor
        return None


def extra() -> "list[str]":
    """What is open and should not be, each with its kind."""
    found, pipes = [], 0
    for descriptor in range(4096):
        try:
            state = os.fstat(descriptor)
            flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
        except OSError:
            continue
        if stat.S_ISFIFO(state.st_mode) and flags & os.O_ACCMODE == os.O_WRONLY:
            pipes += 1
            if pipes == 1:
                continue
        if stat.S_ISCHR(state.st_mode) and state.st_rdev == os.makedev(1, 3):
            continue
        if sealed(descriptor):
            continue
        found.append(f"{descriptor}: {kind(state.st_mode)}, flags {flags:o}")
    return found


def sealed(descriptor: int) -> bool:
    """Whether it is memory that nobody can change any more."""
    try:
        return bool(fcntl.fcntl(descriptor, 1034) & 0x8)  # F_GET_SEALS, F_SEAL_WRITE
    except OSError:
        return False


def kind(mode: int) -> str:
    """Of a descriptor, in a word."""
    kinds = {stat.S_IFIFO: "pipe", stat.S_IFSOCK: "socket", stat.S_IFDIR: "folder", stat.S_IFREG: "file"}
    return kinds.get(stat.S_IFMT(mode), f"mode {mode:o}")
