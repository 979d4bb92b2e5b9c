"""Read and write the memory of another process: of the host's victim, of the fork server."""

import ctypes
import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.shadow.sandbox.attacks.ways import Ways

SECRET = re.compile(rb"ys-secret-[0-9a-f]{32}")


class Piece(ctypes.Structure):
    """`struct iovec`."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def attack(ways: "Ways") -> None:
    """What it finds is searched for the secrets by the host; the place of the victim's is known to the attack."""
    victim, place = ways.bait["victim"], ways.bait["place"]

    def across(call: str, pid: int, address: int) -> bytes:
        buffer = ctypes.create_string_buffer(64)
        mine, theirs = Piece(ctypes.addressof(buffer), 64), Piece(address, 64)
        ways.syscall(call, pid, ctypes.byref(mine), 1, ctypes.byref(theirs), 1, 0)
        return buffer.raw

    @ways.look
    def read_across() -> object:
        return across("process_vm_readv", victim, place)

    @ways.attempt
    def write_across() -> object:
        return across("process_vm_writev", victim, ways.bait["scratch"])

    @ways.look
    def file_of_its_memory() -> object:
        return at(victim, place)

    @ways.look
    def all_of_its_memory() -> object:
        return found(victim)

    @ways.look
    def all_of_the_parents_memory() -> object:
        return found(os.getppid())

    @ways.look
    def map_of_its_memory() -> object:
        with open(f"/proc/{victim}/maps") as file:
            return file.read(8000)

    @ways.attempt
    def memory_of_the_parent_to_write() -> object:
        return os.open(f"/proc/{os.getppid()}/mem", os.O_RDWR) and above()

    @ways.attempt
    def memory_of_a_parent_across() -> object:
        buffer = ctypes.create_string_buffer(8)
        return across("process_vm_readv", os.getppid(), ctypes.addressof(buffer)) and above()

    @ways.attempt
    def advice_on_its_memory() -> object:
        held = ways.syscall("pidfd_open", victim, 0)
        piece = Piece(place & ~4095, 4096)
        return ways.syscall("process_madvise", held, ctypes.byref(piece), 1, 21, 0)

    @ways.attempt
    def move_its_pages() -> object:
        return ways.syscall("move_pages", victim, 0, None, None, None, 0) == 0


def above() -> object:
    """The parent of this process is the job's own first process: no success where there is none above it."""
    with open(f"/proc/{os.getppid()}/stat") as file:
        parent = int(file.read().rpartition(")")[2].split()[1])
    return parent and os.open(f"/proc/{parent}/mem", os.O_RDWR)


def at(pid: int, place: int) -> bytes:
    """64 bytes of a process's memory."""
    with open(f"/proc/{pid}/mem", "rb", 0) as memory:
        memory.seek(place)
        return memory.read(64)


def found(pid: int) -> object:
    """All secrets in a process's memory."""
    secrets: set[bytes] = set()
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            start, end = (int(each, 16) for each in line.split()[0].split("-"))
            if "rw" in line and end - start < 1 << 28:
                memory.seek(start)
                try:
                    secrets.update(SECRET.findall(memory.read(end - start)))
                except OSError:
                    continue
    return sorted(each.decode() for each in secrets)
