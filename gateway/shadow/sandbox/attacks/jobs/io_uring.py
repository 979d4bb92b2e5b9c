"""Ask for a ring: its calls are made by the kernel, where no seccomp filter sees them."""

import ctypes
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.shadow.sandbox.attacks.ways import Ways


def attack(ways: "Ways") -> None:
    """Succeeds with the ring's descriptor."""

    @ways.attempt
    def ring() -> object:
        return ways.syscall("io_uring_setup", 8, ctypes.create_string_buffer(256))

    @ways.attempt
    def ring_without_interrupts() -> object:
        parameters = ctypes.create_string_buffer(256)
        ctypes.memmove(ctypes.addressof(parameters) + 8, ctypes.byref(ctypes.c_uint(2)), 4)  # IORING_SETUP_SQPOLL
        return ways.syscall("io_uring_setup", 1, parameters)
