"""Reach parts of the kernel that no program under test needs, and where its faults have been."""

import ctypes
import errno
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gateway.shadow.sandbox.attacks.ways import Ways

# With arguments that change nothing even where the call is allowed.
CALLS: "tuple[tuple[str, tuple[Any, ...]], ...]" = (
    ("acct", (b"/nowhere/at/all",)),
    ("bpf", (99, None, 0)),
    ("clock_settime", (99, None)),
    ("delete_module", (b"", 0)),
    ("fanotify_init", (0, 0)),
    ("finit_module", (-1, b"", 0)),
    ("fsopen", (b"none", 0)),
    ("init_module", (None, 0, b"")),
    ("io_uring_enter", (-1, 0, 0, 0, None, 0)),
    ("io_uring_register", (-1, 0, None, 0)),
    ("io_uring_setup", (0, None)),
    ("kcmp", (os.getpid(), os.getpid(), 99, 0, 0)),
    ("kexec_load", (0, 99, None, 0)),
    ("keyctl", (99, None)),
    ("mount", (None, None, None, 0, None)),
    ("move_mount", (-1, b"", -1, b"", 0)),
    ("name_to_handle_at", (-100, b"/", None, None, 0)),
    ("open_by_handle_at", (-1, None, 0)),
    ("open_tree", (-1, b"", 0)),
    ("perf_event_open", (None, 0, -1, -1, 0)),
    ("pivot_root", (None, None)),
    ("process_vm_readv", (os.getpid(), None, 0, None, 0, 0)),
    ("ptrace", (99, 0, None, None)),
    ("quotactl", (99, None, 0, None)),
    ("reboot", (0, 0, 0, None)),
    ("setdomainname", (None, -1)),
    ("sethostname", (None, -1)),
    ("setns", (-1, 0)),
    ("swapon", (b"/nowhere/at/all", 0)),
    ("syslog", (10, None, 0)),
    ("umount2", (b"/nowhere/at/all", 0)),
    ("unshare", (0x10000000,)),
    ("userfaultfd", (1,)),
    ("vmsplice", (-1, None, 0, 0)),
)
REFUSALS = (errno.EPERM, errno.EACCES, errno.ENOSYS)


def attack(ways: "Ways") -> None:
    """An answer other than "not permitted" or "no such call" says that the kernel has looked at the arguments."""
    for name, arguments in CALLS:

        def call(name: str = name, arguments: "tuple[Any, ...]" = arguments) -> object:
            try:
                return f"answered {ways.syscall(name, *arguments)}"
            except OSError as error:
                if error.errno in REFUSALS:
                    raise
                return f"looked at its arguments: {error}"

        call.__name__ = name
        ways.attempt(call)

    for family in (15, 17, 21, 26, 27, 29, 31, 37, 38, 40, 44, 45):

        def socket_of_a_family(family: int = family) -> object:
            for kind in (1, 2, 3, 5):
                try:
                    return f"descriptor {ways.syscall('socket', family, kind, 0)}"
                except OSError as error:
                    refused = error
            raise refused

        socket_of_a_family.__name__ = f"socket of family {family}"
        ways.attempt(socket_of_a_family)

    @ways.attempt
    def real_time_priority() -> object:
        return ways.syscall("sched_setscheduler", 0, 1, (ctypes.c_int * 1)(1)) == 0

    @ways.attempt
    def higher_priority() -> object:
        os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) - 1)
        return "raised"

    @ways.attempt
    def devices() -> object:
        return [path for path in DEVICES if usable(path)]


DEVICES = (
    "/dev/kvm",
    "/dev/fuse",
    "/dev/mem",
    "/dev/kmsg",
    "/dev/net/tun",
    "/dev/loop-control",
    "/dev/vda",
    "/dev/sda",
)


def usable(path: str) -> bool:
    """Whether the device opens."""
    try:
        os.close(os.open(path, os.O_RDONLY | os.O_NONBLOCK))
    except OSError:
        return False
    return True
