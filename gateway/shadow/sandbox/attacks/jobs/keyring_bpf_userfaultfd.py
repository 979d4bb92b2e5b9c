"""Use the kernel's keyrings (shared by all of a uid), its virtual machine, and faults handled by hand."""

import ctypes
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.shadow.sandbox.attacks.ways import Ways

SESSION, USER_SESSION = -3, -5


def attack(ways: "Ways") -> None:
    """Each succeeds with a key or a descriptor."""

    @ways.attempt
    def add_a_key() -> object:
        return ways.syscall("add_key", b"user", ways.bait["mark"].encode(), b"data", 4, USER_SESSION)

    @ways.attempt
    def join_a_keyring() -> object:
        return ways.syscall("keyctl", 1, None)

    @ways.attempt
    def look_for_a_keyring() -> object:
        return ways.syscall("keyctl", 0, SESSION, 1)

    @ways.attempt
    def request_a_key() -> object:
        return ways.syscall("request_key", b"user", b"none", None, SESSION)

    @ways.attempt
    def bpf_map() -> object:
        return ways.syscall("bpf", 0, (ctypes.c_uint * 32)(1, 4, 4, 1), 128)

    @ways.attempt
    def bpf_program() -> object:
        # A socket filter that returns 0, which needs no privilege where that is allowed.
        code = (ctypes.c_ulong * 2)(0x00000000000000B7, 0x0000000000000095)
        licence = ctypes.create_string_buffer(b"GPL")
        arguments = (ctypes.c_ulong * 16)(1 | 2 << 32, ctypes.addressof(code), ctypes.addressof(licence))
        return ways.syscall("bpf", 5, arguments, 128)

    @ways.attempt
    def faults() -> object:
        return ways.syscall("userfaultfd", 0)

    @ways.attempt
    def faults_of_users_only() -> object:
        return ways.syscall("userfaultfd", 1)

    @ways.attempt
    def faults_by_the_device() -> object:
        return os.open("/dev/userfaultfd", os.O_RDWR)
