"""A small assembler for seccomp filters: classic BPF over (system call, architecture, arguments)."""

from __future__ import annotations

import ctypes
import errno
import struct
from typing import NamedTuple

from .linux import check, libc, prctl

KILL, ALLOW, _ERRNO = 0x80000000, 0x7FFF0000, 0x00050000

_LOAD_WORD, _AND, _RETURN = 0x20, 0x54, 0x06
_JUMP_EQUAL, _JUMP_GREATER, _JUMP_GREATER_OR_EQUAL, _JUMP_ANY_BIT = 0x15, 0x25, 0x35, 0x45
_OFFSET_NUMBER, _OFFSET_ARCHITECTURE, _OFFSET_ARGUMENTS = 0, 4, 16
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32 = 0x40000000
_SECCOMP_MODE_FILTER, _PR_SET_SECCOMP = 2, 22


class Instruction(NamedTuple):
    """``yes`` and ``no``: how many instructions a jump skips."""

    code: int
    value: int = 0
    yes: int = 0
    no: int = 0


Block = list[Instruction]  # looks at one call's arguments, and ends in a return on every way


def _load(argument: int, high: bool = False) -> Instruction:
    return Instruction(_LOAD_WORD, _OFFSET_ARGUMENTS + 8 * argument + 4 * high)  # little-endian, as both machines are


def _return(value: int) -> Instruction:
    return Instruction(_RETURN, value)


def fail(code: int = errno.EPERM) -> Block:
    """The call fails with ``code``; with 0 it does nothing and says that it succeeded."""
    return [_return(_ERRNO | code)]


def fail_if_bits(argument: int, bits: int, code: int = errno.EPERM) -> Block:
    """Fails if the argument has any of ``bits``."""
    return [_load(argument), Instruction(_JUMP_ANY_BIT, bits, 0, 1), *fail(code), _return(ALLOW)]


def fail_if_any(argument: int, *values: int, code: int = errno.EPERM) -> Block:
    """Fails if the argument's lower 32 bits (all that the kernel reads of an `int`) are one of ``values``."""
    tests = [Instruction(_JUMP_EQUAL, value & 0xFFFFFFFF, len(values) - at, 0) for at, value in enumerate(values)]
    return [_load(argument), *tests, _return(ALLOW), *fail(code)]


def fail_unless(argument: int, *values: int, mask: int = 0xFFFFFFFF, code: int = errno.EPERM) -> Block:
    """Fails unless the argument's lower 32 bits, of them those in ``mask``, are one of ``values``."""
    tests = [Instruction(_JUMP_EQUAL, value & 0xFFFFFFFF, len(values) - at, 0) for at, value in enumerate(values)]
    return [_load(argument), Instruction(_AND, mask), *tests, *fail(code), _return(ALLOW)]


def if_equal(argument: int, value: int, then: Block, otherwise: Block | None = None) -> Block:
    """Asks ``then`` if the argument's lower 32 bits are ``value``, else ``otherwise`` (by default all is allowed)."""
    return [_load(argument), Instruction(_JUMP_EQUAL, value, 0, len(then)), *then, *(otherwise or [_return(ALLOW)])]


def both(first: Block, second: Block) -> Block:
    """Allows what both blocks allow. In ``first`` the one return that allows has to be its last instruction."""
    if first[-1] == _return(ALLOW):
        return [*first[:-1], *second]
    raise ValueError("the first block must end by allowing")


def program(machine: str, rules: list[tuple[int, Block]], last_known: int) -> bytes:
    """The filter: foreign architectures are killed, calls above ``last_known`` do not exist, no rule means allowed."""
    start: Block = [
        Instruction(_LOAD_WORD, _OFFSET_ARCHITECTURE),
        Instruction(_JUMP_EQUAL, _AUDIT_ARCH[machine], 1, 0),
        _return(KILL),
        Instruction(_LOAD_WORD, _OFFSET_NUMBER),
        Instruction(_JUMP_GREATER_OR_EQUAL, _X32, 0, 1),
        _return(KILL if machine == "x86_64" else _ERRNO | errno.ENOSYS),
        Instruction(_JUMP_GREATER, last_known, 0, 1),
        _return(_ERRNO | errno.ENOSYS),
    ]
    middle = [
        instruction
        for number, block in rules
        for instruction in (Instruction(_JUMP_EQUAL, number, 0, len(block)), *block)
    ]
    return b"".join(struct.pack("<HBBI", i.code, i.yes, i.no, i.value) for i in (*start, *middle, _return(ALLOW)))


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def load(filter_: bytes) -> None:
    """From now on ``filter_`` holds for this thread and all that it starts. Needs no_new_privs."""
    loaded = _Program(len(filter_) // 8, filter_)
    prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.addressof(loaded))


def has_seccomp() -> bool:
    """Whether this kernel filters system calls (a NULL filter is refused as a bad address where it does)."""
    try:
        check(libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, None, None, None), "seccomp")
    except OSError as error:
        return error.errno in (errno.EFAULT, errno.EACCES)
    return True
