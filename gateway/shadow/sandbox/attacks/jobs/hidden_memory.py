"""Hold memory that is in no process's resident set: files in memory, shared pages given back, segments, pipes."""

import ctypes
import fcntl
import mmap
import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.shadow.sandbox.attacks.ways import Ways

PIECE = 16 << 20
FILL = b"\1" * (1 << 20)


def attack(ways: "Ways") -> None:
    """Counts what is held in all; gives up at four times what the job may have."""
    most, held = 4 * ways.bait["memory"], 0
    kept: list[object] = []
    for way in (shared_pages, file_in_memory, segment, huge_pages, full_pipe, full_socket, full_stream):
        before = held
        try:
            while held < most and held - before < 3 * ways.bait["memory"]:
                held += way(ways, kept)
                ways.count("bytes", held)
        except (OSError, MemoryError) as error:
            ways.report({"way": way.__name__.replace("_", " "), "refused": str(error)})


def shared_pages(ways: "Ways", kept: "list[object]") -> int:
    """Written, then dropped from this process's tables: they stay, and are counted for nobody."""
    pages = mmap.mmap(-1, PIECE, mmap.MAP_SHARED | mmap.MAP_ANONYMOUS)
    for _ in range(PIECE // len(FILL)):
        pages.write(FILL)
    pages.madvise(mmap.MADV_DONTNEED)
    kept.append(pages)
    return PIECE


def file_in_memory(ways: "Ways", kept: "list[object]") -> int:
    """Written through its descriptor, so mapped nowhere."""
    held = ways.syscall("memfd_create", b"held", 0)
    return sum(os.write(held, FILL) for _ in range(PIECE // len(FILL)))


def segment(ways: "Ways", kept: "list[object]") -> int:
    """System V: stays without any process."""
    number = ways.syscall("shmget", 0, PIECE, 0o1600)
    place = ways.syscall("shmat", number, None, 0)
    ctypes.memset(place, 1, PIECE)
    ways.syscall("madvise", place, PIECE, mmap.MADV_DONTNEED)
    return PIECE


def huge_pages(ways: "Ways", kept: "list[object]") -> int:
    """Counted apart from a process's resident set."""
    pages = mmap.mmap(-1, PIECE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x40000)
    pages[0] = 1
    kept.append(pages)
    return PIECE


def full_pipe(ways: "Ways", kept: "list[object]") -> int:
    """As large as it may be made, and full."""
    _, other = os.pipe()
    fcntl.fcntl(other, 1031, 1 << 20)  # F_SETPIPE_SZ
    os.set_blocking(other, False)
    return os.write(other, FILL)


def full_socket(ways: "Ways", kept: "list[object]") -> int:
    """Messages that nobody reads."""
    return unread(socket.SOCK_DGRAM, kept)


def full_stream(ways: "Ways", kept: "list[object]") -> int:
    """Bytes that nobody reads."""
    return unread(socket.SOCK_STREAM, kept)


def unread(kind: int, kept: "list[object]") -> int:
    """As much as a pair takes."""
    one, other = socket.socketpair(socket.AF_UNIX, kind)
    kept += [one, other]
    one.setblocking(False)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4 << 20)
    sent = 0
    try:
        while True:
            sent += one.send(FILL[: 128 << 10])
    except BlockingIOError:
        return sent
