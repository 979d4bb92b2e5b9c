"""Which system calls hostile code may make. Everything is allowed that is not named here, and that this table knows.

The filter is the second wall, not the first: namespaces or Landlock keep files and networks away, the filter keeps
code away from large, rarely needed parts of the kernel, and closes what those walls leave open.
"""

from __future__ import annotations

import errno

from . import bpf
from .bpf import Block, fail, fail_if_any, fail_if_bits, fail_unless
from .syscalls import LAST_KNOWN, number

# mounts and namespaces; other processes' memory; kernel code; the machine's state; what outlives a process
# (System V IPC, POSIX queues, keys) or is memory that no limit counts (memfd); calls of no use to tests.
_DENIED = """
    mount umount2 pivot_root chroot fsopen fsconfig fsmount fspick move_mount open_tree mount_setattr unshare setns
    statmount listmount
    ptrace process_vm_readv process_vm_writev process_madvise process_mrelease kcmp pidfd_getfd move_pages migrate_pages
    userfaultfd perf_event_open bpf lookup_dcookie syslog memfd_secret map_shadow_stack lsm_set_self_attr
    init_module finit_module delete_module create_module query_module get_kernel_syms kexec_load kexec_file_load
    swapon swapoff reboot acct quotactl quotactl_fd nfsservctl settimeofday clock_settime clock_adjtime adjtimex
    sethostname setdomainname vhangup iopl ioperm modify_ldt uselib ustat sysfs
    open_by_handle_at name_to_handle_at fanotify_init fanotify_mark add_key request_key keyctl vmsplice
    mbind set_mempolicy get_mempolicy set_mempolicy_home_node
"""
# These fail as if the kernel lacked them, so that libraries fall back (glibc from clone3 to clone).
_ABSENT = (
    "clone3 io_uring_setup io_uring_enter io_uring_register memfd_create shmget shmat shmctl semget msgget mq_open"
)

_NAMESPACES = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
_CLONE_PARENT = 0x8000
_TERMINAL_COMMANDS = (0x5412, 0x541C)  # TIOCSTI and TIOCLINUX: typing into the terminal
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_SCHED_CORE = 1, 4, 62
_UNIX, _INET, _INET6, _NETLINK = 1, 2, 10, 16
_STREAM, _SEQPACKET = 1, 5
_SOL_SOCKET, _BUFFER_SIZES = 1, (7, 8, 32, 33)  # SO_SNDBUF, SO_RCVBUF and what root may
_OF_A_PROCESS = {"setpriority": 0, "ioprio_set": 1}  # the others are a group, and all of a user's processes
_TIMES_IN = {"utimensat": 2, "futimesat": 2, "utimes": 1, "utime": 1}  # which argument has them

# What changes a file by its path (or by a descriptor that may only read it): Landlock has no say in it.
_METADATA = """
    chmod fchmod fchmodat fchmodat2 chown fchown lchown fchownat utime utimes futimesat utimensat
    setxattr lsetxattr fsetxattr removexattr lremovexattr fremovexattr
"""


def common_rules() -> dict[str, Block]:
    """What no job may do at any level."""
    rules = {name: fail() for name in _DENIED.split()}
    rules.update({name: fail(errno.ENOSYS) for name in _ABSENT.split()})
    rules["clone"] = fail_if_bits(0, _NAMESPACES | _CLONE_PARENT)  # the server's children are those that it forked
    rules["ioctl"] = fail_if_any(1, *_TERMINAL_COMMANDS)
    rules["personality"] = fail_unless(0, 0, 0xFFFFFFFF)
    rules["prctl"] = fail_if_any(0, _PR_SCHED_CORE)
    # Memory that no process is charged with: buffers stay as large as they are, and the call says that it succeeded.
    rules["setsockopt"] = bpf.if_equal(1, _SOL_SOCKET, fail_if_any(2, *_BUFFER_SIZES, code=0))
    # vsock would reach the hypervisor, and no namespace holds it; of netlink only routes (names of interfaces).
    rules["socket"] = bpf.both(
        fail_unless(0, _UNIX, _INET, _INET6, _NETLINK, code=errno.EAFNOSUPPORT),
        bpf.if_equal(0, _NETLINK, fail_unless(2, 0, code=errno.EPROTONOSUPPORT)),
    )
    return rules


def landlock_rules(pid: int, *, own_user: bool, scoped: bool, truncate: bool) -> dict[str, Block]:
    """What the missing namespaces would have stopped, for the process ``pid`` and what it starts.

    ``own_user``: no process and no file but the job's has its user. ``scoped``: Landlock keeps signals inside (ABI 6).
    ``truncate``: Landlock sees truncate(2) (ABI 3).
    """
    rules = common_rules()
    # No network namespace: no sockets but connected pairs. A datagram pair could be addressed to any other socket.
    rules["socket"] = fail()
    rules["socketpair"] = bpf.both(
        fail_unless(0, _UNIX), fail_unless(1, _STREAM, _SEQPACKET, mask=0xF, code=errno.EPROTONOSUPPORT)
    )
    # Descriptors in flight would hide an unlinked file from the watch on the disk.
    rules.update({name: fail() for name in ("bind", "connect", "listen", "sendmsg", "sendmmsg", "inotify_add_watch")})
    # No PID namespace: other processes of the same user can be named.
    own_only = fail_unless(0, 0, pid, code=errno.ESRCH)
    for name in ("prlimit64", "sched_setparam", "sched_setscheduler", "sched_setaffinity", "sched_setattr"):
        rules[name] = own_only
    rules["get_robust_list"] = own_only
    for name, of_a_process in _OF_A_PROCESS.items():
        rules[name] = bpf.both(fail_unless(0, of_a_process, code=errno.ESRCH), fail_unless(1, 0, pid, code=errno.ESRCH))
    # The server has to see what the job holds open, and its first processes have to end with it.
    rules["prctl"] = fail_if_any(0, _PR_SCHED_CORE, _PR_SET_PDEATHSIG, _PR_SET_DUMPABLE)
    if not truncate:
        rules["truncate"] = fail()
    rules.update(_foreign_metadata() if own_user else _pretended_metadata())
    if not scoped:
        rules.update(_signals_only_to(pid))
    return rules


def _foreign_metadata() -> dict[str, Block]:
    """Extended attributes can be set by whoever may write to a file; Python's copies do without them. (So can the time
    "now", which is left: a job may set times of its own files.)"""
    return {name: fail(errno.ENOTSUP) for name in _METADATA.split() if "xattr" in name}


def _pretended_metadata() -> dict[str, Block]:
    """Modes, owners and times stay as they are, and the calls say that they succeeded: shutil.copy and archives need
    them to, and by their paths the job could reach any file of its user. "Now" fails, or `Path.touch` would make no
    file."""
    now = {name: bpf.if_equal(at, 0, fail(), otherwise=fail(0)) for name, at in _TIMES_IN.items()}
    return {name: fail(0) for name in _METADATA.split()} | now


def _signals_only_to(pid: int) -> dict[str, Block]:
    """Signals only to the job's first process, and no process group of its own, so that the group can be killed."""
    rules = {name: fail_unless(0, pid) for name in ("kill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo")}
    rules.update({name: fail() for name in ("tkill", "pidfd_send_signal", "setpgid", "setsid")})
    set_owner, set_owner_ex = 8, 15
    rules["fcntl"] = fail_if_any(1, set_owner, set_owner_ex)
    rules["ioctl"] = fail_if_any(1, *_TERMINAL_COMMANDS, 0x8901, 0x8902)  # FIOSETOWN, SIOCSPGRP
    return rules


def assemble(rules: dict[str, Block], machine: str) -> bytes:
    """The filter of ``rules`` for ``machine`` ("x86_64" or "aarch64")."""
    numbered = [(number(name, machine), block) for name, block in rules.items()]
    return bpf.program(machine, [(n, block) for n, block in numbered if n is not None], LAST_KNOWN)
