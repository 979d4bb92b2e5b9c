"""The filter of system calls, by running its program on calls as the kernel would, for both machines."""

from __future__ import annotations

import errno
import platform
import struct
from collections.abc import Callable

import pytest

from gateway.shadow.sandbox.job import Job, Kind
from gateway.shadow.sandbox.runner import bpf, seccomp
from gateway.shadow.sandbox.runner.bpf import ALLOW, KILL
from gateway.shadow.sandbox.runner.syscalls import LAST_KNOWN, NUMBERS, number
from gateway.shadow.sandbox.slot import Slot

MACHINES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
PID = 4321


def refused(code: int) -> int:
    return 0x00050000 | code


def run(program: bytes, architecture: int, call: int, *arguments: int) -> int:
    """What the filter returns: an interpreter of the instructions that filters are made of."""
    data = struct.pack("<II8x6Q", call & 0xFFFFFFFF, architecture, *(*arguments, 0, 0, 0, 0, 0, 0)[:6])
    instructions = list(struct.iter_unpack("<HBBI", program))
    at = accumulator = 0
    while True:
        code, yes, no, value = instructions[at]
        at += 1
        if code == 0x20:
            (accumulator,) = struct.unpack_from("<I", data, value)
        elif code == 0x54:
            accumulator &= value
        elif code == 0x06:
            return int(value)
        else:
            tests = {0x15: accumulator == value, 0x25: accumulator > value, 0x35: accumulator >= value}
            at += yes if tests.get(code, bool(accumulator & value)) else no


@pytest.fixture(params=list(MACHINES))
def machine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


Ask = Callable[..., int]


@pytest.fixture
def ask(machine: str) -> Ask:
    program = seccomp.assemble(seccomp.common_rules(), machine)
    return lambda name, *arguments: run(program, MACHINES[machine], number(name, machine) or 0, *arguments)


def asking_landlock(machine: str, *, own_user: bool = False, scoped: bool = True, truncate: bool = True) -> Ask:
    rules = seccomp.landlock_rules(PID, own_user=own_user, scoped=scoped, truncate=truncate)
    program = seccomp.assemble(rules, machine)
    return lambda name, *arguments: run(program, MACHINES[machine], number(name, machine) or 0, *arguments)


def test_foreign_architectures_are_killed(machine: str) -> None:
    program = seccomp.assemble(seccomp.common_rules(), machine)
    for architecture in (0x40000003, 0x40000028, *(set(MACHINES.values()) - {MACHINES[machine]})):
        assert run(program, architecture, 1) == KILL
    assert run(program, MACHINES[machine], 1) == ALLOW


def test_x32_is_killed() -> None:
    program = seccomp.assemble(seccomp.common_rules(), "x86_64")
    assert run(program, MACHINES["x86_64"], 0x40000000 | 1) == KILL


def test_calls_that_nobody_here_knows_do_not_exist(machine: str) -> None:
    program = seccomp.assemble(seccomp.common_rules(), machine)
    assert run(program, MACHINES[machine], LAST_KNOWN + 1) == refused(errno.ENOSYS)


def test_numbers_are_not_given_twice() -> None:
    for at in (0, 1):
        numbers = [pair[at] for pair in NUMBERS.values() if pair[at] is not None]
        assert len(numbers) == len(set(numbers))
        assert max(number for number in numbers if number) <= LAST_KNOWN


@pytest.mark.parametrize("flag", [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000])
def test_no_namespace_can_be_made(ask: Ask, flag: int) -> None:
    assert ask("clone", flag | 17) == refused(errno.EPERM)
    assert ask("unshare", flag) == refused(errno.EPERM)
    assert ask("clone3") == refused(errno.ENOSYS)  # its flags lie in memory, where no filter sees them
    assert ask("clone", 0x01200000 | 17) == ALLOW  # fork
    assert ask("clone", 0x003D0F00) == ALLOW  # a thread


def test_only_sockets_that_namespaces_hold(ask: Ask) -> None:
    assert [ask("socket", domain, 1, 0) for domain in (1, 2, 10)] == [ALLOW] * 3
    assert ask("socket", 16, 3, 0) == ALLOW
    assert ask("socket", 16, 3, 9) == refused(errno.EPROTONOSUPPORT)
    for domain in (0, 17, 21, 31, 38, 40, 44):  # packets, RDS, Bluetooth, the kernel's ciphers, vsock, XDP
        assert ask("socket", domain, 1, 0) == refused(errno.EAFNOSUPPORT)


def test_upper_halves_of_arguments_hide_nothing(ask: Ask) -> None:
    assert ask("ioctl", 0, 0xABCD00005412) == refused(errno.EPERM)
    assert ask("socket", (7 << 32) | 40, 1, 0) == refused(errno.EAFNOSUPPORT)


def test_landlock_leaves_only_connected_pairs(machine: str) -> None:
    ask = asking_landlock(machine)
    assert ask("socket", 1, 1, 0) == refused(errno.EPERM)
    assert ask("socketpair", 1, 1 | 0o2000000, 0) == ALLOW
    assert ask("socketpair", 1, 2, 0) == refused(errno.EPROTONOSUPPORT)
    assert ask("socketpair", 1, 3, 0) == refused(errno.EPROTONOSUPPORT)  # the kernel makes a datagram pair of it
    assert ask("socketpair", 2, 1, 0) == refused(errno.EPERM)


@pytest.mark.parametrize("name", ["prlimit64", "sched_setaffinity", "sched_setscheduler", "sched_setattr"])
def test_landlock_leaves_no_way_to_other_processes(machine: str, name: str) -> None:
    ask = asking_landlock(machine)
    assert ask(name, 0) == ALLOW
    assert ask(name, PID) == ALLOW
    assert ask(name, PID + 1) == refused(errno.ESRCH)


@pytest.mark.parametrize(("name", "process"), [("setpriority", 0), ("ioprio_set", 1)])
def test_landlock_leaves_priorities_of_own_processes_only(machine: str, name: str, process: int) -> None:
    ask = asking_landlock(machine)
    assert (ask(name, process, 0), ask(name, process, PID)) == (ALLOW, ALLOW)
    assert ask(name, process, PID + 1) == refused(errno.ESRCH)
    for group_or_user in {0, 1, 2, 3} - {process}:
        assert ask(name, group_or_user, 0) == refused(errno.ESRCH)


def test_without_a_user_of_its_own_metadata_stays(machine: str) -> None:
    foreign, own = asking_landlock(machine), asking_landlock(machine, own_user=True)
    assert (foreign("fchmodat"), own("fchmodat")) == (refused(0), ALLOW)
    assert (foreign("setxattr"), own("setxattr")) == (refused(0), refused(errno.ENOTSUP))
    assert foreign("utimensat", 0, 0, 0) == refused(errno.EPERM)  # now: Path.touch then opens the file
    assert foreign("utimensat", 0, 0, 0x7FFF1234) == refused(0)


def test_buffers_of_sockets_stay_as_they_are(ask: Ask) -> None:
    assert [ask("setsockopt", 3, 1, option) for option in (7, 8)] == [refused(0)] * 2
    assert ask("setsockopt", 3, 1, 2) == ALLOW  # SO_REUSEADDR
    assert ask("setsockopt", 3, 6, 7) == ALLOW  # another layer's option


def test_without_scopes_signals_go_to_the_first_process_only(machine: str) -> None:
    ask = asking_landlock(machine, scoped=False)
    assert ask("kill", PID, 9) == ALLOW
    for other in (0, PID + 1, -1 & 0xFFFFFFFF, -PID & 0xFFFFFFFF):
        assert ask("kill", other, 9) == refused(errno.EPERM)
    assert ask("setsid") == refused(errno.EPERM)
    assert asking_landlock(machine)("kill", PID + 1, 9) == ALLOW


def test_without_its_right_truncate_is_refused(machine: str) -> None:
    assert asking_landlock(machine, truncate=False)("truncate") == refused(errno.EPERM)
    assert asking_landlock(machine)("truncate") == ALLOW


def test_the_kernel_refuses_what_the_rules_refuse(slot: Slot) -> None:
    """All calls that are refused whatever their arguments, made with none that could do harm."""
    machine = platform.machine()
    rules = seccomp.common_rules()
    codes = {name: block[0].value & 0xFFFF for name, block in rules.items() if len(block) == 1}
    calls = {name: number(name, machine) for name in codes if number(name, machine) is not None}
    code = f"""
import ctypes
libc = ctypes.CDLL(None, use_errno=True)
for name, number in {calls!r}.items():
    result = libc.syscall(number, -1, -1, -1, -1, -1, -1)
    report({{"name": name, "result": result, "errno": ctypes.get_errno()}})
"""
    lines = slot.run(Job(Kind.PLAIN, code)).lines
    assert {line["name"]: (line["result"], line["errno"]) for line in lines} == {
        name: (-1, codes[name]) for name in calls
    }


def test_a_call_of_another_architecture_ends_the_process(slot: Slot) -> None:
    if platform.machine() != "x86_64":
        pytest.skip("the 32-bit entry into the kernel is x86_64's")
    code = """
import ctypes, mmap, os
code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
code.write(b"\\xb8\\x14\\x00\\x00\\x00\\xcd\\x80\\xc3")  # mov eax, 20 (getpid there); int 0x80; ret
address = ctypes.addressof(ctypes.c_char.from_buffer(code))
if not os.fork():
    ctypes.CFUNCTYPE(ctypes.c_int)(address)()
    os._exit(0)
report({"status": os.wait()[1] & 0x7F})
"""
    assert slot.run(Job(Kind.PLAIN, code)).lines == ({"status": 31},)  # SIGSYS


def test_blocks_fit_the_jumps_over_them() -> None:
    rules = seccomp.landlock_rules(PID, own_user=False, scoped=False, truncate=False)
    assert all(len(block) < 256 for block in rules.values())
    with pytest.raises(ValueError, match="must end by allowing"):
        bpf.both(bpf.fail(), bpf.fail())
