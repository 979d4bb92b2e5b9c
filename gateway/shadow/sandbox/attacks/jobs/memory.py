"""10 GB of memory, in pieces, by one process and by several."""

import mmap
import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.shadow.sandbox.attacks.ways import Ways

PIECE = 16 << 20


def attack(ways: "Ways") -> None:
    """Counts what it has touched. It gives up at four times what it may have: more would prove no more."""
    had, readers, children = 0, [], []
    for _ in range(3):  # each process alone stays below the limit for a while
        end, other = os.pipe()
        child = os.fork()
        if child == 0:
            fill(other, ways.bait["memory"] * 4 // 3)
        os.close(other)
        readers.append(end)
        children.append(child)
    while readers:
        for end in tuple(readers):
            if os.read(end, 1):
                had += PIECE
                ways.count("bytes", had)
            else:
                readers.remove(end)
    for child in children:
        os.kill(child, signal.SIGKILL)
    ways.report({"way": "several processes", "refused": "no more memory"})


def fill(other: int, most: int) -> None:
    """One byte into the pipe for each piece, which is held until the end."""
    pieces = []
    try:
        for _ in range(most // PIECE):
            piece = mmap.mmap(-1, PIECE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            for offset in range(0, PIECE, 4096):
                piece[offset] = 1
            pieces.append(piece)
            os.write(other, b"1")
        os.close(other)
        signal.pause()
    except (MemoryError, OSError):
        pass
    os._exit(0)
