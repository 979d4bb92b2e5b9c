"""Hold memory that is in no process's resident set: files in memory, shared pages given back, segments, pipes."""

import ctypes
import fcntl
import mmap
import os
import signal
import socket
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.shadow.sandbox.attacks.ways import Ways

PIECE = 16 << 20
FILL = b"\1" * (1 << 20)


def attack(ways: "Ways") -> None:
    """Four processes, as each alone is bounded; counts what is held in all, which is up to four times what may be."""
    end, other = os.pipe()
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            hold(ways, other)
        children.append(child)
    os.close(other)
    held = 0
    while size := os.read(end, 8):
        held += int.from_bytes(size, "big")
        ways.count("bytes", held)
    time.sleep(0.3)  # all of it is held
    for child in children:
        os.kill(child, signal.SIGKILL)


def hold(ways: "Ways", other: int) -> None:
    """Eight bytes into the pipe for each piece; holds them until ended."""
    most, held, kept = ways.bait["memory"], 0, list[object]()
    for way in (shared_pages, file_in_memory, segment, huge_pages, full_pipe, full_socket, full_stream):
        try:
            while held < most:
                size = way(ways, kept)
                os.write(other, size.to_bytes(8, "big"))
                held += size
        except (OSError, MemoryError) as error:
            ways.report({"way": way.__name__.replace("_", " "), "refused": str(error)})
    os.close(other)
    while True:
        signal.pause()


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
